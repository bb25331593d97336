//! Helpers for tests that cross crates, and for `cargo xtask`: the local cluster, the test issuer, a TokenReview
//! server, load, logins through faults and their tables, commands in pages, terminals and browsers, Talos' own code.

pub mod cluster;
pub mod fake_browser;
pub mod fault_table;
mod go_program;
pub mod issuer;
pub mod load;
pub mod logins;
pub mod oidc;
pub mod pages;
pub mod probe;
pub mod supervisor;
pub mod talos;
pub mod terminal;
pub mod token_review_server;

/// Installs the process-wide crypto providers of rustls and jsonwebtoken; harmless when called again. Each test calls it
/// first.
pub fn ensure_crypto() {
    haulout_operate::startup::install_crypto_provider();
    // An error says that a provider is installed already, which is what is wanted.
    let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
