//! Tests against a real kube-apiserver, run by `cargo xtask test`. Each is ignored otherwise; which
//! stage runs it is decided by its module, in `crates/xtask/src/test/cluster.rs`.
#![cfg(test)]

mod audit;
mod authenticators;
mod binaries;
mod browser;
mod catalogue;
mod chart;
mod crashes;
mod crds;
mod credential_issuer;
mod direct_endpoint;
mod doctor;
mod door;
mod explain;
mod flood;
mod get_kubeconfig;
mod guide;
mod installation;
mod installed;
mod link;
mod local_cluster;
mod login;
mod migrate;
mod node;
mod placement;
mod providers;
mod refusals;
mod release;
mod reliability;
mod replicas;
mod rights;
mod rotations;
mod running;
mod shell;
mod suffix;
mod talos;
mod terminal;
mod who_am_i;
mod xtask;
