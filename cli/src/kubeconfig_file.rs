//! A kubeconfig whose users log in by a credential plugin. It has no place for a secret: a user is the plugin's command line
//! and nothing else.

mod output;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, NamedAuthInfo,
    NamedCluster, NamedContext,
};

use crate::document::{self, EncodeError};
pub(crate) use output::{Output, OutputError};

/// Version of `ExecCredential` that kubectl is to ask the plugin for.
const EXEC_API_VERSION: &str = "client.authentication.k8s.io/v1";
/// What kubectl says to users without the program.
pub(crate) const INSTALL_HINT: &str = "haulout is not installed, or not in PATH; ask the administrators of this cluster where to get it";

/// A cluster, a user of it, and the context that ties them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Name of the cluster.
    pub(crate) cluster_name: String,
    /// Name of the user.
    pub(crate) user_name: String,
    /// Name of the context.
    pub(crate) context_name: String,
    /// How kubectl reaches the API server.
    pub(crate) cluster: Cluster,
    /// Namespace that kubectl uses unless told another.
    pub(crate) namespace: Option<String>,
    /// How the user logs in.
    pub(crate) plugin: Plugin,
}

/// What kubectl runs for a credential.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    /// Path of the program, or its name in `PATH`.
    pub(crate) command: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// What kubectl says where there is no such program.
    pub(crate) install_hint: String,
    /// Whether it may ask the user something.
    pub(crate) may_ask: bool,
}

/// The kubeconfig of these entries, of which the first is the current one, as YAML with sorted keys.
pub(crate) fn to_yaml(entries: Vec<Entry>) -> Result<String, EncodeError> {
    let mut kubeconfig = Kubeconfig {
        kind: Some("Config".to_owned()),
        api_version: Some("v1".to_owned()),
        current_context: entries.first().map(|entry| entry.context_name.clone()),
        ..Kubeconfig::default()
    };
    for entry in entries {
        kubeconfig.contexts.push(NamedContext {
            name: entry.context_name,
            context: Some(Context {
                cluster: entry.cluster_name.clone(),
                user: Some(entry.user_name.clone()),
                namespace: entry.namespace,
                ..Context::default()
            }),
            ..NamedContext::default()
        });
        kubeconfig.clusters.push(NamedCluster {
            name: entry.cluster_name,
            cluster: Some(entry.cluster),
            ..NamedCluster::default()
        });
        kubeconfig.auth_infos.push(NamedAuthInfo {
            name: entry.user_name,
            auth_info: Some(AuthInfo {
                exec: Some(entry.plugin.into()),
                ..AuthInfo::default()
            }),
            ..NamedAuthInfo::default()
        });
    }
    document::to_yaml(&kubeconfig)
}

/// Where this program was called: a link stays one, since what it leads to, such as the folder of a version, may not be there after
/// the next upgrade.
pub(crate) fn own_path() -> io::Result<PathBuf> {
    let called = std::env::args_os().next().unwrap_or_default();
    let folders = std::env::var_os("PATH").unwrap_or_default();
    own_path_of(Path::new(&called), &folders)
}

/// The kubeconfig may be used in any folder, so its path is absolute.
fn own_path_of(called: &Path, folders: &OsStr) -> io::Result<PathBuf> {
    let called = called_path(called, folders, Path::is_file);
    called.map_or_else(std::env::current_exe, std::path::absolute)
}

fn called_path(called: &Path, folders: &OsStr, is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if called.components().count() > 1 {
        return is_file(called).then(|| called.to_owned());
    }
    let mut paths = std::env::split_paths(folders).map(|folder| folder.join(called));
    paths.find(|path| is_file(path))
}

/// What kubectl is to run: what is given, else this program by its path.
pub(crate) fn plugin_command(
    given: Option<&str>,
    own: impl FnOnce() -> io::Result<PathBuf>,
) -> io::Result<String> {
    match given.filter(|given| !given.is_empty()) {
        Some(given) => Ok(given.to_owned()),
        None => own()?
            .into_os_string()
            .into_string()
            .map_err(|_| io::ErrorKind::InvalidData.into()),
    }
}

