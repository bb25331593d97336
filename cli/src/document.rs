//! Results for programs, as JSON or YAML. They go to terminals too, and hold names that others have chosen: what does not show, such
//! as a command to a terminal or a turn of the direction of writing, is escaped, which a reader takes for the same text.

use serde::Serialize;
use serde_json::Value;

/// Why a result could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("failed to encode the result")]
pub(crate) enum EncodeError {
    /// As JSON, or as a tree of values, whose keys are sorted.
    Json(#[source] serde_json::Error),
    /// As YAML.
    Yaml(#[source] Box<serde_saphyr::ser::Error>),
}

/// JSON on lines of its own, without an end of the last one.
pub(crate) fn to_json(result: &impl Serialize) -> Result<String, EncodeError> {
    let text = serde_json::to_string_pretty(result).map_err(EncodeError::Json)?;
    Ok(escape(&text, |c| {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        units.map(|unit| format!("\\u{unit:04x}")).collect()
    }))
}

/// JSON's syntax with YAML's escapes, which know no surrogates.
fn to_flow_yaml(tree: &Value) -> Result<String, EncodeError> {
    let text = serde_json::to_string_pretty(tree).map_err(EncodeError::Json)?;
    Ok(escape(&text, |c| match u32::from(c) {
        code @ 0x1_0000.. => format!("\\U{code:08x}"),
        code => format!("\\u{code:04x}"),
    }) + "\n")
}

/// A text of JSON with all that does not show escaped. Outside of strings all is ASCII that shows, and ends of lines.
fn escape(text: &str, escaped: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match does_show(c) {
            true => shown.push(c),
            false => shown += &escaped(c),
        }
    }
    shown
}

/// YAML with sorted keys. Where something would not show, its strings are quoted and escaped as in JSON.
pub(crate) fn to_yaml(result: &impl Serialize) -> Result<String, EncodeError> {
    let tree = serde_json::to_value(result).map_err(EncodeError::Json)?;
    // A long text stays in one line, so that whoever searches for a CA finds it.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(&tree, options)
        .map_err(|error| EncodeError::Yaml(Box::new(error)))?;
    match text.chars().all(does_show) {
        true => Ok(text),
        false => to_flow_yaml(&tree),
    }
}

/// Whether it can stand in a text as it is.
fn does_show(c: char) -> bool {
    match c {
        '\n' | ' '..='~' => true,
        // Behind another one, on which a mark shows that has no place of its own.
        c => String::from_iter(['-', c]).escape_debug().count() == 2,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_show_is_escaped_and_stays_the_same() {
        for (name, expected) in [
            ("für ปั้น 🦭 \"a\\b\"", r#""für ปั้น 🦭 \"a\\b\"""#),
            ("\u{9b}2J\u{7f}", r#""\u009b2J\u007f""#),
            ("a\u{202e}b\u{2066}\u{200b}", r#""a\u202eb\u2066\u200b""#),
            ("\u{1b}\n\u{2028}", r#""\u001b\n\u2028""#),
            ("\u{e0001}", r#""\udb40\udc01""#),
        ] {
            let result = json!({ name: [name] });
            let text = to_json(&result).unwrap();
            assert!(text.contains(expected), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), result);
        }
    }

    /// kubectl's parser refuses half a pair.
    #[test]
    fn yaml_has_no_surrogates() {
        let text = to_yaml(&json!("\u{e0001}\u{200b}")).unwrap();
        assert_eq!(text, "\"\\U000e0001\\u200b\"\n");
    }

    #[test]
    fn yaml_is_json_where_it_would_not_show() {
        for (name, is_json) in [
            ("für ปั้น", false),
            ("a\u{1b}[2J\u{9b}\nb", false),
            ("a\u{202e}b\n", true),
            ("\u{200b}", true),
            ("\u{e0001}", true),
        ] {
            let result = json!({ "b": [name], "a": name });
            let text = to_yaml(&result).unwrap();
            assert_eq!(text.starts_with('{'), is_json, "{text}");
            assert!(text.chars().all(does_show), "{text}");
            assert!(text.ends_with('\n'));
            assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), result);
        }
    }
}
