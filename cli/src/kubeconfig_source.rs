//! The kubeconfig of whoever runs the command, found and read as kubectl does.

use std::io;
use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::Environment;

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeconfigFault {
    #[error("neither --kubeconfig, nor KUBECONFIG, nor HOME is set")]
    NotNamed,
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// What the parser says of it repeats lines and values, which may be secrets.
    #[error("{} is no kubeconfig; something does not belong there{}", path.display(), at(*place))]
    Damaged {
        path: PathBuf,
        /// Line and column, where they are known.
        place: Option<(u64, u64)>,
    },
    #[error(transparent)]
    Unusable(#[from] Box<KubeconfigError>),
}

impl KubeconfigFault {
    fn of_file(path: PathBuf, error: KubeconfigError) -> Self {
        let KubeconfigError::Parse(error) = error else {
            return Self::Unusable(Box::new(error));
        };
        let place = error.location().filter(|place| place.line() > 0);
        let place = place.map(|place| (place.line(), place.column()));
        Self::Damaged { path, place }
    }
}

fn at(place: Option<(u64, u64)>) -> String {
    place.map_or_else(String::new, |(line, column)| {
        format!(", at line {line} column {column}")
    })
}

/// Reads a file that is named, else all those of `$KUBECONFIG`, else `~/.kube/config`. Of a list, those that are missing are
/// passed over.
pub(crate) fn read(
    named: Option<&Path>,
    environment: Environment<'_>,
) -> Result<Kubeconfig, KubeconfigFault> {
    let (mut merged, mut missing) = (None, None);
    for path in paths(named, environment) {
        let mut next = match Kubeconfig::read_from(&path) {
            Err(KubeconfigError::ReadConfig(error, _))
                if error.kind() == io::ErrorKind::NotFound =>
            {
                missing = Some(path);
                continue;
            }
            Err(error) => return Err(KubeconfigFault::of_file(path, error)),
            Ok(read) => read,
        };
        drop_empty_fields(&mut next, &path);
        merged = Some(match merged {
            Some(merged) => Kubeconfig::merge(merged, next).map_err(Box::new)?,
            None => next,
        });
    }
    let nothing = || missing.map_or(KubeconfigFault::NotNamed, KubeconfigFault::Missing);
    merged.ok_or_else(nothing)
}

/// kubectl takes an empty text for none. A path that is empty is the file's folder by now.
fn drop_empty_fields(kubeconfig: &mut Kubeconfig, file: &Path) {
    let folder = file.parent().map(|folder| folder.join(""));
    let folder = folder.as_deref().and_then(Path::to_str);
    let is_empty = |text: &mut String| text.is_empty() || Some(text.as_str()) == folder;
    kubeconfig.current_context.take_if(is_empty);
    let contexts = kubeconfig.contexts.iter_mut();
    for context in contexts.filter_map(|named| named.context.as_mut()) {
        for field in [&mut context.namespace, &mut context.user] {
            field.take_if(is_empty);
        }
    }
    let clusters = kubeconfig.clusters.iter_mut();
    for cluster in clusters.filter_map(|named| named.cluster.as_mut()) {
        for field in [
            &mut cluster.certificate_authority,
            &mut cluster.certificate_authority_data,
            &mut cluster.proxy_url,
            &mut cluster.tls_server_name,
        ] {
            field.take_if(is_empty);
        }
    }
    let users = kubeconfig.auth_infos.iter_mut();
    for user in users.filter_map(|named| named.auth_info.as_mut()) {
        for field in [
            &mut user.client_certificate,
            &mut user.client_certificate_data,
            &mut user.client_key,
            &mut user.token_file,
            &mut user.username,
        ] {
            field.take_if(is_empty);
        }
        for field in [
            &mut user.client_key_data,
            &mut user.password,
            &mut user.token,
        ] {
            field.take_if(|secret| secret.expose_secret().is_empty());
        }
    }
}

/// Whether a cluster's `server` is a URL that can be called. kubectl takes a bare host too, but then nobody can tell it from a user and
/// password.
pub(crate) fn is_server(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.host().is_some())
}

/// The same of a `proxy-url`.
pub(crate) fn is_proxy(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http" | "socks5" | "socks5h") && url.host().is_some()
    })
}

