//! The documents of a machine config, by kind.

use serde_json::Value;

use super::ConfigError;
use super::field::Field;

/// What the one document without a kind is called.
pub(super) const MAIN: &str = "v1alpha1 document";

/// All documents, of which one is the v1alpha1 document.
pub(super) struct Documents {
    main: Value,
    /// Each with its kind, and its name if it has one.
    others: Vec<(String, String, Value)>,
}

impl Documents {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut main = None;
        let mut others: Vec<(String, String, Value)> = Vec::new();
        for (index, document) in values(text)?.into_iter().enumerate() {
            if document.is_null() {
                continue;
            }
            let key = |key| document.get(key).and_then(Value::as_str);
            let Some(kind) = key("kind") else {
                if document.get("spec").is_some() && document.get("node").is_some() {
                    return Err(ConfigError::Envelope);
                }
                if key("version") != Some("v1alpha1") {
                    return Err(ConfigError::NoKind(index + 1));
                }
                if main.replace(document).is_some() {
                    return Err(ConfigError::Twice(MAIN.to_owned()));
                }
                continue;
            };
            let kind = kind.to_owned();
            let label = match key("name") {
                Some(name) => format!("{kind} {name}"),
                None => kind.clone(),
            };
            if kind.starts_with("Kube") && others.iter().any(|(_, other, _)| *other == label) {
                return Err(ConfigError::Twice(label));
            }
            others.push((kind, label, document));
        }
        let main = main.filter(|main| main.get("machine").is_some());
        Ok(Self {
            main: main.ok_or(ConfigError::NoMachine)?,
            others,
        })
    }

    /// The v1alpha1 document.
    pub(super) fn main(&self) -> Field<'_> {
        Field::root(MAIN, &self.main)
    }

    /// The document of a kind that there is one of.
    pub(super) fn one(&self, kind: &str) -> Option<Field<'_>> {
        self.all(kind).next()
    }

    /// The documents of a kind.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = Field<'_>> {
        self.others
            .iter()
            .filter(move |(other, ..)| other == kind)
            .map(|(_, label, value)| Field::root(label, value))
    }
}

/// The documents of a text.
pub(super) fn values(text: &str) -> Result<Vec<Value>, ConfigError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // As Talos reads what has no type: `y` and `no` are texts.
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            // `talosctl gen config` explains what could stand there, at length.
            max_buffered_comment_events: 100_000,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        // What it says may hold a value.
        match error.location() {
            Some(location) if location.line() > 0 => ConfigError::Yaml(location.line()),
            _ => ConfigError::NotYaml,
        }
    })
}