impl From<Plugin> for ExecConfig {
    fn from(plugin: Plugin) -> Self {
        Self {
            api_version: Some(EXEC_API_VERSION.to_owned()),
            command: Some(plugin.command),
            args: Some(plugin.arguments),
            env: Some(Vec::new()),
            install_hint: Some(plugin.install_hint),
            interactive_mode: Some(match plugin.may_ask {
                true => ExecInteractiveMode::IfAvailable,
                false => ExecInteractiveMode::Never,
            }),
            provide_cluster_info: true,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            cluster_name: format!("{name}-cluster"),
            user_name: format!("{name}-user"),
            context_name: name.to_owned(),
            cluster: Cluster {
                server: Some("https://k.example.com:6443".to_owned()),
                certificate_authority_data: Some("LS0t".repeat(300)),
                proxy_url: Some("http://proxy.example.com".to_owned()),
                ..Cluster::default()
            },
            namespace: Some("123".to_owned()),
            plugin: Plugin {
                command: "haulout".to_owned(),
                arguments: [
                    "login",
                    "--scopes=a,b",
                    "--x=y: z #1",
                    "--name=dé 🦭",
                    "yes",
                ]
                .map(str::to_owned)
                .to_vec(),
                install_hint: "get it".to_owned(),
                may_ask: true,
            },
        }
    }

    #[test]
    fn the_program_is_found_where_it_was_called() {
        let folders = OsStr::new("/usr/bin:/home/me/.krew/bin");
        let is_file = |path: &Path| {
            ["/home/me/.krew/bin/kubectl-haulout", "./haulout"].contains(&path.to_str().unwrap())
        };
        for (called, expected) in [
            (
                "kubectl-haulout",
                Some("/home/me/.krew/bin/kubectl-haulout"),
            ),
            (
                "/home/me/.krew/bin/kubectl-haulout",
                Some("/home/me/.krew/bin/kubectl-haulout"),
            ),
            ("./haulout", Some("./haulout")),
            ("/gone/haulout", None),
            ("haulout", None),
        ] {
            let found = called_path(Path::new(called), folders, is_file);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{called}");
        }
    }

    /// Tests run in the folder of the package.
    #[test]
    fn the_own_path_is_absolute() {
        let package = std::env::current_dir().unwrap();
        for (called, folders, expected) in [
            ("./src/lib.rs", "", package.join("src/lib.rs")),
            ("src/lib.rs", "", package.join("src/lib.rs")),
            ("lib.rs", "/gone:src", package.join("src/lib.rs")),
            ("gone/lib.rs", "src", std::env::current_exe().unwrap()),
            ("", "/gone", std::env::current_exe().unwrap()),
        ] {
            let path = own_path_of(Path::new(called), OsStr::new(folders)).unwrap();
            assert_eq!(path, expected, "{called}");
        }
    }

    #[test]
    fn c114_the_command_is_what_is_given_else_this_program() {
        let own = || Ok(PathBuf::from("/usr/local/bin/haulout"));
        for (given, expected) in [
            (Some("haulout"), "haulout"),
            (Some("/opt/haulout"), "/opt/haulout"),
            (Some(""), "/usr/local/bin/haulout"),
            (None, "/usr/local/bin/haulout"),
        ] {
            assert_eq!(plugin_command(given, own).unwrap(), expected);
        }
        let unknown = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(plugin_command(Some("haulout"), unknown).unwrap(), "haulout");
        let error = plugin_command(None, unknown).unwrap_err();
        let error = crate::get_kubeconfig::GetKubeconfigError::OwnPath(error).to_string();
        assert!(error.contains("--pinniped-cli-path"), "{error}");
    }

    #[test]
    fn keys_are_sorted_and_texts_stay_what_they_are() {
        let ca = "LS0t".repeat(300);
        let expected = format!(
            "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    proxy-url: http://proxy.example.com
    server: https://k.example.com:6443
  name: here-cluster
contexts:
- context:
    cluster: here-cluster
    namespace: \"123\"
    user: here-user
  name: here
current-context: here
kind: Config
users:
- name: here-user
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - login
      - --scopes=a,b
      - \"--x=y: z #1\"
      - --name=dé 🦭
      - \"yes\"
      command: haulout
      env: []
      installHint: get it
      interactiveMode: IfAvailable
      provideClusterInfo: true
"
        );
        assert_eq!(to_yaml(vec![entry("here")]).unwrap(), expected);
    }

    #[test]
    fn the_first_of_several_is_the_current_one_and_all_are_read_back() {
        let text = to_yaml(vec![entry("one"), entry("two")]).unwrap();
        let read = Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("one"));
        let names: Vec<&str> = read.contexts.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        let user = read.auth_infos[1].auth_info.clone().unwrap();
        let exec = user.exec.unwrap();
        assert_eq!(exec.args.unwrap()[2], "--x=y: z #1");
        let context = read.contexts[1].context.clone().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("123"));
    }
}
