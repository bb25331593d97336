//! A real kube-apiserver with what each config leads to, and Haulout behind it.

mod requests;

use std::path::Path;
use std::time::Duration;

use haulout_tests::cluster::{Component, Profile, StackOptions};
use haulout_tests::talos::{Broken, Rendered, State, Talos, Version};
use serde_json::{Value, json};

use self::requests::Answers;
use super::config::default_sections;
use super::matrix;
use super::patches::{MANIFESTS, read};
use super::rows::{Outcome, Section};
use super::traps::{TRAPS, Trap};
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
    for version in [Version::V1_13, Version::V1_14] {
        let talos = Talos::find_or_build(version).await.unwrap();
        for trap in TRAPS.iter().filter(|trap| trap.version == version) {
            observer.fall_into(trap, &talos).await;
        }
    }
    let seen = observer.observe_all(&sections).await;
    matrix::compare(&sections, Some(&seen));
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
    /// What it said last.
    Ended(String),
}

impl Observer {
    pub(crate) async fn start() -> Self {
        let running = Running::start(Profile::Talos, &StackOptions::default()).await;
        let seen = Seen::default();
        Self { running, seen }
    }

    /// Looks at everything that Talos renders.
    pub(crate) async fn observe_all(&mut self, sections: &[Section]) -> Seen {
        for section in sections {
            for (rendered, state) in section.rendered() {
                self.observe(rendered, state).await;
            }
        }
        std::mem::take(&mut self.seen)
    }

    /// Talos takes the mistake, and the API server has to show what comes of it.
    pub(crate) async fn fall_into(&mut self, trap: &Trap, talos: &Talos) {
        let Outcome::Taken { rendered, state } = trap.fall_into(talos).await else {
            panic!("{}: Talos refuses it", trap.name);
        };
        self.observe(&rendered, &state).await;
        let observation = self.seen.find(&rendered).unwrap();
        match (observation, trap.message) {
            (Observation::Started(_), "") => {}
            (Observation::Ended(last), message) if !message.is_empty() => {
                assert!(last.contains(message), "{}: {last}", trap.name);
            }
            (Observation::Started(_), _) => panic!("{}: it started", trap.name),
            (Observation::Ended(last), _) => panic!("{}: it ended: {last}", trap.name),
        }
    }

    /// Starts it unless that was done, and compares with what the state says.
    async fn observe(&mut self, rendered: &Rendered, state: &State) {
        let must_start = match state {
            State::Broken(Broken::NotRendered(_)) => return,
            State::Broken(Broken::DoesNotStart(_)) => false,
            _ => true,
        };
        if self.seen.find(rendered).is_some() {
            return;
        }
        let key = Key::of(rendered);
        let observation = if key.repeats_a_mount() {
            Observation::Ended(self.refused_pod(&key).await)
        } else {
            self.restart_with(&key).await;
            let process = self.running.cluster.process(Component::ApiServer).unwrap();
            if must_start {
                self.running.cluster.wait_until_ready().await.unwrap();
                self.running.stack.wait_until_available().await.unwrap();
                let answers = Answers::of(&self.running, state).await;
                Observation::Started(answers)
            } else {
                let log = process.log();
                process.wait(END).await.unwrap();
                Observation::Ended(last_words(&log))
            }
        };
        self.seen.0.push((key, observation));
    }

    async fn restart_with(&mut self, key: &Key) {
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
                content.map_or(path.into(), |content| file("authentication", content))
            });
            arguments.push(path.map_or_else(
                || flag.clone(),
                |path| format!("{}{}", OWN_ARGUMENTS[2], path.display()),
            ));
        }
        let process = self.running.cluster.process(Component::ApiServer).unwrap();
        drop(std::fs::write(process.log(), ""));
        let old = process.arguments_mut();
        old.retain(|argument| {
            let argument = argument.to_str().unwrap();
            !OWN_ARGUMENTS.iter().any(|own| argument.starts_with(own))
        });
        old.extend(arguments.into_iter().map(Into::into));
        process.restart().unwrap();
    }

    /// No kubelet is there to refuse the static pod; the API server judges a pod by the same rules.
    async fn refused_pod(&self, key: &Key) -> String {
        let mounts: Vec<Value> = key
            .mount_paths
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
        assert!(
            !output.status.success() && text.contains("must be unique"),
            "{text}"
        );
        text
    }
}

/// Of kube-apiserver's log.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap();
    let mut lines = text.lines().rev();
    lines
        .find(|line| line.contains("err=") || line.starts_with("Error:"))
        .unwrap_or_default()
        .to_owned()
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

    fn repeats_a_mount(&self) -> bool {
        let paths = &self.mount_paths;
        (1..paths.len()).any(|index| paths[..index].contains(&paths[index]))
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
            Some(Observation::Ended(_)) => ["no", "", ""].map(str::to_owned),
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
        self.restart_with(&key).await;
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
