//! Finding one's way in a document, with errors that name the place and repeat nothing of what stands there.

use serde_json::Value;

use super::ConfigError;

/// A value, and where in which document it stands.
#[derive(Clone)]
pub(super) struct Field<'a> {
    document: &'a str,
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    /// The whole of a document.
    pub(super) fn root(document: &'a str, value: &'a Value) -> Self {
        Self {
            document,
            path: String::new(),
            value,
        }
    }

    /// What stands under `path`, such as `cluster.apiServer`; nothing if any part is absent or null.
    pub(super) fn get(&self, path: &str) -> Result<Option<Self>, ConfigError> {
        let mut field = self.clone();
        for key in path.split('.') {
            let object = field
                .value
                .as_object()
                .ok_or_else(|| field.is_not("a map"))?;
            let Some(value) = object.get(key).filter(|value| !value.is_null()) else {
                return Ok(None);
            };
            field = field.child(key, value);
        }
        Ok(Some(field))
    }

    /// The text under `path`.
    pub(super) fn get_text(&self, path: &str) -> Result<Option<&'a str>, ConfigError> {
        self.get(path)?.map(|field| field.text()).transpose()
    }

    /// The entries of the list under `path`; none if it is absent.
    pub(super) fn get_list(&self, path: &str) -> Result<Vec<Self>, ConfigError> {
        let Some(field) = self.get(path)? else {
            return Ok(Vec::new());
        };
        let list = field
            .value
            .as_array()
            .ok_or_else(|| field.is_not("a list"))?;
        Ok(list
            .iter()
            .enumerate()
            .map(|(index, value)| Self {
                document: field.document,
                path: format!("{}[{index}]", field.path),
                value,
            })
            .collect())
    }

    /// The keys and values of the map under `path`; none if it is absent.
    pub(super) fn get_map(&self, path: &str) -> Result<Vec<(&'a str, Self)>, ConfigError> {
        self.get(path)?.map_or(Ok(Vec::new()), |field| field.map())
    }

    /// The keys and values of a map.
    pub(super) fn map(&self) -> Result<Vec<(&'a str, Self)>, ConfigError> {
        let map = self.value.as_object().ok_or_else(|| self.is_not("a map"))?;
        Ok(map
            .iter()
            .map(|(key, value)| (key.as_str(), self.child(key, value)))
            .collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.is_not("a text"))
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.is_not("true or false"))
    }

    /// The value of a command line flag: a text, or where somebody left out the quotes, what was meant.
    pub(super) fn flag(&self) -> Result<String, ConfigError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Array(list) => {
                let texts: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
                let texts = texts.ok_or_else(|| self.is_not("a list of texts"))?;
                Ok(texts.join(","))
            }
            Value::Null => Ok(String::new()),
            Value::Object(_) => Err(self.is_not("a text")),
        }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// The error that says what should stand here.
    pub(super) fn is_not(&self, expected: &'static str) -> ConfigError {
        ConfigError::Field {
            document: self.document.to_owned(),
            field: if self.path.is_empty() {
                "its top level".to_owned()
            } else {
                self.path.clone()
            },
            expected,
        }
    }

    fn child(&self, key: &str, value: &'a Value) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self {
            document: self.document,
            path,
            value,
        }
    }
}
