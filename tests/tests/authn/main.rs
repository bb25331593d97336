//! Authenticators against a real issuer over HTTPS.
#![cfg(test)]

mod api_server;
mod cel;
mod controller;
mod discovery;
mod examples;
mod hostile;
mod keys;
mod proxy;
mod token_review;
