//! What can be wrong with a CA, or with a request to it.

use crate::bundle::BundleError;
use crate::secret_key::KeyError;

/// Why a certificate and a key are not a CA that can sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate file cannot be read.
    #[error("failed to read the CA certificate")]
    Certificate(#[source] BundleError),
    /// The key file cannot be read.
    #[error("failed to read the CA key")]
    Key(#[source] KeyError),
    /// No certificate of the file has the key's public half.
    #[error("the CA key does not belong to the CA certificate; both files must be of the same CA")]
    Mismatch,
    /// The certificate says that it is no CA, or that its key may not sign certificates.
    #[error(
        "the certificate is not a CA that may sign certificates; give kube-controller-manager's --cluster-signing-cert-file"
    )]
    NotAuthority,
    /// The end of the CA's validity has passed.
    #[error("the CA certificate has expired; renew the cluster's CA")]
    Expired,
    /// The CA's validity has not begun.
    #[error("the CA certificate is not valid yet; check the clock of this machine")]
    NotYetValid,
}

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A client certificate needs a user.
    #[error("the username is empty")]
    EmptyUsername,
    /// A DNS name or URI is empty or not ASCII.
    #[error("a DNS name or URI is empty or not ASCII")]
    AlternativeName,
    /// The public key is not one uncompressed P-256 key.
    #[error("the public key is not a DER SubjectPublicKeyInfo of an uncompressed P-256 point")]
    PublicKey,
    /// The certificate would end before it begins, or outside of the years 1970 to 9999.
    #[error("the validity of the certificate is empty or out of range")]
    Validity,
    /// No key could be made.
    #[error("failed to make a key")]
    Key(#[source] KeyError),
    /// The library gave no random bytes.
    #[error("failed to draw a serial number")]
    Serial,
    /// The library did not sign.
    #[error("failed to sign")]
    Signature,
}
