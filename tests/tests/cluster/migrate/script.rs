//! The printed script, taken apart and run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haulout_tests::cluster::Cluster;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(120);

/// A step: its title, and its commands as they are printed.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: String,
    commands: Vec<String>,
}

/// The steps of a script.
pub(super) fn steps(script: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut command = String::new();
    for line in script.lines() {
        if command.is_empty() {
            if let Some(title) = title(line) {
                steps.push(Step {
                    title: title.to_owned(),
                    commands: Vec::new(),
                });
                continue;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
        }
        command.push_str(line);
        command.push('\n');
        let is_text = command.contains("<<'EOF'") && line != "EOF";
        if !is_text && !line.ends_with('\\') && !line.ends_with('|') {
            steps
                .last_mut()
                .unwrap()
                .commands
                .push(std::mem::take(&mut command));
        }
    }
    assert_eq!(command, "", "a command without end");
    steps
}

fn title(line: &str) -> Option<&str> {
    let (number, title) = line.strip_prefix("# ")?.split_once(". ")?;
    number.parse::<u8>().ok()?;
    Some(title)
}

impl Step {
    /// Runs its commands in one shell, in `folder`, until one fails; gives what they printed.
    pub(super) async fn run(
        &self,
        folder: &Path,
        programs: &[PathBuf],
        cluster: &Cluster,
        port: Option<u16>,
    ) -> Result<String, String> {
        let runs = self.commands.iter().filter(|command| !needs_pods(command));
        let mut script: String = runs.map(String::as_str).collect();
        // A namespace goes when every APIService answers; nothing answers for the Concierge here.
        script = script.replace("delete namespace", "delete --wait=false namespace");
        if let Some(port) = port {
            // The Service leads to a process here, which listens at a port of its own.
            script = script.replace(r#""port":443"#, &format!(r#""port":{port}"#));
        }
        let command = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::join_paths(programs).unwrap())
            .env("HOME", cluster.folder())
            .env("KUBECONFIG", cluster.kubectl().kubeconfig())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, command).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(format!("{}\n{script}\n{text}", self.title))
        }
    }
}

/// Helm installs what runs as pods, and `rollout status` waits for them.
fn needs_pods(command: &str) -> bool {
    command.starts_with("helm ") || command.contains(" rollout status ")
}
