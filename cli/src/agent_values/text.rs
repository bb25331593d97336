//! The chart's values as YAML, with how they were found.

use std::fmt::{self, Write as _};

use haulout_api::controller_manager::{CONTROL_PLANE_LABEL, RunAs, SigningFile, SigningFiles};

use crate::agent_placement::AgentValues;

impl fmt::Display for AgentValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SigningFiles {
            certificate,
            key,
            run_as: RunAs { user, group },
        } = &self.files;
        for (pod, node) in &self.pods {
            writeln!(f, "# {} on node {}", ascii(pod), ascii(node))?;
        }
        writeln!(f, "# signs with {}", Origin(certificate))?;
        writeln!(f, "# and {}", Origin(key))?;
        writeln!(f, "# and runs as user {user}, group {group}.")?;
        for node in &self.unlabelled {
            writeln!(
                f,
                "# Mind: node {} has no label {CONTROL_PLANE_LABEL}, so no agent would run there.",
                ascii(node)
            )?;
        }
        for node in &self.without {
            writeln!(
                f,
                "# Mind: node {} has that label of a control plane node, but no kube-controller-manager runs there.",
                ascii(node)
            )?;
        }
        writeln!(f, "agent:")?;
        if let Some(preset) = self.preset() {
            writeln!(f, "  preset: {preset}")?;
        } else {
            writeln!(f, "  preset: custom")?;
            writeln!(f, "  certFile: {}", quoted(&certificate.host_path))?;
            writeln!(f, "  keyFile: {}", quoted(&key.host_path))?;
            writeln!(f, "  runAsUser: {user}")?;
            writeln!(f, "  runAsGroup: {group}")?;
        }
        if !self.label_value.is_empty() {
            writeln!(f, "  # The value that the control plane nodes have.")?;
            writeln!(f, "  nodeSelector:")?;
            writeln!(
                f,
                "    {CONTROL_PLANE_LABEL}: {}",
                quoted(&self.label_value)
            )?;
        }
        Ok(())
    }
}

/// A file, and where its path comes from.
struct Origin<'a>(&'a SigningFile);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SigningFile {
            flag,
            path,
            host_path,
        } = self.0;
        write!(f, "{}", ascii(host_path))?;
        if host_path != path {
            write!(f, ", {} in its container", ascii(path))?;
        }
        match flag {
            Some(flag) => write!(f, " ({flag})"),
            None => f.write_str(" (the default path)"),
        }
    }
}

/// As a string of YAML.
pub(super) fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        ascii(&text.replace('\\', r"\\").replace('"', "\\\""))
    )
}

/// The text in printable ASCII, the rest escaped as in a string of YAML: for a reader of YAML 1.1, which Helm has, U+2028 ends
/// a comment too.
fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => ascii.push(c),
            c => {
                // Writing to a String does not fail.
                let _infallible = write!(ascii, "\\U{:08X}", u32::from(c));
            }
        }
    }
    ascii
}
