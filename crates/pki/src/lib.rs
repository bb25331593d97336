//! Certificates and keys: load a CA, build subjects, sign, read bundles. No Kubernetes, no network.

pub mod authority;
pub mod bundle;
mod certificate;
mod encode;
mod pem;
pub mod profile;
pub mod secret_key;
pub mod signature;

pub use self::encode::hex;
