//! Names of claims as they are written in an expression, where `kubernetes.io` is `kubernetes__dot__io`.

use std::borrow::Cow;

/// Reserved words of CEL, which are written `__in__` (Kubernetes `cel.Unescape`).
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What `name` stands for; `None` if it has an escape that means nothing.
pub(super) fn unescape(name: &str) -> Option<Cow<'_, str>> {
    if !may_be_escaped(name) {
        return Some(Cow::Borrowed(name));
    }
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("__") {
        plain.push_str(before);
        // An escape is two underscores, something without any, and two underscores again.
        match after.split_once('_') {
            Some((word, tail)) if !word.is_empty() && tail.starts_with('_') => {
                match word {
                    "underscores" => plain.push_str("__"),
                    "dot" => plain.push('.'),
                    "dash" => plain.push('-'),
                    "slash" => plain.push('/'),
                    word if RESERVED.contains(&word) && name.len() == word.len() + 4 => {
                        plain.push_str(word);
                    }
                    _ => return None,
                }
                rest = tail.strip_prefix('_').unwrap_or_default();
            }
            // Three underscores in a row: the escape may begin at the second.
            _ => {
                plain.push('_');
                rest = rest
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .unwrap_or_default();
            }
        }
    }
    plain.push_str(rest);
    Some(Cow::Owned(plain))
}

/// Whether `name` holds what every escape begins with.
pub(super) fn may_be_escaped(name: &str) -> bool {
    name.contains("__")
}

/// Whether `name` stands for anything but itself.
pub(super) fn is_escaped(name: &str) -> bool {
    unescape(name).is_none_or(|plain| plain != name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_kubernetes() {
        for (name, plain) in [
            ("plain", Some("plain")),
            ("a_b", Some("a_b")),
            ("a__b", Some("a__b")),
            ("a__dot__b", Some("a.b")),
            ("a__dash__b__slash__c", Some("a-b/c")),
            ("a__underscores__b", Some("a__b")),
            ("__in__", Some("in")),
            ("x__in__", None),
            ("a__nope__b", None),
            ("___dot__", Some("_.")),
            ("a___b", Some("a___b")),
            ("__dot____dot__", Some("..")),
            ("", Some("")),
            ("__", Some("__")),
            ("a__dot_b", Some("a__dot_b")),
            ("kubernetes.io", Some("kubernetes.io")),
        ] {
            assert_eq!(unescape(name).as_deref(), plain, "{name}");
        }
    }
}
