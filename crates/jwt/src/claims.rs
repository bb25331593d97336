//! From claims to a Kubernetes user, as Kubernetes' OIDC authenticator reads them
//! (`plugin/pkg/authenticator/token/oidc`).

mod configuration;
mod distributed;

use std::collections::BTreeMap;
use std::fmt;

use haulout_api::extra_key::CREDENTIAL_ID;
use haulout_api::identity::UserInfo;
use serde_json::Value as Json;

use crate::expression::{Budget, EvaluationError, Expression, Value};
use crate::foreign;
use crate::verify::Claims;
pub use configuration::{ConfigurationErrors, FieldError};

/// Claim of the username when none is configured.
pub const DEFAULT_USERNAME_CLAIM: &str = "username";

/// Claim of the groups when none is configured.
pub const DEFAULT_GROUPS_CLAIM: &str = "groups";

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
    /// The expression of the username gives no text.
    #[error(
        "oidc: error evaluating username claim expression: username claim expression must return a string"
    )]
    UsernameExpressionType,
    /// The expression of the username gives the empty text.
    #[error("oidc: empty username via CEL expression is not allowed")]
    EmptyUsernameExpression,
    /// The groups are no list of texts.
    #[error("oidc: parse groups claim \"{0}\": claim is neither a string nor a list of strings")]
    GroupsType(String),
    /// The groups are held elsewhere; logging in without them would be a lesser login without a word.
    #[error("oidc: groups claim \"{0}\" is distributed, which this version does not support")]
    DistributedGroups(String),
    /// What the token says of claims that are held elsewhere cannot be.
    #[error("oidc: verify token: oidc: {0}")]
    MalformedSources(&'static str),
    /// An expression gives something other than texts.
    #[error(
        "oidc: error evaluating {purpose}: expression '{expression}' must return a string or a list of strings"
    )]
    NoTexts {
        /// What the expression is for.
        purpose: Purpose,
        /// The expression.
        expression: String,
    },
    /// An expression has no value for these claims.
    #[error(
        "oidc: error evaluating {purpose}: expression '{expression}' resulted in error: {cause}"
    )]
    Evaluation {
        /// What the expression is for.
        purpose: Purpose,
        /// The expression.
        expression: String,
        /// Why it has none. It stands in the text, as in Kubernetes, and so is no source.
        cause: EvaluationError,
    },
    /// A required claim is absent.
    #[error("oidc: required claim {0} not present in ID token")]
    NoRequiredClaim(String),
    /// A required claim is no text.
    #[error("oidc: parse claim {0}: claim is not a string")]
    RequiredClaimType(String),
    /// A required claim has another value.
    #[error("oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}")]
    RequiredClaimValue {
        /// Name of the claim.
        claim: String,
        /// Its value.
        found: String,
        /// The required value.
        wanted: String,
    },
    /// A rule is not fulfilled.
    #[error(
        "oidc: error evaluating {purpose}: validation expression '{expression}' failed: {message}"
    )]
    RuleFailed {
        /// What the rule is about.
        purpose: Purpose,
        /// The rule's expression.
        expression: String,
        /// What the administrator says of it.
        message: String,
    },
}

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It gives the username.
    Username,
    /// It gives the groups.
    Groups,
    /// It gives an extra's values.
    Extra,
    /// It judges the claims.
    ClaimRule,
    /// It judges the user.
    UserRule,
}

/// As Kubernetes' messages name it.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Username => "username claim expression",
            Self::Groups => "group claim expression",
            Self::Extra => "extra claim expression",
            Self::ClaimRule => "claim validation expression",
            Self::UserRule => "user info validation rule",
        })
    }
}

