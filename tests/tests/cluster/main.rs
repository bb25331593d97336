//! Tests against a real kube-apiserver, run by `cargo xtask test`. Each is named `cluster_*` and ignored otherwise.
#![cfg(test)]

mod door;
mod faults;
mod guide;
mod local_cluster;
mod login;
mod xtask;
