//! OIDC tokens: what an issuer says of itself ([`discovery`]), the keys that it signs with ([`keys`]) and how
//! ([`algorithms`]), the one strict check of a token ([`verify`]), and what its claims mean to Kubernetes ([`claims`]), also
//! by way of [`expression`]s.
//!
//! Nothing here reads a clock: the time is an argument. Network calls all go through [`client::IssuerClient`], which
//! bounds them.

pub mod algorithms;
pub mod claims;
pub mod client;
pub mod discovery;
pub mod expression;
mod json;
pub mod keys;
pub mod verify;

use haulout_https::foreign;
