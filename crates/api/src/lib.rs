//! The words on the wire.
//!
//! Kinds of the four API groups ([`credential`], [`identity`], [`authenticator`], [`issuer`]), the signing call between
//! webhook and agent ([`signing`]), API group names and their suffix ([`group`]), keys of extra values ([`extra_key`]), how
//! conditions are merged ([`conditions`]), and what a kube-controller-manager signs with ([`controller_manager`]). No I/O and
//! no clock.

pub mod authenticator;
pub mod conditions;
pub mod controller_manager;
pub mod credential;
pub mod extra_key;
pub mod group;
pub mod identity;
pub mod issuer;
pub mod signing;
