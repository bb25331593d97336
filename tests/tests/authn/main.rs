//! Authenticators against a real issuer over HTTPS.
#![cfg(test)]

mod api_server;
mod controller;
mod discovery;
mod hostile;
mod keys;
mod token_review;
