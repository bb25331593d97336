//! Compiles what a `JWTAuthenticator` says about claims, and finds what is wrong with it (Kubernetes
//! `pkg/apis/apiserver/validation`). Fields are named as in the object.

use std::collections::HashSet;
use std::fmt;

use haulout_api::authenticator::{ClaimValidationRule, JwtAuthenticatorSpec, JwtTokenClaims};
use haulout_api::extra_key::{self, ExtraKeyFault};

use super::{ClaimRules, DEFAULT_GROUPS_CLAIM, DEFAULT_USERNAME_CLAIM, Mapping, Rule};
use crate::expression::{CompileBudget, CompileError, Expression, Variable};

/// Most rules of a kind, and most extras. Each of them costs every login something.
const MAX_ITEMS: usize = 64;

/// One mistake in an object, as Kubernetes prints it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A field has a value that it must not have.
    #[error("{field}: Invalid value: {value:?}: {detail}")]
    Invalid {
        /// Path of the field, for example `claims.extra[0].key`.
        field: String,
        /// Its value.
        value: String,
        /// What is wrong.
        detail: String,
    },
    /// An expression cannot be used.
    #[error("{field}: Invalid value: {expression:?}: {fault}")]
    Expression {
        /// Path of the field.
        field: String,
        /// The expression.
        expression: String,
        /// What is wrong.
        fault: CompileError,
    },
    /// A field must not be empty.
    #[error("{field}: Required value{}", after_colon(.detail))]
    Required {
        /// Path of the field.
        field: String,
        /// What is needed; may be empty.
        detail: &'static str,
    },
    /// A value stands twice where it may stand once.
    #[error("{field}: Duplicate value: {value:?}")]
    Duplicate {
        /// Path of the second one.
        field: String,
        /// The value.
        value: String,
    },
    /// A list is too long.
    #[error("{field}: Too many: {count}: must have at most {MAX_ITEMS} items")]
    TooMany {
        /// Path of the list.
        field: &'static str,
        /// Its length.
        count: usize,
    },
}

fn after_colon(detail: &str) -> String {
    match detail {
        "" => String::new(),
        detail => format!(": {detail}"),
    }
}

/// All mistakes in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationErrors(Vec<FieldError>);

impl std::error::Error for ConfigurationErrors {}

