//! JSON objects in which a name stands once.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why bytes are no such object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ObjectError {
    /// They are no JSON object.
    Malformed,
    /// A name stands twice in an object, at any depth. Parsers differ in which of the two they believe (RFC 8259, 4).
    Duplicate,
    /// It holds more than [`MAX_VALUES`] values.
    TooManyValues,
}

/// Most values of an object, at all depths. Anybody may send a token: one that is made of empty lists costs a thousand
/// times what an ordinary one of its length costs.
pub(crate) const MAX_VALUES: u32 = 4096;

/// Reads a JSON object; nothing may follow it.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, ObjectError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(MAX_VALUES);
    let value = Unique(&left).deserialize(&mut deserializer);
    let value = value.map_err(|error| {
        // The visitor accepts every type, so that there is no other fault of class "data".
        match (error.is_data(), left.get()) {
            (true, 0) => ObjectError::TooManyValues,
            (true, _) => ObjectError::Duplicate,
            (false, _) => ObjectError::Malformed,
        }
    })?;
    deserializer.end().map_err(|_| ObjectError::Malformed)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ObjectError::Malformed),
    }
}

/// How many more values there may be.
#[derive(Clone, Copy)]
struct Unique<'a>(&'a Cell<u32>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(D::Error::custom("too many values"));
        };
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn duplicates_are_found_at_every_depth_and_in_every_spelling() {
        for duplicate in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":null}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"iss":"x","\u0069ss":"y"}"#,
        ] {
            assert_eq!(
                parse_object(duplicate.as_bytes()),
                Err(ObjectError::Duplicate),
                "{duplicate}"
            );
        }
    }

    #[test]
    fn values_are_counted_at_every_depth() {
        // The object and the list are two of them.
        let with = |count: usize| format!("{{\"a\":[{}]}}", vec!["[]"; count].join(","));
        let most = MAX_VALUES as usize - 2;
        assert!(parse_object(with(most).as_bytes()).is_ok());
        for count in [most + 1, 2 * most] {
            let error = parse_object(with(count).as_bytes()).unwrap_err();
            assert_eq!(error, ObjectError::TooManyValues);
        }
    }

    #[test]
    fn only_a_whole_object_is_one() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for malformed in [
            "",
            "1",
            "null",
            "\"a\"",
            "[]",
            "{",
            "{} {}",
            "{}x",
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            "{'a':1}",
            deep.as_str(),
        ] {
            assert_eq!(
                parse_object(malformed.as_bytes()),
                Err(ObjectError::Malformed),
                "{malformed:.40}"
            );
        }
        assert_eq!(
            parse_object(b"{\"a\":\"\xff\"}"),
            Err(ObjectError::Malformed)
        );
        assert!(parse_object(b" {\"a\": [true, null, 1, -1, 1.5, {}]} ").is_ok());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn objects_without_duplicates_read_as_serde_json_reads_them(value in prop::collection::btree_map(".*", json(), 0..8)) {
            let object: Map<String, Value> = value.into_iter().collect();
            let text = serde_json::to_vec(&object).unwrap();
            prop_assert_eq!(parse_object(&text), Ok(object));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _verdict = parse_object(&bytes);
        }
    }
}
