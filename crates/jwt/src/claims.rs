//! From claims to a Kubernetes user, as Kubernetes' OIDC authenticator reads them
//! (`plugin/pkg/authenticator/token/oidc`), with empty prefixes.

use std::collections::BTreeMap;

use haulout_api::identity::UserInfo;
use serde_json::Value;

use crate::foreign;
use crate::verify::Claims;

/// Claim of the username when none is configured.
pub const DEFAULT_USERNAME_CLAIM: &str = "username";

/// Claim of the groups when none is configured.
pub const DEFAULT_GROUPS_CLAIM: &str = "groups";

/// Extra key that names the credential by which a user came (Kubernetes `CredentialIDKey`).
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Why claims give no user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The username's claim is absent.
    #[error("oidc: parse username claims \"{0}\": claim not present")]
    NoUsername(String),
    /// The username is no text.
    #[error("oidc: parse username claims \"{0}\": claim is not a string")]
    UsernameType(String),
    /// The username is an e-mail address of which the issuer does not say that it is verified.
    #[error("oidc: email not verified")]
    EmailNotVerified,
    /// The groups are no list of texts.
    #[error("oidc: parse groups claim \"{0}\": claim is neither a string nor a list of strings")]
    GroupsType(String),
    /// The groups are held elsewhere; logging in without them would be a lesser login without a word.
    #[error("oidc: groups claim \"{0}\" is distributed, which this version does not support")]
    DistributedGroups(String),
    /// The token's id is no text.
    #[error("oidc: parse jti claim: claim is not a string")]
    TokenIdType,
}

impl ClaimError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoUsername(_) | Self::UsernameType(_) => "UsernameClaim",
            Self::EmailNotVerified => "EmailNotVerified",
            Self::GroupsType(_) => "GroupsClaim",
            Self::DistributedGroups(_) => "DistributedGroups",
            Self::TokenIdType => "TokenId",
        }
    }
}

/// Names of the claims that hold the username and the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMapping {
    username: String,
    groups: String,
}

impl ClaimMapping {
    /// Takes the names as configured; an empty one means the default.
    pub fn new(username: &str, groups: &str) -> Self {
        let or = |name: &str, default: &str| match name {
            "" => default.to_owned(),
            name => name.to_owned(),
        };
        Self {
            username: or(username, DEFAULT_USERNAME_CLAIM),
            groups: or(groups, DEFAULT_GROUPS_CLAIM),
        }
    }

    /// The user whom the claims describe. The name may be empty; that is for the caller to refuse.
    ///
    /// # Errors
    /// [`ClaimError`], the first that applies.
    pub fn user(&self, claims: &Claims) -> Result<UserInfo, ClaimError> {
        Ok(UserInfo {
            username: self.username(claims)?,
            uid: String::new(),
            groups: self.groups(claims)?,
            extra: credential_id(claims)?,
        })
    }

    fn username(&self, claims: &Claims) -> Result<String, ClaimError> {
        let name = match claims.get(&self.username) {
            Some(Value::String(name)) => name.clone(),
            Some(Value::Null) => String::new(),
            Some(_) => return Err(ClaimError::UsernameType(foreign(&self.username))),
            None => return Err(ClaimError::NoUsername(foreign(&self.username))),
        };
        let verified = claims
            .get("email_verified")
            .is_none_or(|verified| *verified == true);
        match self.username == "email" && !verified {
            true => Err(ClaimError::EmailNotVerified),
            false => Ok(name),
        }
    }

    fn groups(&self, claims: &Claims) -> Result<Vec<String>, ClaimError> {
        let refuse = || ClaimError::GroupsType(foreign(&self.groups));
        match claims.get(&self.groups) {
            None if self.groups_are_distributed(claims) => {
                Err(ClaimError::DistributedGroups(foreign(&self.groups)))
            }
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(group)) => Ok(vec![group.clone()]),
            Some(Value::Array(groups)) => groups
                .iter()
                .map(|group| group.as_str().map(str::to_owned).ok_or_else(refuse))
                .collect(),
            Some(_) => Err(refuse()),
        }
    }

    /// OpenID Connect Core, 5.6.2.
    fn groups_are_distributed(&self, claims: &Claims) -> bool {
        claims
            .get("_claim_names")
            .is_some_and(|names| names.get(&self.groups).is_some())
    }
}

fn credential_id(claims: &Claims) -> Result<BTreeMap<String, Vec<String>>, ClaimError> {
    match claims.get("jti") {
        None => Ok(BTreeMap::new()),
        Some(Value::String(id)) => Ok(BTreeMap::from([(
            CREDENTIAL_ID.to_owned(),
            vec![format!("JTI={id}")],
        )])),
        Some(_) => Err(ClaimError::TokenIdType),
    }
}

#[cfg(test)]
mod tests;
