//! A real kube-apiserver with what each config leads to, and Haulout behind it.

mod requests;

use std::time::Duration;

use haulout_tests::cluster::{Component, Profile, StackOptions};
use haulout_tests::talos::{Broken, Cause, Rendered, State, Talos, Version};
use serde_json::{Value, json};

use self::requests::Answers;
use super::config::default_sections;
use super::matrix;
use super::patches::{MANIFESTS, read};
use super::rows::{Outcome, Section};
use super::traps::TRAPS;
use crate::running::Running;

/// It ends within seconds if it cannot start.
const END: Duration = Duration::from_secs(60);
const OWN_ARGUMENTS: [&str; 4] = [
    "--admission-control-config-file=",
    "--anonymous-auth=",
    "--authentication-config=",
    "--oidc-",
];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_starts_an_api_server_as_the_matrix_says() {
    let sections = default_sections().await;
    let mut observer = Observer::start().await;
    matrix::compare(&sections, Some(observer.observe_all(&sections).await));
    for version in Version::DEFAULT {
        observer.fall_into_traps(version).await;
    }
    observer
        .the_manifests_are_taken_and_close_what_they_say()
        .await;
}

/// One cluster whose API server is started again and again.
pub(crate) struct Observer {
    running: Running,
    seen: Seen,
}

/// What was seen of each rendering.
#[derive(Default)]
pub(crate) struct Seen(Vec<(Key, Observation)>);

/// All that matters of a rendering to kube-apiserver.
#[derive(Debug, PartialEq)]
struct Key {
    flags: Vec<String>,
    authentication: Option<Value>,
    admission: Value,
    mount_paths: Vec<String>,
}

enum Observation {
    Started(Answers),
    Ended,
}

impl Observer {
    pub(crate) async fn start() -> Self {
        let running = Running::start(Profile::Talos, &StackOptions::default()).await;
        let seen = Seen::default();
        Self { running, seen }
    }

    /// Looks at everything that Talos renders.
    pub(crate) async fn observe_all(&mut self, sections: &[Section]) -> &Seen {
        for section in sections {
            for (rendered, state) in section.rendered() {
                self.observe(rendered, state).await;
            }
        }
        &self.seen
    }

    /// Talos takes each mistake, and the API server has to show what comes of it.
    pub(crate) async fn fall_into_traps(&mut self, version: Version) {
        let talos = Talos::find_or_build(version).await.unwrap();
        for trap in TRAPS.iter().filter(|trap| trap.version == version) {
            let Outcome::Taken { rendered, state } = trap.fall_into(&talos).await else {
                panic!("{}: Talos refuses it", trap.name);
            };
            self.observe(&rendered, &state).await;
        }
    }

    /// Starts it unless that was done, and compares with what the state says.
    async fn observe(&mut self, rendered: &Rendered, state: &State) {
        let obstacle = match state {
            State::Broken(Broken::NotRendered(_)) => return,
            State::Broken(Broken::DoesNotStart(cause)) => Some(*cause),
            _ => None,
        };
        if self.seen.find(rendered).is_some() {
            return;
        }
        let key = Key::of(rendered);
        let observation = match obstacle {
            None => {
                self.restart_with(&key);
                self.running.cluster.wait_until_ready().await.unwrap();
                self.running.stack.wait_until_available().await.unwrap();
                Observation::Started(Answers::of(&self.running, state).await)
            }
            Some(cause) => {
                let last = match cause {
                    Cause::MountedTwice => self.refused_pod(&key.mount_paths).await,
                    _ => self.ended_with(&key).await,
                };
                assert!(last.contains(last_words(cause)), "{cause}: {last}");
                Observation::Ended
            }
        };
        self.seen.0.push((key, observation));
    }

    fn restart_with(&mut self, key: &Key) {
        let folder = self.running.cluster.folder().to_owned();
        let number = self.seen.0.len();
        let file = |name: &str, content: &Value| {
            let path = folder.join(format!("{name}-{number}.json"));
            std::fs::write(&path, content.to_string()).unwrap();
            path
        };
        let admission = file("admission", &key.admission);
        let mut arguments = vec![format!("{}{}", OWN_ARGUMENTS[0], admission.display())];
        for flag in &key.flags {
            // A file that Talos would not have put there is not there.
            let path = flag.strip_prefix(OWN_ARGUMENTS[2]).map(|path| {
                let content = key.authentication.as_ref();
                content.map_or_else(|| path.into(), |content| file("authentication", content))
            });
            arguments.push(path.map_or_else(
                || flag.clone(),
                |path| format!("{}{}", OWN_ARGUMENTS[2], path.display()),
            ));
        }
        let process = self.running.cluster.process(Component::ApiServer).unwrap();
        // What it says next is told apart from what it said before.
        std::fs::write(process.log(), "").unwrap();
        let old = process.arguments_mut();
        old.retain(|argument| {
            let argument = argument.to_str().unwrap();
            !OWN_ARGUMENTS.iter().any(|own| argument.starts_with(own))
        });
        old.extend(arguments.into_iter().map(Into::into));
        process.restart().unwrap();
    }

