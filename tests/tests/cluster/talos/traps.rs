//! Patches as people write them, which Talos takes and which break the cluster, open it, or do nothing.

use haulout_tests::talos::{Broken, Case, Cause, Generation, Machine, State, Talos, Version};

use super::patches::{login_path, read};
use super::rows::Outcome;

/// A mistake, and what comes of it.
pub(crate) struct Trap {
    pub(crate) name: &'static str,
    pub(crate) version: Version,
    generation: Generation,
    patches: fn() -> Vec<String>,
    state: fn() -> State,
}

pub(crate) const TRAPS: [Trap; 15] = [
    Trap {
        name: "no KubeAuthenticationConfig beside KubeAPIServerConfig",
        version: Version::V1_14,
        generation: Generation::Documents,
        patches: || vec![document("$patch: delete")],
        state: || does_not_start(Cause::FileEmpty),
    },
    Trap {
        name: "KubeAuthenticationConfig without `anonymous`",
        version: Version::V1_14,
        generation: Generation::Documents,
        patches: || vec![document("configuration:\n  jwt: []")],
        state: || opens("neither --anonymous-auth nor a file with the key `anonymous`"),
    },
    Trap {
        name: "KubeAuthenticationConfig that names no paths",
        version: Version::V1_14,
        generation: Generation::Documents,
        patches: || vec![document("configuration:\n  anonymous:\n    enabled: true")],
        state: || opens("the file names no paths"),
    },
    Trap {
        name: "KubeAuthenticationConfig with an unknown key",
        version: Version::V1_14,
        generation: Generation::Documents,
        patches: || vec![document("configuration:\n  anonymus:\n    enabled: true")],
        state: || does_not_start(Cause::UnknownKey),
    },
    Trap {
        name: "KubeAuthenticationConfig with paths that are not enabled",
        version: Version::V1_14,
        generation: Generation::Documents,
        patches: || {
            let conditions = "conditions:\n    - path: /livez";
            vec![document(&format!(
                "configuration:\n  anonymous:\n    enabled: false\n    {conditions}"
            ))]
        },
        state: || does_not_start(Cause::PathsNotEnabled),
    },
    Trap {
        name: "KubeAuthenticationConfig without the health paths",
        version: Version::V1_14,
        generation: Generation::Documents,
        patches: || {
            let conditions = format!("conditions:\n    - path: {}", login_path());
            let anonymous = format!("anonymous:\n    enabled: true\n    {conditions}");
            vec![document(&format!("configuration:\n  {anonymous}"))]
        },
        state: || State::Paths(vec![login_path()]),
    },
    Trap {
        name: "KubeAuthenticationConfig beside cluster.apiServer",
        version: Version::V1_14,
        generation: Generation::Legacy,
        patches: || vec![read("1.14/least-privilege.yaml")],
        state: || State::FlagFalse,
    },
    Trap {
        name: "the flags before the file",
        version: Version::V1_13,
        generation: Generation::Legacy,
        patches: || vec![read("1.13/least-privilege-flags.yaml")],
        state: || does_not_start(Cause::FileMissing),
    },
    Trap {
        name: "an empty flag without a file",
        version: Version::V1_13,
        generation: Generation::Legacy,
        patches: || vec![extra_args(&["anonymous-auth: \"\""])],
        state: || opens("neither --anonymous-auth nor a file with the key `anonymous`"),
    },
    Trap {
        name: "the flag, false, beside a file",
        version: Version::V1_13,
        generation: Generation::Legacy,
        patches: || {
            let mut patches = both_steps();
            patches.push(extra_args(&["anonymous-auth: \"false\""]));
            patches
        },
        state: || does_not_start(Cause::FlagBesideFile),
    },
    Trap {
        name: "the flag, true, beside a file",
        version: Version::V1_13,
        generation: Generation::Legacy,
        patches: || {
            let mut patches = both_steps();
            patches.push(extra_args(&["anonymous-auth: \"true\""]));
            patches
        },
        state: || does_not_start(Cause::FlagBesideFile),
    },
    Trap {
        name: "flags of OIDC beside a file",
        version: Version::V1_13,
        generation: Generation::Legacy,
        patches: || {
            let oidc = [
                "oidc-issuer-url: https://issuer.example.com",
                "oidc-client-id: kubernetes",
            ];
            let mut patches = both_steps();
            patches.push(extra_args(&oidc));
            patches
        },
        state: || does_not_start(Cause::OidcBesideFile),
    },
    Trap {
        name: "a file without `anonymous`, and the flag",
        version: Version::V1_13,
        generation: Generation::Legacy,
        patches: || {
            let [file, flags] = both_steps().try_into().unwrap();
            let (before, _) = file.split_once("        anonymous:\n").unwrap();
            let file = format!("{before}        jwt: []\n");
            vec![
                file,
                flags.replace("anonymous-auth: \"\"", "anonymous-auth: \"false\""),
            ]
        },
        state: || State::FlagFalse,
    },
    Trap {
        name: "an empty flag up to 1.12, with a file",
        version: Version::V1_12,
        generation: Generation::Legacy,
        patches: both_steps,
        state: || does_not_start(Cause::EmptyFlag),
    },
    Trap {
        name: "an empty flag up to 1.11, with a file",
        version: Version::V1_11,
        generation: Generation::Legacy,
        patches: both_steps,
        state: || does_not_start(Cause::EmptyFlag),
    },
];

fn does_not_start(cause: Cause) -> State {
    State::Broken(Broken::DoesNotStart(cause))
}

fn opens(why: &'static str) -> State {
    State::Broken(Broken::OpensEverything(why))
}

/// A `KubeAuthenticationConfig`.
fn document(rest: &str) -> String {
    format!("apiVersion: v1alpha1\nkind: KubeAuthenticationConfig\n{rest}\n")
}

fn extra_args(lines: &[&str]) -> String {
    let lines = lines.join("\n      ");
    format!("cluster:\n  apiServer:\n    extraArgs:\n      {lines}\n")
}

fn both_steps() -> Vec<String> {
    ["file", "flags"]
        .map(|step| read(&format!("1.13/least-privilege-{step}.yaml")))
        .to_vec()
}

impl Trap {
    /// What comes of it, which must be what is expected: Talos takes it, and says nothing.
    pub(crate) async fn fall_into(&self, talos: &Talos) -> Outcome {
        let config = talos.generate(Machine::ControlPlane, self.generation);
        let config = config.await.unwrap();
        let case = Case::patched(&config, &(self.patches)());
        let verdict = talos.judge(&[case]).await.unwrap().pop().unwrap();
        let outcome = Outcome::of(talos, verdict).await;
        assert_eq!(outcome.state(), Some(&(self.state)()), "{}", self.name);
        outcome
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_takes_what_breaks_the_cluster_or_opens_it() {
    for version in Version::DEFAULT {
        let talos = Talos::find_or_build(version).await.unwrap();
        for trap in TRAPS.iter().filter(|trap| trap.version == version) {
            trap.fall_into(&talos).await;
        }
    }
}
