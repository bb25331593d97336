//! Where a catalogue is.

use std::fmt;

use url::Url;

use haulout_https::place;

/// What `--from` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    Url(Url),
    ConfigMap { namespace: String, name: String },
    File(String),
    Stdin,
}

/// What is wrong with `--from`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("--from is empty; name an https URL, configmap/NAMESPACE/NAME, a file, or - for stdin")]
    Empty,
    #[error("--from is no URL; write it as https://HOST/PATH")]
    NoUrl,
    #[error(
        "--from has the scheme \"{0}\" (must be \"https\"): who could change the catalogue on its way would choose where you log in"
    )]
    NotHttps(String),
    #[error(
        "--from has a user or password in its URL; a catalogue is for everybody who reaches it"
    )]
    Password,
    #[error("--from names no ConfigMap; write it as configmap/NAMESPACE/NAME")]
    NoConfigMap,
    #[error("--ca-bundle is for the server of a URL, and --from names none; leave it out")]
    CaBundle,
}

/// What kubectl takes for the kind.
const CONFIG_MAP: [&str; 3] = ["configmap", "configmaps", "cm"];

impl Source {
    pub(super) fn parse(from: &str) -> Result<Self, SourceError> {
        let object = from.split_once('/');
        if let Some((_, rest)) = object.filter(|(kind, _)| CONFIG_MAP.contains(kind)) {
            return match rest.split_once('/') {
                Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                    Ok(Self::ConfigMap {
                        namespace: namespace.to_owned(),
                        name: name.to_owned(),
                    })
                }
                _ => Err(SourceError::NoConfigMap),
            };
        }
        if from.contains("://") {
            let url = Url::parse(from).map_err(|_| SourceError::NoUrl)?;
            if url.scheme() != "https" {
                return Err(SourceError::NotHttps(url.scheme().to_owned()));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(SourceError::Password);
            }
            return Ok(Self::Url(url));
        }
        match from {
            "" => Err(SourceError::Empty),
            "-" => Ok(Self::Stdin),
            path => Ok(Self::File(path.to_owned())),
        }
    }
}

/// As messages name it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&place(url)),
            Self::ConfigMap { namespace, name } => write!(f, "configmap/{namespace}/{name}"),
            Self::File(path) => f.write_str(path),
            Self::Stdin => f.write_str("-"),
        }
    }
}

/// Whether it can be the name of an object, and thus a part of a path.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_from_the_others() {
        let file = |path: &str| Ok(Source::File(path.to_owned()));
        let cases = [
            (
                "https://intranet.example.com/clusters.yaml",
                Ok(Source::Url(
                    Url::parse("https://intranet.example.com/clusters.yaml").unwrap(),
                )),
            ),
            (
                "configmap/kube-public/clusters",
                Ok(Source::ConfigMap {
                    namespace: "kube-public".to_owned(),
                    name: "clusters".to_owned(),
                }),
            ),
            (
                "configmaps/kube-public/clusters",
                Source::parse("configmap/kube-public/clusters"),
            ),
            (
                "cm/kube-public/clusters",
                Source::parse("configmap/kube-public/clusters"),
            ),
            ("clusters.yaml", file("clusters.yaml")),
            ("cm", file("cm")),
            ("secret/a/b", file("secret/a/b")),
            ("./configmap/a/b", file("./configmap/a/b")),
            ("-", Ok(Source::Stdin)),
            ("", Err(SourceError::Empty)),
            ("http://h/c", Err(SourceError::NotHttps("http".to_owned()))),
            ("https://", Err(SourceError::NoUrl)),
            ("https://u:p@h/c", Err(SourceError::Password)),
            ("configmap/a", Err(SourceError::NoConfigMap)),
            ("cm/a", Err(SourceError::NoConfigMap)),
            ("configmap/a/b/c", Err(SourceError::NoConfigMap)),
            ("configmap//b", Err(SourceError::NoConfigMap)),
            ("configmap/../b", Err(SourceError::NoConfigMap)),
        ];
        for (from, expected) in cases {
            assert_eq!(Source::parse(from), expected, "{from}");
        }
    }
}
