//! The `Warning` header of RFC 7234, 5.5: `299 - "text"`, several with commas between, each with a date after it or without.

/// The texts of those with code 299, which is for people; from the first that is malformed on, nothing is read.
pub(super) fn texts(value: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = value.trim_start();
    while let Some((code, text, after)) = read_one(rest) {
        if code == "299" && !text.is_empty() {
            texts.push(text);
        }
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
    }
    texts
}

/// Code, text and what follows.
fn read_one(value: &str) -> Option<(&str, String, &str)> {
    let (code, rest) = value.split_once(' ')?;
    let (agent, rest) = rest.split_once(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    if !is_code || agent.is_empty() {
        return None;
    }
    let (text, rest) = quoted(rest)?;
    // The date says nothing that the answer does not.
    let after = match rest.strip_prefix(' ').and_then(quoted) {
        Some((_date, after)) => after,
        None => rest,
    };
    let ends = after.trim_start();
    (ends.is_empty() || ends.starts_with(',')).then_some((code, text, after))
}

/// A quoted string (RFC 7230, 3.2.6) at the start, and what follows it.
fn quoted(value: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let inner = value.strip_prefix('"')?;
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c102_warnings_are_read_and_malformed_ones_skipped() {
        for (value, expected) in [
            (r#"299 - "a text""#, &["a text"][..]),
            (r#"299 - "say \"a\\b\"""#, &[r#"say "a\b""#]),
            (r#"299 - "a, b", 299 kube "c""#, &["a, b", "c"]),
            (
                r#"299 - "a" "Wed, 18 Nov 2026 11:06:40 GMT", 299 - "b""#,
                &["a", "b"],
            ),
            (r#"199 - "other code", 299 - "a""#, &["a"]),
            (r#"299 - """#, &[]),
            (r#"299 - "a", nonsense"#, &["a"]),
            ("", &[]),
            ("299", &[]),
            ("299 -", &[]),
            ("299 - text", &[]),
            (r#"299 - "no end"#, &[]),
            (r#"299 - "no end\"#, &[]),
            (r#"29 - "a""#, &[]),
            (r#"2999 - "a""#, &[]),
            (r#"x99 - "a""#, &[]),
            (r#"299  "no agent""#, &[]),
            (r#"299 - "a" more"#, &[]),
        ] {
            assert_eq!(texts(value), expected, "{value}");
        }
    }
}
