//! Tests against a real kube-apiserver, run by `cargo xtask test`. Each is named `cluster_*` and ignored otherwise.
#![cfg(test)]

mod local_cluster;
