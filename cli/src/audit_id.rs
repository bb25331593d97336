//! The identifier by which an administrator finds a call in the logs of his server.

use http::HeaderMap;

/// That of an answer, if it looks like one.
pub(crate) fn audit_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("audit-id")?.to_str().ok()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (!id.is_empty() && id.len() <= 64 && id.bytes().all(allowed)).then_some(id)
}

/// What a message of a refusal ends with: who can find out more, and how.
pub(crate) fn audit_hint(whose: &str, audit_id: Option<&str>) -> String {
    audit_id.map_or_else(String::new, |id| {
        format!(" (the {whose}'s administrator finds the reason under Audit-ID {id})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_ids_that_are_none_are_not_shown() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("audit-id", value.parse().unwrap());
            audit_id(&headers).map(str::to_owned)
        };
        assert_eq!(of("d6e1c0f8-1.a_B").as_deref(), Some("d6e1c0f8-1.a_B"));
        assert_eq!(of("a b"), None);
        assert_eq!(of(""), None);
        assert_eq!(of(&"a".repeat(65)), None);
        assert_eq!(audit_id(&HeaderMap::new()), None);
    }
}