impl ClaimError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoUsername(_) | Self::UsernameType(_) => "UsernameClaim",
            Self::EmailNotVerified => "EmailNotVerified",
            Self::UsernameExpressionType | Self::EmptyUsernameExpression => "UsernameExpression",
            Self::GroupsType(_) => "GroupsClaim",
            Self::DistributedGroups(_) => "DistributedGroups",
            Self::MalformedSources(_) => "DistributedClaims",
            Self::NoTexts { .. } | Self::Evaluation { .. } => "Expression",
            Self::NoRequiredClaim(_)
            | Self::RequiredClaimType(_)
            | Self::RequiredClaimValue { .. } => "RequiredClaim",
            Self::RuleFailed {
                purpose: Purpose::UserRule,
                ..
            } => "UserValidationRule",
            Self::RuleFailed { .. } => "ClaimValidationRule",
        }
    }

    /// Whether a larger budget may give another outcome.
    pub fn is_over_budget(&self) -> bool {
        matches!(
            self,
            Self::Evaluation {
                cause: EvaluationError::BudgetSpent,
                ..
            }
        )
    }
}

/// How the claims of a token become a user, and what both must fulfil.
#[derive(Debug)]
pub struct ClaimRules {
    username: Mapping,
    groups: Mapping,
    /// By key.
    extra: Vec<(String, Expression)>,
    /// Claims and the values that they must have.
    required_claims: Vec<(String, String)>,
    claim_rules: Vec<Rule>,
    user_rules: Vec<Rule>,
    username_prefix: String,
    groups_prefix: String,
}

/// Where a part of a user comes from.
#[derive(Debug)]
enum Mapping {
    Claim(String),
    Expression(Expression),
}

/// What must be true, and what to say if it is not.
#[derive(Debug)]
struct Rule {
    expression: Expression,
    message: String,
}

impl ClaimRules {
    /// The user whom the claims describe. Names that claims give may be empty; that is for the caller to refuse.
    ///
    /// All expressions together spend `budget`. With [`Budget::quick`] this never takes longer than other work can wait.
    ///
    /// # Errors
    /// [`ClaimError`], the first that applies in Kubernetes' order.
    pub fn user(&self, claims: &Claims, mut budget: Budget) -> Result<UserInfo, ClaimError> {
        distributed::check(claims)?;
        let variable = match self.has_expressions() {
            true => Value::claims(claims.as_map()),
            false => Value::Null,
        };
        let mut claims = Evaluation {
            claims,
            variable,
            budget: &mut budget,
        };
        let username = claims.username(&self.username)?;
        let groups = claims.groups(&self.groups)?;
        let extra = claims.extra(&self.extra)?;
        for (claim, wanted) in &self.required_claims {
            claims.require(claim, wanted)?;
        }
        for rule in &self.claim_rules {
            claims.judge(rule, Purpose::ClaimRule)?;
        }
        let user = UserInfo {
            username,
            uid: String::new(),
            groups,
            extra,
        };
        let user = user.with_prefixes(&self.username_prefix, &self.groups_prefix);
        if !self.user_rules.is_empty() {
            claims.variable = Value::user(&user);
            for rule in &self.user_rules {
                claims.judge(rule, Purpose::UserRule)?;
            }
        }
        Ok(user)
    }

    /// Whether any of them is about claims.
    fn has_expressions(&self) -> bool {
        matches!(self.username, Mapping::Expression(_))
            || matches!(self.groups, Mapping::Expression(_))
            || !self.extra.is_empty()
            || !self.claim_rules.is_empty()
    }
}

/// The claims of one token, as claims and as the variable of expressions.
struct Evaluation<'a> {
    claims: &'a Claims,
    variable: Value,
    budget: &'a mut Budget,
}

