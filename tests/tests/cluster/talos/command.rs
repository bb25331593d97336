//! `haulout talos patch` on configs that Talos itself has generated.

pub(super) mod wrong;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use haulout_tests::cluster::workspace_root;
use haulout_tests::talos::{
    Broken, Case, Config, Generation, Machine, State, Talos, Version, documents,
};
use serde_json::{Value, json};

use super::patches::{HEALTH_PATHS, Leads, login_path, read};
use super::rows::Outcome;

const SUFFIX: &str = "walrus.example.com";
const URL: &str = "--url=https://manifests.example.com/haulout.yaml";

/// What it prints, or its exit code and why it prints nothing.
fn talos_patch(config: &str, flags: &[&str]) -> Result<String, (ExitCode, String)> {
    let arguments = ["haulout", "talos", "patch", "-"].iter().chain(flags);
    let arguments: Vec<OsString> = arguments.map(OsString::from).collect();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let code = haulout::run(
        &arguments,
        &|_| None,
        UNIX_EPOCH,
        &mut config.as_bytes(),
        &mut stdout,
        &mut stderr,
    );
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    match code {
        ExitCode::SUCCESS => Ok(stdout),
        code => Err((code, stderr)),
    }
}

/// A new config, and the tool's patches on it, one after the other.
struct Patched<'a> {
    talos: &'a Talos,
    config: Config,
}

impl<'a> Patched<'a> {
    async fn new(talos: &'a Talos, generation: Generation) -> Self {
        let config = talos.generate(Machine::ControlPlane, generation).await;
        let config = config.unwrap();
        Self { talos, config }
    }

    /// The tool has to print this file's text, filled in, and Talos to take it. Gives the state that it leads to.
    async fn take(&mut self, file: &str, flags: &[&str]) -> State {
        let printed = talos_patch(&self.config.text, flags);
        let printed = printed.unwrap_or_else(|(_, why)| panic!("{file} {flags:?}: {why}"));
        let file_text = read(file);
        let header = file_text.lines().take_while(|line| line.starts_with('#'));
        for line in header.filter(|line| !line.contains("pinniped.dev")) {
            assert!(printed.contains(line), "{file} {flags:?}: {printed}");
        }
        self.add(&printed).await
    }

    async fn add(&mut self, patch: &str) -> State {
        let case = Case::patched(&self.config, &[patch]);
        let verdict = self.talos.judge(&[case]).await.unwrap().pop().unwrap();
        self.config = verdict
            .accepted()
            .unwrap_or_else(|why| panic!("{why}: {patch}"));
        let outcome = Outcome::of_config(self.talos, &self.config).await;
        outcome.state().unwrap().clone()
    }

    /// The file that kube-apiserver reads.
    async fn authentication(&self) -> Value {
        let rendered = self.talos.render(&self.config).await.unwrap();
        rendered.authentication.unwrap()
    }

    /// The tool has to refuse, for this reason.
    fn refuse(&self, flags: &[&str], reason: &str) {
        refuses(&self.config.text, flags, reason);
    }
}