    /// No kubelet is there to refuse the static pod; the API server judges a pod by the same rules.
    async fn refused_pod(&mut self, mount_paths: &[String]) -> String {
        self.ensure_running().await;
        let mounts: Vec<Value> = mount_paths
            .iter()
            .enumerate()
            .map(|(number, path)| json!({ "name": format!("extra-{number}"), "mountPath": path }))
            .collect();
        let volumes: Vec<Value> = mounts
            .iter()
            .map(|mount| json!({ "name": mount["name"], "emptyDir": {} }))
            .collect();
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "kube-apiserver", "namespace": "kube-system" },
            "spec": {
                "containers": [{ "name": "a", "image": "a", "volumeMounts": mounts }],
                "volumes": volumes,
            },
        });
        let kubectl = self.running.cluster.kubectl();
        let arguments = ["create", "--dry-run=server", "-f", "-"];
        let output = kubectl.output_of(&arguments, &pod.to_string()).await;
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        assert!(!output.status.success(), "there is such a pod");
        text
    }

    /// Starts one that has ended with something that starts.
    async fn ensure_running(&mut self) {
        let process = self.running.cluster.process(Component::ApiServer).unwrap();
        if process.is_running() {
            return;
        }
        let mut seen = self.seen.0.iter();
        let good = seen.position(|(_, seen)| matches!(seen, Observation::Started(_)));
        let (key, observation) = self.seen.0.swap_remove(good.unwrap());
        self.restart_with(&key);
        self.seen.0.push((key, observation));
        self.running.cluster.wait_until_ready().await.unwrap();
    }

    /// What it says until it ends.
    async fn ended_with(&mut self, key: &Key) -> String {
        self.restart_with(key);
        let process = self.running.cluster.process(Component::ApiServer).unwrap();
        let status = process.wait(END).await.unwrap();
        assert!(!status.success());
        std::fs::read_to_string(process.log()).unwrap()
    }
}

/// What kube-apiserver says of it.
fn last_words(cause: Cause) -> &'static str {
    match cause {
        Cause::EmptyFlag => "invalid argument \"\" for \"--anonymous-auth\" flag",
        Cause::FlagBesideFile => {
            "--anonymous-auth flag cannot be set when anonymous field is configured"
        }
        Cause::OidcBesideFile => {
            "authentication-config file and oidc-* flags are mutually exclusive"
        }
        Cause::FileMissing => "no such file or directory",
        Cause::FileEmpty => "Object 'Kind' is missing",
        Cause::UnknownKey => "unknown field",
        Cause::PathsNotEnabled => "enabled should be set to true when conditions are defined",
        Cause::ExemptTwice => "Duplicate value",
        Cause::MountedTwice => "must be unique",
    }
}

impl Key {
    fn of(rendered: &Rendered) -> Self {
        Self {
            flags: rendered.arguments.clone().unwrap_or_default(),
            authentication: rendered.authentication.clone(),
            admission: rendered.admission.clone(),
            mount_paths: rendered.mount_paths.clone(),
        }
    }
}

impl Seen {
    fn find(&self, rendered: &Rendered) -> Option<&Observation> {
        let key = Key::of(rendered);
        let mut seen = self.0.iter();
        seen.find_map(|(seen, observation)| (*seen == key).then_some(observation))
    }

    /// The three columns of the matrix.
    pub(crate) fn cells(&self, rendered: &Rendered) -> [String; 3] {
        match self.find(rendered) {
            None => [(); 3].map(|()| "not seen".to_owned()),
            Some(Observation::Ended) => ["no", "", ""].map(str::to_owned),
            Some(Observation::Started(answers)) => {
                ["yes".to_owned(), answers.login(), answers.others()]
            }
        }
    }
}

impl Observer {
    /// The manifests beside the patches, and the one thing that one of them closes.
    async fn the_manifests_are_taken_and_close_what_they_say(&mut self) {
        let open = Rendered {
            arguments: Ok(vec!["--anonymous-auth=true".to_owned()]),
            authentication: None,
            admission: json!({
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
            }),
            mount_paths: Vec::new(),
            modelled: true,
        };
        let key = Key::of(&open);
        self.restart_with(&key);
        self.running.cluster.wait_until_ready().await.unwrap();
        let kubectl = self.running.cluster.kubectl().clone();
        for file in MANIFESTS {
            kubectl.apply(&read(file)).await.unwrap();
        }
        // The API server puts back at its start what the annotation does not keep.
        for _ in 0..2 {
            for path in ["/version", "/healthz", "/livez", "/readyz"] {
                let status = self.running.cluster.anonymous_status(path).await.unwrap();
                assert_eq!(status, 403, "{path}");
            }
            self.running
                .cluster
                .restart(Component::ApiServer)
                .await
                .unwrap();
        }
        self.running.stack.wait_until_available().await.unwrap();
        let token = self.running.long_lived_token().await;
        self.running
            .log_in(&token, "with the binding hardened")
            .await;
    }
}
