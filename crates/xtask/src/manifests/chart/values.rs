//! The table of a chart's values, from the comments in its `values.yaml`.

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A key with the comment above it.
struct Entry<'a> {
    path: Vec<&'a str>,
    comment: String,
}

/// One Markdown table row for each value: its path, its default, and the comment above it. A mapping without comments
/// inside is one value.
///
/// # Errors
/// The text is no YAML, or a value has no comment.
pub(super) fn rows(text: &str) -> anyhow::Result<Vec<String>> {
    let defaults: Value = serde_saphyr::from_str(text).context("values.yaml is no YAML")?;
    let entries = entries(text);
    let mut rows = Vec::new();
    let mut whole: &[&str] = &[];
    for (index, entry) in entries.iter().enumerate() {
        let Entry { path, comment } = entry;
        if !whole.is_empty() && path.starts_with(whole) {
            continue;
        }
        let following = entries.iter().skip(index + 1);
        let mut inside = following.take_while(|other| other.path.starts_with(path));
        if inside.any(|other| !other.comment.is_empty()) {
            continue;
        }
        whole = path;
        let name = path.join(".");
        ensure!(!comment.is_empty(), "values.yaml: {name} has no comment");
        let value = defaults.pointer(&format!("/{}", path.join("/")));
        let value = value.with_context(|| format!("values.yaml: {name} is not there"))?;
        let comment = comment.replace('|', "\\|");
        rows.push(format!("| `{name}` | `{value}` | {comment} |"));
    }
    Ok(rows)
}

/// The keys of the text, two spaces deeper for each mapping that they are in.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut comment = String::new();
    let mut path: Vec<&str> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(more) = content.strip_prefix('#') {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(more.trim());
            continue;
        }
        let comment = std::mem::take(&mut comment);
        // An empty line ends the comment above it, and items of lists belong to their value.
        let key = content.split_once(':').map(|(key, _)| key);
        if let Some(key) = key.filter(|key| key.chars().all(char::is_alphanumeric)) {
            path.truncate((line.len() - content.len()) / 2);
            path.push(key);
            entries.push(Entry {
                path: path.clone(),
                comment,
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_a_row() {
        let text = "# Of the file.\n\n# Told.\na: 1\n\n# A section.\nb:\n  # One\n  # thing | another.\n  c: [x]\n  d:\n    # Deep.\n    e: \"\"\n# A whole.\nf:\n  g: {h: 1}\n  kubernetes.io/os: linux\n# Last.\ni:\n  - {j: 1}\n";
        let expected = [
            "| `a` | `1` | Told. |",
            r#"| `b.c` | `["x"]` | One thing \| another. |"#,
            r#"| `b.d.e` | `""` | Deep. |"#,
            r#"| `f` | `{"g":{"h":1},"kubernetes.io/os":"linux"}` | A whole. |"#,
            r#"| `i` | `[{"j":1}]` | Last. |"#,
        ];
        assert_eq!(rows(text).unwrap(), expected);
    }

    #[test]
    fn a_value_without_comment_is_a_fault() {
        let error = rows("# Told.\na: 1\nb: 2\n").unwrap_err().to_string();
        assert_eq!(error, "values.yaml: b has no comment");
    }
}
