//! `CreateOptions`, from the query of the URL.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use super::duration;
use crate::go_quote::clip;
use crate::status::{ApiError, FieldError};

/// The longest name of a field manager, in bytes.
const FIELD_MANAGER_LIMIT: usize = 128;

/// What to do about fields that are unknown or stand twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Pass them over.
    Ignore,
    /// Pass them over and say so in `Warning` headers.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// The options of a create. Keys that Kubernetes does not know are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// `dryRun=All` was given.
    pub dry_run: bool,
    /// `fieldValidation`.
    pub field_validation: FieldValidation,
    /// `timeout`, if it is more than nothing.
    pub timeout: Option<Duration>,
}

impl CreateOptions {
    /// Reads the query. Of a key that stands twice the first value counts, but for `dryRun`.
    ///
    /// # Errors
    /// 400 for a `timeout` that is no duration, 422 for another option with an unknown value.
    pub fn from_query(query: Option<&str>) -> Result<Self, ApiError> {
        let Some(query) = query else {
            return Ok(Self::default());
        };
        let Parameters {
            dry_run,
            field_validation,
            field_manager,
            timeout,
        } = Parameters::read(query);

        let timeout = match timeout.as_deref() {
            None | Some("") => None,
            Some(text) => duration::parse(text).map_err(|fault| {
                let text = format!("invalid timeout specified in the request URL - {fault}");
                ApiError::bad_request(text)
            })?,
        };
        let mut errors = Vec::new();
        errors.extend(field_manager.as_deref().and_then(judge_field_manager));
        if dry_run.iter().any(|value| value != "All") {
            let given: Vec<_> = dry_run.iter().map(|value| clip(value, 253)).collect();
            let given = serde_json::to_string(&given).unwrap_or_default();
            errors.push(FieldError::not_supported("dryRun", &given, &["All"]));
        }
        let directive = match field_validation.as_deref() {
            None | Some("" | "Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let given = serde_json::to_string(clip(other, 253)).unwrap_or_default();
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    &given,
                    &supported,
                ));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(ApiError::invalid(
                "meta.k8s.io",
                "CreateOptions",
                "",
                &errors,
            ));
        }
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            field_validation: directive,
            timeout,
        })
    }
}

#[derive(Default)]
struct Parameters<'q> {
    dry_run: Vec<Cow<'q, str>>,
    field_validation: Option<Cow<'q, str>>,
    field_manager: Option<Cow<'q, str>>,
    timeout: Option<Cow<'q, str>>,
}

impl<'q> Parameters<'q> {
    fn read(query: &'q str) -> Self {
        let mut parameters = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*key {
                // More values than make a difference are not kept.
                "dryRun" if parameters.dry_run.len() < 16 => {
                    parameters.dry_run.push(value);
                    continue;
                }
                "fieldValidation" => &mut parameters.field_validation,
                "fieldManager" => &mut parameters.field_manager,
                "timeout" => &mut parameters.timeout,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        parameters
    }
}

/// As `ValidateFieldManager`; the manager itself is not used, since nothing is stored.
fn judge_field_manager(manager: &str) -> Option<FieldError> {
    if manager.len() > FIELD_MANAGER_LIMIT {
        return Some(FieldError::too_long("fieldManager", FIELD_MANAGER_LIMIT));
    }
    let (position, c) = manager.char_indices().find(|(_, c)| c.is_control())?;
    let fault = format!(
        "invalid character U+{:04X} (at position {position})",
        u32::from(c)
    );
    Some(FieldError::invalid("fieldManager", manager, &fault))
}
