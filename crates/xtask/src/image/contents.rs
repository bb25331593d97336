//! What is in each image, and how it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use haulout_image::{Config, Content, File, Image, Owner};
use haulout_tests::cluster::workspace_root;

use super::trust;

/// Before the name of each image; tools complete it with the registry that they take by default.
const REPOSITORY: &str = "haulout";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const PROGRAM_MODE: u32 = 0o555;
const DOCUMENT_MODE: u32 = 0o444;

/// A program that has an image.
#[derive(Debug)]
pub(super) struct Program {
    /// Of the program, its package and its image.
    pub(super) name: &'static str,
    /// Whom it runs as, unless the pod says otherwise.
    pub(super) user: u32,
    ports: &'static [u16],
    description: &'static str,
    /// Whether it calls servers of others by name.
    calls_out: bool,
}

pub(super) const WEBHOOK: Program = Program {
    name: "haulout-webhook",
    user: 65532,
    ports: &[8080, 8443, 10250],
    description: "Exchanges OIDC tokens for client certificates that live minutes",
    calls_out: true,
};

/// Its user is the one that Talos runs kube-controller-manager as, who alone can read the key there.
pub(super) const AGENT: Program = Program {
    name: "haulout-agent",
    user: 65535,
    ports: &[9443, 9444],
    description: "Signs client certificates beside kube-controller-manager",
    calls_out: false,
};

/// What goes into an image beside the program.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) licences: String,
    pub(super) sbom: String,
}

/// Without this file the C library asks DNS first, and never sees a pod's `hostAliases` when DNS answers.
const NAME_LOOKUPS: (&str, &str) = ("/etc/nsswitch.conf", "hosts: files dns\n");

impl Program {
    /// Path in the image.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Packages whose data is in the image.
    pub(super) fn data(&self) -> &'static [&'static str] {
        if self.calls_out {
            &[trust::PACKAGE]
        } else {
            &[]
        }
    }

    pub(super) fn image(&self, program: PathBuf, documents: Documents) -> anyhow::Result<Image> {
        let own_licence = Content::Source(workspace_root().join("LICENSE"));
        let mut files = vec![
            file(self.path(), PROGRAM_MODE, Content::Source(program)),
            file("/licenses/LICENSE", DOCUMENT_MODE, own_licence),
            text("/licenses/THIRD-PARTY.txt", documents.licences),
            text(format!("/sbom/{}.cdx.json", self.name), documents.sbom),
        ];
        if self.calls_out {
            files.push(text(trust::PATH, trust::public_authorities()?));
            files.push(text(NAME_LOOKUPS.0, NAME_LOOKUPS.1.to_owned()));
        }
        Ok(Image {
            reference: format!("{REPOSITORY}/{}:{VERSION}", self.name),
            architecture: "amd64".to_owned(),
            config: Config {
                entrypoint: vec![self.path()],
                user: Owner {
                    user: self.user,
                    group: self.user,
                },
                working_directory: "/".to_owned(),
                environment: BTreeMap::new(),
                ports: self.ports.to_vec(),
                labels: self.labels(),
            },
            files,
        })
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let label = |(name, value): (&str, &str)| {
            let name = format!("org.opencontainers.image.{name}");
            (name, value.to_owned())
        };
        [
            ("title", self.name),
            ("description", self.description),
            ("version", VERSION),
            ("licenses", "Apache-2.0"),
        ]
        .into_iter()
        .map(label)
        .collect()
    }
}

fn text(path: impl Into<String>, text: String) -> File {
    file(path, DOCUMENT_MODE, Content::Bytes(text.into_bytes()))
}

/// A file that whoever breaks into the program cannot change.
fn file(path: impl Into<String>, mode: u32, content: Content) -> File {
    File {
        path: path.into(),
        content,
        mode,
        owner: Owner::ROOT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(program: &Program) -> Image {
        let documents = Documents {
            licences: "licences".to_owned(),
            sbom: "{}".to_owned(),
        };
        program.image("/program".into(), documents).unwrap()
    }

    fn paths(image: &Image) -> Vec<&str> {
        let mut paths: Vec<&str> = image.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn the_agent_has_its_program_and_documents_only() {
        let image = image(&AGENT);
        assert_eq!(
            paths(&image),
            [
                "/haulout-agent",
                "/licenses/LICENSE",
                "/licenses/THIRD-PARTY.txt",
                "/sbom/haulout-agent.cdx.json"
            ]
        );
        assert_eq!(image.config.entrypoint, ["/haulout-agent"]);
        assert_eq!(image.config.user.user, 65535);
    }

    #[test]
    fn the_webhook_can_call_public_issuers() {
        let image = image(&WEBHOOK);
        assert_eq!(
            paths(&image),
            [
                "/etc/nsswitch.conf",
                "/etc/ssl/certs/ca-certificates.crt",
                "/haulout-webhook",
                "/licenses/LICENSE",
                "/licenses/THIRD-PARTY.txt",
                "/sbom/haulout-webhook.cdx.json"
            ]
        );
        assert_eq!(image.config.user.user, 65532);
    }

    #[test]
    fn nobody_but_root_can_change_a_file() {
        for file in image(&WEBHOOK).files {
            assert_eq!(file.owner, Owner::ROOT, "{}", file.path);
            assert_eq!(file.mode & 0o222, 0, "{}", file.path);
        }
    }

    #[test]
    fn names_are_those_of_the_chart() {
        assert_eq!(
            image(&WEBHOOK).reference,
            format!("haulout/haulout-webhook:{VERSION}")
        );
        assert_eq!(
            image(&AGENT).reference,
            format!("haulout/haulout-agent:{VERSION}")
        );
    }
}