impl Evaluation<'_> {
    fn username(&mut self, mapping: &Mapping) -> Result<String, ClaimError> {
        let claim = match mapping {
            Mapping::Claim(claim) => claim,
            Mapping::Expression(expression) => {
                return match self.evaluate(expression, Purpose::Username)? {
                    Value::String(name) if name.is_empty() => {
                        Err(ClaimError::EmptyUsernameExpression)
                    }
                    Value::String(name) => Ok(name.to_string()),
                    _ => Err(ClaimError::UsernameExpressionType),
                };
            }
        };
        let name = match self.claims.get(claim) {
            Some(Json::String(name)) => name.clone(),
            Some(Json::Null) => String::new(),
            Some(_) => return Err(ClaimError::UsernameType(foreign(claim))),
            None => return Err(ClaimError::NoUsername(foreign(claim))),
        };
        let verified = self.claims.get("email_verified");
        match claim == "email" && !verified.is_none_or(|verified| *verified == true) {
            true => Err(ClaimError::EmailNotVerified),
            false => Ok(name),
        }
    }

    fn groups(&mut self, mapping: &Mapping) -> Result<Vec<String>, ClaimError> {
        let claim = match mapping {
            Mapping::Claim(claim) => claim,
            Mapping::Expression(expression) => return self.texts(expression, Purpose::Groups),
        };
        let refuse = || ClaimError::GroupsType(foreign(claim));
        match self.claims.get(claim) {
            None => distributed::check_absent(self.claims, claim).map(|()| Vec::new()),
            Some(Json::Null) => Ok(Vec::new()),
            Some(Json::String(group)) => Ok(vec![group.clone()]),
            Some(Json::Array(groups)) => groups
                .iter()
                .map(|group| group.as_str().map(str::to_owned).ok_or_else(refuse))
                .collect(),
            Some(_) => Err(refuse()),
        }
    }

    fn extra(
        &mut self,
        mappings: &[(String, Expression)],
    ) -> Result<BTreeMap<String, Vec<String>>, ClaimError> {
        let mut extra = BTreeMap::new();
        if let Some(Json::String(id)) = self.claims.get("jti")
            && !id.is_empty()
        {
            extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
        }
        for (key, expression) in mappings {
            let values = self.texts(expression, Purpose::Extra)?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }

    fn require(&self, claim: &str, wanted: &str) -> Result<(), ClaimError> {
        match self.claims.get(claim) {
            None => Err(ClaimError::NoRequiredClaim(foreign(claim))),
            Some(Json::Null) if wanted.is_empty() => Ok(()),
            Some(Json::String(found)) if found == wanted => Ok(()),
            Some(Json::String(found)) => Err(ClaimError::RequiredClaimValue {
                claim: foreign(claim),
                found: foreign(found),
                wanted: foreign(wanted),
            }),
            Some(_) => Err(ClaimError::RequiredClaimType(foreign(claim))),
        }
    }

    fn judge(&mut self, rule: &Rule, purpose: Purpose) -> Result<(), ClaimError> {
        match self.evaluate(&rule.expression, purpose)? {
            Value::Bool(true) => Ok(()),
            _ => Err(ClaimError::RuleFailed {
                purpose,
                expression: rule.expression.text().to_owned(),
                message: rule.message.clone(),
            }),
        }
    }

    /// What an expression gives, as texts.
    fn texts(
        &mut self,
        expression: &Expression,
        purpose: Purpose,
    ) -> Result<Vec<String>, ClaimError> {
        let value = self.evaluate(expression, purpose)?;
        let texts = value.to_texts(self.budget);
        texts
            .map_err(|cause| no_value(expression, purpose, cause))?
            .ok_or_else(|| ClaimError::NoTexts {
                purpose,
                expression: expression.text().to_owned(),
            })
    }

    fn evaluate(&mut self, expression: &Expression, purpose: Purpose) -> Result<Value, ClaimError> {
        expression
            .evaluate(self.variable.clone(), self.budget)
            .map_err(|cause| no_value(expression, purpose, cause))
    }
}

fn no_value(expression: &Expression, purpose: Purpose, cause: EvaluationError) -> ClaimError {
    ClaimError::Evaluation {
        purpose,
        expression: expression.text().to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests;
