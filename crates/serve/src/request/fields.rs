//! Objects of JSON read field by field, as `sigs.k8s.io/json` reads them: names are
//! case-sensitive, `null` leaves a field as it is, and fields that are unknown or stand twice are
//! noted with their path.
//!
//! Each level is split into the raw texts of its known fields before any of them is read. That
//! scans a deep value once per level, but holds no tree, whatever the size of the body, and no
//! message can hold a value of the body: a token may stand anywhere in a body that is wrong.

mod object;

use std::borrow::Cow;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

pub(super) use self::object::Object;

/// How many faults of one body are noted; each can become a header.
const FAULT_LIMIT: usize = 16;

/// Fields that are unknown or stand twice, in the order in which they stand.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn note(&mut self, fault: String) {
        if self.0.len() < FAULT_LIMIT && !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.0
    }
}

/// The names from the root to a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'p> {
    pub(super) parent: Option<&'p Self>,
    pub(super) name: &'p str,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

/// A value of another type than its field's; the text is Go's.
#[derive(Debug)]
pub(super) struct TypeFault(Option<String>);

impl fmt::Display for TypeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            self.0
                .as_deref()
                .unwrap_or("a value is not what its field takes"),
        )
    }
}

impl std::error::Error for TypeFault {}

/// None of these repeats a value. What they leave out is added where the field is known.
impl de::Error for TypeFault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self(None)
    }
}

/// What stands at a place, in the words of Go.
pub(super) fn type_of(raw: &str) -> &'static str {
    match raw.trim_ascii_start().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// One value, which may be a token, and the place at which it stands. Without `Debug` for the token's sake.
pub(super) struct Field<'a, 'de> {
    pub(super) raw: &'de str,
    /// The type that the field belongs to.
    pub(super) owner: &'static str,
    pub(super) path: Path<'a>,
    pub(super) faults: &'a mut Faults,
}

impl<'de> Field<'_, 'de> {
    /// The fault that the value is not of type `wanted`.
    pub(super) fn mismatch(&self, wanted: &str) -> TypeFault {
        mismatch(self.raw, self.owner, &self.path, wanted)
    }

    /// Judges the outermost type only, for fields that nobody reads.
    pub(super) fn must_be(&self, found: &str, wanted: &str) -> Result<(), TypeFault> {
        if type_of(self.raw) == found {
            Ok(())
        } else {
            Err(self.mismatch(wanted))
        }
    }

    /// A string. What is no UTF-8 in it, and half a surrogate pair, is replaced as in Go.
    pub(super) fn text(&self) -> Result<Cow<'de, str>, TypeFault> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Self::Value, E> {
                Ok(String::from_utf8_lossy(text))
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Self::Value, E> {
                Ok(Cow::Owned(String::from_utf8_lossy(text).into_owned()))
            }
        }

        if type_of(self.raw) != "string" {
            return Err(self.mismatch("string"));
        }
        serde_json::Deserializer::from_str(self.raw)
            .deserialize_bytes(Text)
            .map_err(|_| self.mismatch("string"))
    }
}

impl<'de> Deserializer<'de> for Field<'_, 'de> {
    type Error = TypeFault;

    /// Everything but strings, options and structs; fields in it are not judged.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        serde_json::Deserializer::from_str(self.raw)
            .deserialize_any(visitor)
            .map_err(|_| self.mismatch("another type"))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        // `null` never comes here.
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeFault> {
        let Self {
            raw,
            owner,
            path,
            faults,
        } = self;
        let mismatch = || mismatch(raw, owner, &path, &format!("v1alpha1.{name}"));
        if type_of(raw) != "object" {
            return Err(mismatch());
        }
        let object = Object::split(raw, names).map_err(|_| mismatch())?;
        visitor
            .visit_map(Fields {
                object,
                owner: name,
                path,
                faults,
                value: None,
            })
            .map_err(|fault| if fault.0.is_some() { fault } else { mismatch() })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn mismatch(raw: &str, owner: &str, path: &Path<'_>, wanted: &str) -> TypeFault {
    let found = type_of(raw);
    TypeFault(Some(format!(
        "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {wanted}"
    )))
}

/// The fields of a struct, for its derived `Deserialize`.
struct Fields<'a, 'de> {
    object: Object<'de>,
    owner: &'static str,
    path: Path<'a>,
    faults: &'a mut Faults,
    /// The field whose name was given last.
    value: Option<(&'static str, &'de str)>,
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = TypeFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, TypeFault> {
        self.value = self.object.next(Some(&self.path), self.faults);
        let Some((name, _)) = self.value else {
            return Ok(None);
        };
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, TypeFault> {
        let (name, raw) = self.value.take().ok_or(TypeFault(None))?;
        seed.deserialize(Field {
            raw,
            owner: self.owner,
            path: Path {
                parent: Some(&self.path),
                name,
            },
            faults: self.faults,
        })
    }
}
