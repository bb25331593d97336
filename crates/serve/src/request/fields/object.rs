//! One level of an object, split into the raw texts of its fields.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{FAULT_LIMIT, Faults, Path, type_of};
use crate::go_quote::{GoQuoted, clip};

/// How much of an unknown name is kept, in bytes.
const NAME_LIMIT: usize = 253;

/// One level of an object: the raw texts of its known fields, and what stands where. Without `Debug`: a token may be
/// among them.
pub(in crate::request) struct Object<'de> {
    names: &'static [&'static str],
    /// One for each name; of a field that stands twice, the last value.
    values: Vec<Option<&'de RawValue>>,
    events: std::vec::IntoIter<Event>,
}

#[derive(Debug, PartialEq)]
enum Event {
    Known(usize),
    Unknown(String),
    Duplicate(usize),
}

impl<'de> Object<'de> {
    /// Splits an object; anything else has no fields.
    ///
    /// # Errors
    /// That of the syntax, which repeats no value.
    pub(in crate::request) fn split(
        text: &'de str,
        names: &'static [&'static str],
    ) -> serde_json::Result<Self> {
        let mut values = vec![None; names.len()];
        let mut events = Vec::with_capacity(names.len());
        let mut json = serde_json::Deserializer::from_str(text);
        if type_of(text) == "object" {
            json.deserialize_map(Split {
                names,
                values: &mut values,
                events: &mut events,
            })?;
        } else {
            json.deserialize_ignored_any(IgnoredAny)?;
        }
        json.end()?;
        Ok(Self {
            names,
            values,
            events: events.into_iter(),
        })
    }

    /// The raw text of a field, whatever its place.
    pub(in crate::request) fn value(&self, name: &str) -> Option<&'de str> {
        let index = self.names.iter().position(|known| *known == name)?;
        self.value_at(index)
    }

    /// The next field that is known and not `null`. Faults before it are noted.
    pub(in crate::request) fn next(
        &mut self,
        path: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<(&'static str, &'de str)> {
        loop {
            let (what, name) = match self.events.next()? {
                Event::Known(index) => match (self.names.get(index), self.value_at(index)) {
                    (Some(name), Some(raw)) => return Some((name, raw)),
                    _ => continue,
                },
                Event::Unknown(name) => ("unknown", name),
                Event::Duplicate(index) => (
                    "duplicate",
                    self.names
                        .get(index)
                        .copied()
                        .unwrap_or_default()
                        .to_owned(),
                ),
            };
            let path = Path {
                parent: path,
                name: &name,
            }
            .to_string();
            faults.note(format!("{what} field {}", GoQuoted(&path)));
        }
    }

    fn value_at(&self, index: usize) -> Option<&'de str> {
        let raw = self.values.get(index).copied().flatten()?.get();
        (raw != "null").then_some(raw)
    }
}

struct Split<'a, 'de> {
    names: &'static [&'static str],
    values: &'a mut [Option<&'de RawValue>],
    events: &'a mut Vec<Event>,
}

impl<'de> Visitor<'de> for Split<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Beyond the limit no fault would be noted, so that none is kept either.
        let limit = self.names.len() + FAULT_LIMIT;
        while let Some(key) = map.next_key_seed(Key(self.names))? {
            let event = match key {
                Ok(index) => {
                    let value = map.next_value()?;
                    let place = self.values.get_mut(index);
                    match place.and_then(|place| place.replace(value)) {
                        None => Event::Known(index),
                        Some(_) => Event::Duplicate(index),
                    }
                }
                Err(name) => {
                    map.next_value::<IgnoredAny>()?;
                    Event::Unknown(name)
                }
            };
            if matches!(event, Event::Known(_))
                || self.events.len() < limit && !self.events.contains(&event)
            {
                self.events.push(event);
            }
        }
        Ok(())
    }
}

/// The name of a field: its index where it is known.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let known = self.0.iter().position(|known| *known == name);
        Ok(known.ok_or_else(|| clip(name, NAME_LIMIT).to_owned()))
    }
}