fn paths(named: Option<&Path>, environment: Environment<'_>) -> Vec<PathBuf> {
    if let Some(path) = named {
        return vec![path.to_owned()];
    }
    let set = |name| environment(name).filter(|value| !value.is_empty());
    let list = set("KUBECONFIG").unwrap_or_default();
    let listed: Vec<_> = std::env::split_paths(&list)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    let home = set("HOME").or_else(|| set("USERPROFILE"));
    let of_home = home.map(|home| Path::new(&home).join(".kube/config"));
    of_home.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::json;

    use super::*;
    use crate::chain;

    #[test]
    fn only_urls_are_called() {
        for (text, expected) in [
            ("https://k.example.com:6443/path", true),
            ("http://localhost:8080", true),
            ("localhost", false),
            ("localhost:6443", false),
            ("admin:hunter2@localhost:6443", false),
            ("https://", false),
            ("https://k:99999", false),
            ("socks5://k:1080", false),
            ("", false),
        ] {
            assert_eq!(is_server(text), expected, "{text}");
        }
        assert!(is_proxy("socks5://k:1080"));
        assert!(!is_proxy("admin:hunter2@p:1"));
    }

    /// Reads what these variables lead to.
    fn read_by(named: Option<&Path>, variables: &[(&str, OsString)]) -> Result<Kubeconfig, String> {
        let environment = |name: &str| {
            let mut variables = variables.iter();
            variables
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        };
        read(named, &environment).map_err(|error| chain(&error))
    }

    #[test]
    fn kubeconfigs_are_found_as_kubectl_finds_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, context: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let config = json!({
                "current-context": context,
                "contexts": [{"name": name, "context": {"cluster": name}}],
            });
            std::fs::write(&path, config.to_string()).unwrap();
            path
        };
        let (home, one, two) = (
            write(".kube/config", "home"),
            write("1", ""),
            write("2", "two"),
        );
        let missing = folder.path().join("missing");
        let home_variable = ("HOME", folder.path().as_os_str().to_owned());
        let list = |paths: &[&Path]| ("KUBECONFIG", std::env::join_paths(paths).unwrap());
        let current = |named: Option<&Path>, variables: &[(&str, OsString)]| {
            let read = read_by(named, variables)?;
            Ok::<_, String>((read.current_context, read.contexts.len()))
        };
        let of = |context: &str, contexts| Ok((Some(context.to_owned()), contexts));
        assert_eq!(
            current(None, std::slice::from_ref(&home_variable)),
            of("home", 1)
        );
        let all = [list(&[&one, &missing, &two]), home_variable.clone()];
        assert_eq!(
            current(None, &all),
            of("two", 2),
            "an empty current-context is none"
        );
        assert_eq!(current(Some(&home), &all), of("home", 1));
        let empty = [("KUBECONFIG", OsString::new()), home_variable];
        assert_eq!(current(None, &empty), of("home", 1));

        let unread = "there is no file /";
        for (named, variables, expected) in [
            (Some(missing.as_path()), &[][..], unread),
            (None, &[list(&[&missing])], unread),
            (None, &[list(&[&missing, &missing])], unread),
            (None, &[], "neither --kubeconfig"),
        ] {
            let error = read_by(named, variables).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_empty_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let empty = |fields: &[&str]| {
            let fields = fields.iter().map(|field| ((*field).to_owned(), json!("")));
            fields.collect::<serde_json::Map<_, _>>()
        };
        let mut cluster = empty(&[
            "certificate-authority",
            "certificate-authority-data",
            "proxy-url",
            "tls-server-name",
        ]);
        cluster.insert("server".to_owned(), json!("https://k"));
        let user = empty(&[
            "client-certificate",
            "client-certificate-data",
            "client-key",
            "client-key-data",
            "password",
            "token",
            "tokenFile",
            "username",
        ]);
        let mut context = empty(&["namespace", "user"]);
        context.insert("cluster".to_owned(), json!("k"));
        let config = json!({
            "current-context": "c",
            "contexts": [{"name": "c", "context": context}],
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        let read = read_by(Some(&path), &[]).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        let only = |pointer: &str, expected: serde_json::Value| {
            let mut found = written.pointer(pointer).unwrap().clone();
            let fields = found.as_object_mut().unwrap();
            fields.retain(|_, value| !value.is_null());
            assert_eq!(found, expected, "{pointer}");
        };
        only("/contexts/0/context", json!({"cluster": "k"}));
        only("/clusters/0/cluster", json!({"server": "https://k"}));
        only("/users/0/user", json!({}));
    }

    #[test]
    fn a_fault_is_told_by_its_place_and_nothing_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        std::fs::write(&good, "current-context: c\n").unwrap();
        let path = folder.path().join("config");
        for user in [
            "password: {hunter2\n    username: hunter2\n",
            "exec: \"hunter2\"\n",
            "exec: {args: hunter2}\n",
            "token: hunter2",
        ] {
            let text = format!("users:\n- name: a\n  user:\n    token: hunter2\n    {user}");
            std::fs::write(&path, text).unwrap();
            let list = std::env::join_paths([&good, &path]).unwrap();
            let error = read_by(None, &[("KUBECONFIG", list)]).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            let begin = format!(
                "{} is no kubeconfig; something does not belong there, at line 5 column ",
                path.display()
            );
            assert!(error.starts_with(&begin), "{error}");
        }
    }
}