fn refuses(config: &str, flags: &[&str], reason: &str) {
    match talos_patch(config, flags) {
        Ok(printed) => panic!("{flags:?}: instead of {reason:?}: {printed}"),
        Err((code, why)) => {
            assert_eq!(code, ExitCode::FAILURE, "{flags:?}: {why}");
            let refusals = why
                .lines()
                .filter_map(|line| line.strip_prefix("Refused: "));
            let refusals: Vec<&str> = refusals.collect();
            assert!(
                refusals.iter().any(|refusal| refusal.contains(reason)),
                "{flags:?}: {reason:?} is not among {refusals:#?}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_takes_what_our_command_prints_and_renders_what_it_promises() {
    for version in Version::DEFAULT {
        let talos = Talos::find_or_build(version).await.unwrap();
        follow_legacy(&talos).await;
    }
    let talos = Talos::find_or_build(Version::V1_13).await.unwrap();
    follow_both_steps(&talos).await;
    let talos = Talos::find_or_build(Version::V1_14).await.unwrap();
    follow_documents(&talos).await;
    follow_both_steps_of_a_later_version(&talos).await;
}

/// On a legacy config of any version.
pub(super) async fn follow_legacy(talos: &Talos) {
    let mut config = Patched::new(talos, Generation::Legacy).await;
    let everything = config
        .take("legacy/anonymous-auth.yaml", &["--patch=anonymous-auth"])
        .await;
    assert_eq!(everything, State::FlagTrue);
    follow_the_rest(talos, Generation::Legacy).await;
}

async fn follow_documents(talos: &Talos) {
    const FILE: &str = "1.14/least-privilege.yaml";
    let mut config = Patched::new(talos, Generation::Documents).await;
    // Its second application changes nothing, and another suffix is another path.
    for _ in 0..2 {
        let state = config.take(FILE, &[]).await;
        assert_eq!(state, Leads::Login.state(Generation::Documents));
    }
    let mut config = Patched::new(talos, Generation::Documents).await;
    let suffix = format!("--api-group-suffix={SUFFIX}");
    let state = config.take(FILE, &[&suffix]).await;
    let path = format!("/apis/login.concierge.{SUFFIX}/v1alpha1/tokencredentialrequests");
    let paths = HEALTH_PATHS.iter().copied().chain([path.as_str()]);
    assert_eq!(state, State::Paths(paths.map(str::to_owned).collect()));

    // It mends what Talos renders an empty file for.
    let mut broken = Patched::new(talos, Generation::Documents).await;
    broken
        .add("apiVersion: v1alpha1\nkind: KubeAuthenticationConfig\n$patch: delete\n")
        .await;
    let state = broken.take(FILE, &[]).await;
    assert_eq!(state, Leads::Login.state(Generation::Documents));
    follow_the_rest(talos, Generation::Documents).await;
}

/// The tool sees by the config which step is next.
async fn follow_both_steps(talos: &Talos) {
    let mut config = Patched::new(talos, Generation::Legacy).await;
    let state = config.take("1.13/least-privilege-file.yaml", &[]).await;
    assert_eq!(state, State::FlagFalse);
    let state = config.take("1.13/least-privilege-flags.yaml", &[]).await;
    assert_eq!(state, Leads::Login.state(Generation::Legacy));
}

/// The same for a later 1.14 than there is a module of. This one takes both steps, and would write no pod.
async fn follow_both_steps_of_a_later_version(talos: &Talos) {
    const VERSION: &str = "--talos-version=1.14.0";
    let mut config = Patched::new(talos, Generation::Legacy).await;
    let state = config.take("1.13/least-privilege-file.yaml", &[VERSION]);
    assert_eq!(state.await, State::FlagFalse);
    let state = config.take(
        "1.13/least-privilege-flags.yaml",
        &[VERSION, "--step=flags"],
    );
    let state = state.await;
    assert!(
        matches!(state, State::Broken(Broken::NotRendered(_))),
        "{state}"
    );
}

/// What opens nothing.
async fn follow_the_rest(talos: &Talos, generation: Generation) {
    let unpatched = Leads::Nowhere.state(generation);
    let manifest = tempfile::NamedTempFile::new().unwrap();
    let objects = workspace_root().join("manifests/install-talos.yaml");
    let objects = std::fs::read_to_string(objects).unwrap();
    let objects = objects.replace("registry.invalid", "registry.example.com");
    std::fs::write(manifest.path(), objects).unwrap();
    let manifest = format!("--manifest={}", manifest.path().display());
    let exemption = match generation {
        Generation::Legacy => "optional/psa-exemption.yaml",
        Generation::Documents => "1.14/optional/psa-exemption.yaml",
    };
    let mut config = Patched::new(talos, generation).await;
    for (file, flags, reason) in [
        // The documents for manifests come with the betas of 1.14.
        (
            "cluster-info.template.yaml",
            &["--patch=cluster-info"][..],
            "has an inline manifest haulout-cluster-info already",
        ),
        (exemption, &["--patch=psa-exemption"], "is exempt already"),
        (
            "install-external.yaml",
            &["--patch=install-external", URL],
            "has this URL already",
        ),
        (
            "install-inline.template.yaml",
            &["--patch=install-inline", &manifest],
            "has an inline manifest haulout already",
        ),
    ] {
        assert_eq!(config.take(file, flags).await, unpatched, "{file}");
        config.refuse(flags, reason);
    }
    tells_the_cluster(&config.config.text);
}

/// The ConfigMap has the endpoint and the CA of this very config.
fn tells_the_cluster(config: &str) {
    let documents = documents(config).unwrap();
    let main = &documents[0];
    let manifests = main.pointer("/cluster/inlineManifests").unwrap();
    let manifest = manifests[0]["contents"].as_str().unwrap();
    let config_map: Value = serde_saphyr::from_str(manifest).unwrap();
    let kubeconfig = config_map.pointer("/data/kubeconfig").unwrap();
    let kubeconfig: Value = serde_saphyr::from_str(kubeconfig.as_str().unwrap()).unwrap();
    let cluster = kubeconfig.pointer("/clusters/0/cluster").unwrap();
    assert_eq!(cluster["server"], "https://controlplane.example.com:6443");
    let ca = main.pointer("/cluster/ca/crt").unwrap();
    assert_eq!(&cluster["certificate-authority-data"], ca);
}

const OWN_CONFIGURATION: &str = "\
anonymous:
  enabled: true
  conditions:
    - path: /livez
    - path: /own
jwt:
  - issuer:
      url: https://issuer.example.com
      audiences: [kubernetes]
    claimMappings:
      username:
        claim: sub
        prefix: \"\"
";

/// Both are patches that replace what the API server reads.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_keeps_the_users_own_paths_and_issuers_under_our_patches() {
    let own: Value = serde_saphyr::from_str(OWN_CONFIGURATION).unwrap();

    let talos = Talos::find_or_build(Version::V1_14).await.unwrap();
    let mut config = Patched::new(&talos, Generation::Documents).await;
    let document = json!({
        "apiVersion": "v1alpha1", "kind": "KubeAuthenticationConfig", "configuration": own,
    });
    config.add(&document.to_string()).await;
    let state = config.take("1.14/least-privilege.yaml", &[]).await;
    let paths = ["/livez", "/readyz", "/healthz", &login_path(), "/own"];
    assert_eq!(paths_of(state), BTreeSet::from(paths.map(str::to_owned)));
    assert_eq!(config.authentication().await["jwt"], own["jwt"]);

    let talos = Talos::find_or_build(Version::V1_13).await.unwrap();
    let mut config = Patched::new(&talos, Generation::Legacy).await;
    let head = "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\n";
    let file = json!({
        "op": "create", "path": "/var/lib/own/file.yaml", "permissions": 0o444,
        "content": format!("{head}{OWN_CONFIGURATION}"),
    });
    let server = json!({
        "extraArgs": { "anonymous-auth": "", "authentication-config": "/var/lib/own/file.yaml" },
        "extraVolumes": [{
            "hostPath": "/var/lib/own", "mountPath": "/var/lib/own", "readonly": true,
        }],
    });
    let patch = json!({ "machine": { "files": [file] }, "cluster": { "apiServer": server } });
    config.add(&patch.to_string()).await;
    config.take("1.13/least-privilege-file.yaml", &[]).await;
    let state = config.take("1.13/least-privilege-flags.yaml", &[]).await;
    let paths = ["/livez", &login_path(), "/own"];
    assert_eq!(paths_of(state), BTreeSet::from(paths.map(str::to_owned)));
    assert_eq!(config.authentication().await["jwt"], own["jwt"]);
}

fn paths_of(state: State) -> BTreeSet<String> {
    match state {
        State::Paths(paths) => paths.into_iter().collect(),
        other => panic!("{other}"),
    }
}
