//! The patches of `talos-patches/`, judged by Talos' own code and by a real kube-apiserver.
//!
//! No node is booted: what the kubelet, the disk or the order of a boot would say is not seen here.

mod command;
mod config;
mod matrix;
mod old;
mod patches;
mod rows;
mod start;
mod traps;
