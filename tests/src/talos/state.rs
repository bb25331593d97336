//! Whom kube-apiserver lets in without credentials, told by what it is started with.

use std::fmt;

use serde_json::Value;

use super::Rendered;

/// What an `AuthenticationConfiguration` may have.
const KEYS: [&str; 4] = ["apiVersion", "kind", "anonymous", "jwt"];

/// What becomes of requests without credentials.
#[derive(Clone, Debug, Eq, PartialEq, PartialOrd, Ord)]
pub enum State {
    /// `--anonymous-auth=true`: all are let in, and RBAC decides.
    FlagTrue,
    /// All are turned away.
    FlagFalse,
    /// Those to these paths are let in.
    Paths(Vec<String>),
    /// None of what a patch of ours may lead to.
    Broken(Broken),
}

/// What a patch may not lead to.
#[derive(Clone, Debug, Eq, PartialEq, PartialOrd, Ord)]
pub enum Broken {
    /// Talos writes no pod.
    NotRendered(String),
    /// kube-apiserver ends, or there is no valid pod of it.
    DoesNotStart(Cause),
    /// All are let in though nobody has said so.
    OpensEverything(&'static str),
}

/// Why kube-apiserver does not start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd, Ord)]
pub enum Cause {
    /// `--anonymous-auth=`.
    EmptyFlag,
    /// The flag, whatever its value, beside a file with the key `anonymous`.
    FlagBesideFile,
    /// `--oidc-*` beside a file.
    OidcBesideFile,
    /// A file is named that is not there.
    FileMissing,
    /// The file is `{}`.
    FileEmpty,
    /// The file has a key that kube-apiserver does not know.
    UnknownKey,
    /// The file names paths and does not enable them.
    PathsNotEnabled,
    /// A namespace is exempt from PodSecurity twice.
    ExemptTwice,
    /// Two volumes are mounted in one place.
    MountedTwice,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyFlag => "`--anonymous-auth=`",
            Self::FlagBesideFile => "`--anonymous-auth` beside a file with `anonymous`",
            Self::OidcBesideFile => "`--oidc-*` beside a file",
            Self::FileMissing => "the file is not there",
            Self::FileEmpty => "the file is `{}`",
            Self::UnknownKey => "the file has an unknown key",
            Self::PathsNotEnabled => "paths that are not enabled",
            Self::ExemptTwice => "an exemption twice",
            Self::MountedTwice => "a path mounted twice",
        })
    }
}

impl State {
    /// The state that this leads to.
    pub fn of(rendered: &Rendered) -> Self {
        match &rendered.arguments {
            Err(why) => Self::Broken(Broken::NotRendered(why.clone())),
            Ok(_) if repeats_an_exemption(&rendered.admission) => {
                Self::Broken(Broken::DoesNotStart(Cause::ExemptTwice))
            }
            Ok(_) if repeats(&rendered.mount_paths) => {
                Self::Broken(Broken::DoesNotStart(Cause::MountedTwice))
            }
            Ok(arguments) => {
                judge(arguments, rendered.authentication.as_ref()).unwrap_or_else(Self::Broken)
            }
        }
    }
}

fn judge(arguments: &[String], file: Option<&Value>) -> Result<State, Broken> {
    let value = |name: &str| {
        let values = arguments.iter().rev();
        let mut values =
            values.filter_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        values.next()
    };
    let flag = value("--anonymous-auth");
    let anonymous = match value("--authentication-config") {
        None => None,
        Some(_) => match file {
            None => return Err(Broken::DoesNotStart(Cause::FileMissing)),
            Some(file) if file["kind"].is_null() => {
                return Err(Broken::DoesNotStart(Cause::FileEmpty));
            }
            Some(file) if has_unknown_key(file) => {
                return Err(Broken::DoesNotStart(Cause::UnknownKey));
            }
            Some(file) => file.get("anonymous"),
        },
    };
    let oidc = arguments
        .iter()
        .any(|argument| argument.starts_with("--oidc-"));
    if oidc && value("--authentication-config").is_some() {
        return Err(Broken::DoesNotStart(Cause::OidcBesideFile));
    }
    match (flag, anonymous) {
        (Some(""), _) => Err(Broken::DoesNotStart(Cause::EmptyFlag)),
        (Some(_), Some(_)) => Err(Broken::DoesNotStart(Cause::FlagBesideFile)),
        (Some("true"), None) => Ok(State::FlagTrue),
        (Some(_), None) => Ok(State::FlagFalse),
        (None, None) => Err(Broken::OpensEverything(
            "neither --anonymous-auth nor a file with the key `anonymous`",
        )),
        (None, Some(anonymous)) => judge_block(anonymous),
    }
}

fn judge_block(anonymous: &Value) -> Result<State, Broken> {
    let conditions = anonymous["conditions"].as_array();
    let paths: Vec<String> = conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| condition["path"].as_str())
        .map(str::to_owned)
        .collect();
    match (anonymous["enabled"].as_bool(), paths.is_empty()) {
        (Some(true), false) => Ok(State::Paths(paths)),
        (Some(true), true) => Err(Broken::OpensEverything("the file names no paths")),
        (_, true) => Ok(State::FlagFalse),
        (_, false) => Err(Broken::DoesNotStart(Cause::PathsNotEnabled)),
    }
}