/// As Go aggregates errors: one as it is, several in brackets.
impl fmt::Display for ConfigurationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            many => {
                let many = many.iter().map(FieldError::to_string);
                write!(f, "[{}]", many.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl ClaimRules {
    /// Compiles what `spec` says. Without a username or groups, the claims `username` and `groups` are taken.
    ///
    /// # Errors
    /// [`ConfigurationErrors`], each mistake that was found.
    pub fn compile(spec: &JwtAuthenticatorSpec) -> Result<Self, ConfigurationErrors> {
        let unset = JwtTokenClaims::default();
        let claims = spec.claims.as_ref().unwrap_or(&unset);
        let mut errors = Errors {
            found: Vec::new(),
            budget: CompileBudget::full(),
        };
        errors.limit("claimValidationRules", spec.claim_validation_rules.len());
        errors.limit("claims.extra", claims.extra.len());
        errors.limit("userValidationRules", spec.user_validation_rules.len());
        if !errors.found.is_empty() {
            return Err(ConfigurationErrors(errors.found));
        }
        let (required_claims, claim_rules) = errors.claim_rules(&spec.claim_validation_rules);
        let username = errors.mapping(
            "username",
            [&claims.username, &claims.username_expression],
            DEFAULT_USERNAME_CLAIM,
            Expression::compile,
        );
        let groups = errors.mapping(
            "groups",
            [&claims.groups, &claims.groups_expression],
            DEFAULT_GROUPS_CLAIM,
            Expression::compile_texts,
        );
        let extra = errors.extra(claims);
        let extras = extra.iter().map(|(_, expression)| expression);
        let rules = claim_rules.iter().map(|rule| &rule.expression);
        errors.email_is_verified(username.as_ref(), extras.chain(rules));
        let user_rules = errors.user_rules(spec);
        match (errors.found.is_empty(), username, groups) {
            (true, Some(username), Some(groups)) => Ok(Self {
                username,
                groups,
                extra,
                required_claims,
                claim_rules,
                user_rules,
                username_prefix: spec.username_prefix.clone(),
                groups_prefix: spec.groups_prefix.clone(),
            }),
            _ => Err(ConfigurationErrors(errors.found)),
        }
    }
}

/// How an expression is compiled.
type Compile = fn(&str, Variable, &mut CompileBudget) -> Result<Expression, CompileError>;

/// The mistakes so far. What is mistaken is left out of what is compiled.
struct Errors {
    found: Vec<FieldError>,
    budget: CompileBudget,
}

impl Errors {
    fn invalid(&mut self, field: impl Into<String>, value: &str, detail: &str) {
        self.found.push(FieldError::Invalid {
            field: field.into(),
            value: value.to_owned(),
            detail: detail.to_owned(),
        });
    }

    fn required(&mut self, field: impl Into<String>, detail: &'static str) {
        let field = field.into();
        self.found.push(FieldError::Required { field, detail });
    }

    /// Whether `value` stands for the first time, which makes it one of `seen`.
    fn first<'a>(&mut self, seen: &mut HashSet<&'a str>, field: String, value: &'a str) -> bool {
        let is_first = seen.insert(value);
        if !is_first {
            self.found.push(FieldError::Duplicate {
                field,
                value: value.to_owned(),
            });
        }
        is_first
    }

    fn limit(&mut self, field: &'static str, count: usize) {
        if count > MAX_ITEMS {
            self.found.push(FieldError::TooMany { field, count });
        }
    }

    /// The expression, unless it or what came before is too much.
    fn compiled(
        &mut self,
        field: String,
        expression: &str,
        variable: Variable,
        compile: Compile,
    ) -> Option<Expression> {
        if self.budget.is_spent() {
            return None;
        }
        let error = |fault| FieldError::Expression {
            field,
            expression: expression.to_owned(),
            fault,
        };
        compile(expression, variable, &mut self.budget)
            .map_err(error)
            .map_err(|error| self.found.push(error))
            .ok()
    }

    fn mapping(
        &mut self,
        name: &str,
        claim_and_expression: [&str; 2],
        default: &str,
        compile: Compile,
    ) -> Option<Mapping> {
        match claim_and_expression {
            ["", ""] => Some(Mapping::Claim(default.to_owned())),
            [claim, ""] => Some(Mapping::Claim(claim.to_owned())),
            ["", expression] => {
                let field = format!("claims.{name}Expression");
                self.compiled(field, expression, Variable::Claims, compile)
                    .map(Mapping::Expression)
            }
            [_, _] => {
                let detail = "claim and expression can't both be set";
                self.invalid(format!("claims.{name}"), "", detail);
                None
            }
        }
    }

    fn extra(&mut self, claims: &JwtTokenClaims) -> Vec<(String, Expression)> {
        let mut seen = HashSet::new();
        let mut extra = Vec::new();
        for (index, mapping) in claims.extra.iter().enumerate() {
            let field = |name: &str| format!("claims.extra[{index}].{name}");
            self.extra_key(field("key"), &mapping.key);
            if !self.first(&mut seen, field("key"), &mapping.key) {
                continue;
            }
            let expression = mapping.value_expression.as_str();
            if expression.is_empty() {
                self.required(field("valueExpression"), "");
                continue;
            }
            let compiled = self.compiled(
                field("valueExpression"),
                expression,
                Variable::Claims,
                Expression::compile_texts,
            );
            extra.extend(compiled.map(|compiled| (mapping.key.clone(), compiled)));
        }
        extra
    }

    fn extra_key(&mut self, field: String, key: &str) {
        let (domain, path) = key.split_once('/').unwrap_or_default();
        let faults = extra_key::faults(key);
        for fault in &faults {
            let (value, detail) = match fault {
                ExtraKeyFault::Empty => return self.required(field, ""),
                ExtraKeyFault::Domain => (
                    domain,
                    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
                ),
                ExtraKeyFault::Path => (
                    path,
                    "Invalid path: must consist of letters, digits and /-._~%!$&'()*+,;=:",
                ),
                ExtraKeyFault::Reserved => (
                    key,
                    "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
                ),
                ExtraKeyFault::NotDomainPrefixed => (
                    key,
                    "must be a domain-prefixed path (such as \"acme.io/foo\")",
                ),
                ExtraKeyFault::EqualsSign => continue,
            };
            self.invalid(field.clone(), value, detail);
        }
        if key.chars().any(char::is_uppercase) {
            self.invalid(field.clone(), key, "must be lowercase");
        }
        if faults.contains(&ExtraKeyFault::EqualsSign) {
            // It ends the key where the certificate holds both as `key=value`.
            self.invalid(
                field,
                key,
                "extra key names must not contain an equals sign",
            );
        }
    }

    fn claim_rules(&mut self, rules: &[ClaimValidationRule]) -> (Vec<(String, String)>, Vec<Rule>) {
        let (mut seen_claims, mut seen_expressions) = (HashSet::new(), HashSet::new());
        let (mut required, mut compiled) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            let whole = format!("claimValidationRules[{index}]");
            let field = |name: &str| format!("claimValidationRules[{index}].{name}");
            match [rule.claim.as_str(), rule.expression.as_str()] {
                ["", ""] => self.required(whole, "claim or expression is required"),
                [claim, ""] => {
                    if !rule.message.is_empty() {
                        let detail = "may not be specified when claim is set";
                        self.invalid(field("message"), &rule.message, detail);
                    }
                    if self.first(&mut seen_claims, field("claim"), claim) {
                        required.push((claim.to_owned(), rule.required_value.clone()));
                    }
                }
                ["", expression] => {
                    if !rule.required_value.is_empty() {
                        let detail = "may not be specified when expression is set";
                        self.invalid(field("requiredValue"), &rule.required_value, detail);
                    }
                    if !self.first(&mut seen_expressions, field("expression"), expression) {
                        continue;
                    }
                    let outcome = self.compiled(
                        field("expression"),
                        expression,
                        Variable::Claims,
                        Expression::compile_rule,
                    );
                    compiled.extend(outcome.map(|expression| Rule {
                        expression,
                        message: rule.message.clone(),
                    }));
                }
                [claim, _] => self.invalid(whole, claim, "claim and expression can't both be set"),
            }
        }
        (required, compiled)
    }

