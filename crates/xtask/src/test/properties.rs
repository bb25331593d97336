//! Finds the property tests: functions inside `proptest!` blocks.

use std::path::Path;

use anyhow::Context as _;

/// Names of all property tests in the workspace's sources.
///
/// # Errors
/// A source file cannot be read.
pub(super) fn find(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for member in ["crates", "webhook", "agent", "cli", "tests"] {
        crate::files::visit(&root.join(member), "rs", &mut |path| {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            names.extend(in_source(&text));
            Ok(())
        })?;
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Functions between a line that opens `proptest! {` and the line that closes it at the same depth, as rustfmt lays it out.
fn in_source(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut end: Option<String> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match &end {
            None if line.trim() == "proptest! {" => end = Some(format!("{}}}", " ".repeat(indent))),
            Some(end_line) if line == end_line => end = None,
            Some(_) => names.extend(function_name(line)),
            None => {}
        }
    }
    names
}

fn function_name(line: &str) -> Option<String> {
    let (name, _) = line.trim_start().strip_prefix("fn ")?.split_once('(')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_inside_the_macro_are_found() {
        let text = "fn helper() {}\n    proptest! {\n        #[test]\n        fn first(a in any::<u8>()) {\n            fine();\n        }\n\n        fn second(\n            a in \".*\",\n        ) {\n        }\n    }\n    fn after() {}\n";
        assert_eq!(in_source(text), ["first", "second"]);
    }

    #[test]
    fn this_workspace_has_some() {
        let names = find(haulout_tests::cluster::workspace_root()).unwrap();
        assert!(!names.is_empty());
    }
}