fn has_unknown_key(file: &Value) -> bool {
    let mut keys = file.as_object().into_iter().flat_map(|file| file.keys());
    keys.any(|key| !KEYS.contains(&key.as_str()))
}

/// kube-apiserver ends at a second mention.
fn repeats_an_exemption(admission: &Value) -> bool {
    let plugins = admission["plugins"].as_array().into_iter().flatten();
    plugins
        .filter_map(|plugin| {
            plugin
                .pointer("/configuration/exemptions/namespaces")?
                .as_array()
        })
        .any(|names| repeats(names))
}

fn repeats<T: PartialEq>(list: &[T]) -> bool {
    let mut rest = list;
    while let [first, others @ ..] = rest {
        if others.contains(first) {
            return true;
        }
        rest = others;
    }
    false
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlagTrue => f.write_str("flag true"),
            Self::FlagFalse => f.write_str("flag false"),
            Self::Paths(paths) => match paths.len() {
                1 => f.write_str("no flag, a file with 1 path"),
                count => write!(f, "no flag, a file with {count} paths"),
            },
            Self::Broken(Broken::NotRendered(_)) => f.write_str("**no pod**"),
            Self::Broken(Broken::DoesNotStart(cause)) => write!(f, "**{cause}**"),
            Self::Broken(Broken::OpensEverything(why)) => write!(f, "**{why}**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(arguments: &[&str], authentication: Option<Value>) -> State {
        State::of(&Rendered {
            arguments: Ok(arguments.iter().map(|&text| text.to_owned()).collect()),
            authentication,
            admission: json!({}),
            mount_paths: Vec::new(),
            modelled: false,
        })
    }

    fn file(anonymous: &Value) -> Option<Value> {
        Some(json!({ "kind": "AuthenticationConfiguration", "anonymous": anonymous }))
    }

    #[test]
    fn three_states_are_allowed() {
        let named = "--authentication-config=/a";
        let paths = json!({"enabled": true, "conditions": [{"path": "/a"}]});
        let without = Some(json!({"kind": "AuthenticationConfiguration", "jwt": []}));
        for (arguments, authentication, expected) in [
            (&["--anonymous-auth=true"][..], None, State::FlagTrue),
            (&["--anonymous-auth=false"], None, State::FlagFalse),
            (
                &["--anonymous-auth=true", "--anonymous-auth=false"],
                None,
                State::FlagFalse,
            ),
            (
                &["--anonymous-auth=false", named],
                without,
                State::FlagFalse,
            ),
            (&[named], file(&json!({"enabled": false})), State::FlagFalse),
            (&[named], file(&paths), State::Paths(vec!["/a".to_owned()])),
        ] {
            assert_eq!(state(arguments, authentication), expected, "{arguments:?}");
        }
    }

    #[test]
    fn all_else_is_broken() {
        let named = "--authentication-config=/a";
        let paths = json!({"enabled": true, "conditions": [{"path": "/a"}]});
        let kind = json!({"kind": "AuthenticationConfiguration"});
        for (arguments, authentication, opens) in [
            (&[][..], None, true),
            (&[named], Some(kind), true),
            (&[named], file(&json!({"enabled": true})), true),
            (
                &[named],
                file(&json!({"enabled": true, "conditions": []})),
                true,
            ),
            (&[named], Some(json!({})), false),
            (&[named], None, false),
            (
                &[named],
                Some(json!({"kind": "AuthenticationConfiguration", "anonymus": {}})),
                false,
            ),
            (&[named, "--oidc-client-id=a"], file(&paths), false),
            (&["--anonymous-auth="], None, false),
            (&["--anonymous-auth=false", named], file(&paths), false),
            (&["--anonymous-auth=true", named], file(&paths), false),
            (
                &[named],
                file(&json!({"enabled": false, "conditions": [{"path": "/a"}]})),
                false,
            ),
        ] {
            let found = state(arguments, authentication);
            let expected = match &found {
                State::Broken(Broken::OpensEverything(_)) => opens,
                State::Broken(Broken::DoesNotStart(_)) => !opens,
                _ => false,
            };
            assert!(expected, "{arguments:?}: {found:?}");
        }
    }

    #[test]
    fn what_stands_twice_breaks() {
        let exempt = |names: &[&str]| json!({"plugins": [{"configuration": {"exemptions": {"namespaces": names}}}]});
        let closed = Rendered {
            arguments: Ok(vec!["--anonymous-auth=false".to_owned()]),
            authentication: None,
            admission: exempt(&["a", "b"]),
            mount_paths: vec!["/a".to_owned(), "/b".to_owned()],
            modelled: false,
        };
        assert_eq!(State::of(&closed), State::FlagFalse);
        let exempted = Rendered {
            admission: exempt(&["a", "b", "a"]),
            ..closed.clone()
        };
        let mounted = Rendered {
            mount_paths: vec!["/a".to_owned(); 2],
            ..closed
        };
        for broken in [exempted, mounted] {
            assert!(matches!(
                State::of(&broken),
                State::Broken(Broken::DoesNotStart(_))
            ));
        }
    }
}
