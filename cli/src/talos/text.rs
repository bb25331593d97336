//! The text of a patch: a file of `talos-patches`, with what is known of the cluster filled in.

use std::fmt::Write as _;

use haulout_api::group::ApiGroupSuffix;
use serde_json::{Value, json};

use super::decide::{Plan, Variant};

/// Files of `talos-patches`.
mod files {
    macro_rules! file {
        ($path:literal) => {
            include_str!(concat!("../../../talos-patches/", $path))
        };
    }

    pub(super) const DOCUMENT: &str = file!("1.14/least-privilege.yaml");
    pub(super) const FILE: &str = file!("1.13/least-privilege-file.yaml");
    pub(super) const FLAGS: &str = file!("1.13/least-privilege-flags.yaml");
    pub(super) const ANONYMOUS_AUTH: &str = file!("legacy/anonymous-auth.yaml");
    pub(super) const CLUSTER_INFO: &str = file!("cluster-info.template.yaml");
    pub(super) const CLUSTER_INFO_DOCUMENT: &str = file!("1.14/cluster-info.template.yaml");
    pub(super) const PSA_EXEMPTION: &str = file!("optional/psa-exemption.yaml");
    pub(super) const PSA_EXEMPTION_DOCUMENT: &str = file!("1.14/optional/psa-exemption.yaml");
    pub(super) const INSTALL_EXTERNAL: &str = file!("install-external.yaml");
    pub(super) const INSTALL_EXTERNAL_DOCUMENT: &str = file!("1.14/install-external.yaml");
    pub(super) const INSTALL_INLINE: &str = file!("install-inline.template.yaml");
}

/// The URL that `install-external.yaml` has in place of one's own.
const EXAMPLE_URL: &str = "https://manifests.example.com/haulout/0.1.0/install-talos.yaml";
/// Columns of a comment.
const WIDTH: usize = 120;

/// The patch, with the notes on it above.
pub(crate) fn render(
    plan: &Plan,
    suffix: &ApiGroupSuffix,
) -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::new();
    for note in &plan.notes {
        comment(&mut text, &note.to_string());
    }
    if !plan.notes.is_empty() {
        text.push_str("#\n");
    }
    let default_group = ApiGroupSuffix::default().login_group();
    let file = file(&plan.variant).replace(&default_group, &suffix.login_group());
    text.push_str(&fill(file, &plan.variant)?);
    Ok(text)
}

fn file(variant: &Variant) -> &'static str {
    match variant {
        Variant::Document { .. } => files::DOCUMENT,
        Variant::File { .. } => files::FILE,
        Variant::Flags { .. } => files::FLAGS,
        Variant::AnonymousAuth => files::ANONYMOUS_AUTH,
        Variant::ClusterInfo { is_document, .. } if *is_document => files::CLUSTER_INFO_DOCUMENT,
        Variant::ClusterInfo { .. } => files::CLUSTER_INFO,
        Variant::PsaExemption { is_document: true } => files::PSA_EXEMPTION_DOCUMENT,
        Variant::PsaExemption { is_document: false } => files::PSA_EXEMPTION,
        Variant::InstallExternal { is_document, .. } if *is_document => {
            files::INSTALL_EXTERNAL_DOCUMENT
        }
        Variant::InstallExternal { .. } => files::INSTALL_EXTERNAL,
        Variant::InstallInline { .. } => files::INSTALL_INLINE,
    }
}

fn fill(file: String, variant: &Variant) -> Result<String, serde_saphyr::ser::Error> {
    Ok(match variant {
        Variant::Document { more_paths, jwt } => carry(file, more_paths, jwt, 2)?,
        Variant::File { more_paths, jwt } => carry(file, more_paths, jwt, 8)?,
        Variant::Flags { feature_gates } => flags(file, feature_gates.as_deref())?,
        Variant::ClusterInfo {
            server,
            certificate_authority_data: data,
            ..
        } => file
            .replace("server: $SERVER", &format!("server: {server}"))
            .replace("data: $CA_DATA", &format!("data: {data}")),
        Variant::InstallExternal { url, .. } => file.replace(EXAMPLE_URL, url),
        Variant::InstallInline { manifest } => {
            file.replace("        $MANIFEST\n", &indented(manifest, 8))
        }
        Variant::AnonymousAuth | Variant::PsaExemption { .. } => file,
    })
}

/// Adds paths and `jwt` entries to an AuthenticationConfiguration that stands `column` to the right.
fn carry(
    file: String,
    more_paths: &[String],
    jwt: &[Value],
    column: usize,
) -> Result<String, serde_saphyr::ser::Error> {
    let mut text = file;
    if !more_paths.is_empty() {
        let conditions: Vec<_> = more_paths
            .iter()
            .map(|path| json!({"path": path}))
            .collect();
        let conditions = indented(&serde_saphyr::to_string(&conditions)?, column + 4);
        let login = indented("- path: /apis/", column + 4);
        let login = login.trim_end();
        text = text.replace(login, &format!("{conditions}{login}"));
    }
    if !jwt.is_empty() {
        let entries = indented(&serde_saphyr::to_string(&jwt)?, column + 2);
        let none = indented("jwt: []", column);
        let key = indented("jwt:", column);
        text = text.replace(&none, &format!("{key}{entries}"));
    }
    Ok(text)
}

fn flags(file: String, feature_gates: Option<&str>) -> Result<String, serde_saphyr::ser::Error> {
    let Some(gates) = feature_gates else {
        return Ok(file);
    };
    let line = indented(
        &serde_saphyr::to_string(&json!({"feature-gates": gates}))?,
        6,
    );
    let before = "    extraVolumes:\n";
    Ok(file.replace(before, &format!("{line}{before}")))
}

/// All lines but empty ones moved to the right.
fn indented(text: &str, columns: usize) -> String {
    let mut indented = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        if !line.is_empty() {
            // Writing to a String does not fail.
            let _infallible = write!(indented, "{:columns$}{line}", "");
        }
        indented.push('\n');
    }
    indented
}

/// Appends a comment, in lines that are not too long. Text of others in it cannot end the comment.
fn comment(text: &mut String, comment: &str) {
    let mut column = 0;
    for word in comment.split_whitespace() {
        let word = crate::printable(word);
        let length = word.chars().count() + 1;
        if column == 0 || column + length > WIDTH {
            text.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        let _infallible = write!(text, " {word}");
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