    fn user_rules(&mut self, spec: &JwtAuthenticatorSpec) -> Vec<Rule> {
        let mut seen = HashSet::new();
        let mut rules = Vec::new();
        for (index, rule) in spec.user_validation_rules.iter().enumerate() {
            let field = format!("userValidationRules[{index}].expression");
            let expression = rule.expression.as_str();
            if expression.is_empty() {
                self.required(field, "");
            } else if self.first(&mut seen, field.clone(), expression) {
                let compiled =
                    self.compiled(field, expression, Variable::User, Expression::compile_rule);
                rules.extend(compiled.map(|expression| Rule {
                    expression,
                    message: rule.message.clone(),
                }));
            }
        }
        rules
    }

    /// An address that nobody has verified is no name.
    fn email_is_verified<'a>(
        &mut self,
        username: Option<&'a Mapping>,
        others: impl Iterator<Item = &'a Expression>,
    ) {
        let Some(Mapping::Expression(username)) = username else {
            return;
        };
        let mut all = others.chain([username]);
        if username.uses("email") && !all.any(|expression| expression.uses("email_verified")) {
            let detail = "claims.email_verified must be used in claims.usernameExpression or claims.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claims.usernameExpression";
            self.invalid("claims.usernameExpression", username.text(), detail);
        }
    }
}

#[cfg(test)]
mod tests;
