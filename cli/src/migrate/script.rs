//! A shell script for people to read and run step by step.

use std::fmt::{self, Write as _};
use std::path::Path;

use crate::arguments::ClusterFlags;
use crate::printable;

/// The programs that a script calls, with the flags that lead them to the same cluster.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    pub(super) kubectl: String,
    pub(super) helm: String,
    /// `haulout agent-values`.
    pub(super) agent_values: String,
    /// `haulout migrate`.
    pub(super) migrate: String,
}

impl Tools {
    /// For the cluster that `flags` name, and the installation of this API group suffix where one is named.
    pub(super) fn new(flags: &ClusterFlags, suffix: Option<&str>) -> Self {
        let with = |program: &str, context_flag: &str| {
            let mut command = program.to_owned();
            let kubeconfig = flags.kubeconfig.as_deref().map(Path::to_string_lossy);
            let context = flags.context.as_deref().map(Into::into);
            for (flag, value) in [("--kubeconfig", kubeconfig), (context_flag, context)] {
                if let Some(value) = value {
                    command = format!("{command} {flag} {}", quoted(&value));
                }
            }
            command
        };
        let mut migrate = with("haulout migrate", "--context");
        if let Some(suffix) = suffix {
            migrate = format!("{migrate} --api-group-suffix {}", quoted(suffix));
        }
        Self {
            kubectl: with("kubectl", "--context"),
            helm: with("helm", "--kube-context"),
            agent_values: with("haulout agent-values", "--context"),
            migrate,
        }
    }
}

/// The script.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    steps: usize,
}

impl Script {
    /// One that begins with `comment`.
    pub(super) fn new(comment: &str) -> Self {
        let mut script = Self {
            text: String::new(),
            steps: 0,
        };
        script.comment(comment);
        script
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        self.text.push('\n');
        self.comment(&format!("{}. {title}", self.steps));
    }

    /// Adds lines of comment.
    pub(super) fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.write(format_args!("# {}", printable(line)));
        }
    }

    /// Adds a command.
    pub(super) fn run(&mut self, command: impl fmt::Display) {
        self.write(format_args!("{command}"));
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn write(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _infallible = writeln!(self.text, "{line}");
    }
}

/// A word of a command line, in quotes where it needs them.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn words_reach_the_program_as_they_are() {
        for word in [
            "plain",
            "",
            "a b",
            "it's",
            "$(rm)",
            "a\"b",
            "`x`",
            "a\nb",
            "admin@prod",
            "*",
        ] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn a_comment_hides_nothing_from_who_reads_it() {
        let text = Script::new("one\ntwo\rthree\u{1b}[2K").into_text();
        assert_eq!(text, "# one\n# two three\\u{1b}[2K\n");
    }

    #[test]
    fn tools_lead_to_the_same_cluster() {
        let flags = ClusterFlags {
            kubeconfig: Some("/home/me/my config".into()),
            context: Some("admin@prod".to_owned()),
        };
        let tools = Tools::new(&flags, Some("sso.example.com"));
        let kubeconfig = "--kubeconfig '/home/me/my config'";
        assert_eq!(
            tools.kubectl,
            format!("kubectl {kubeconfig} --context admin@prod")
        );
        assert_eq!(
            tools.helm,
            format!("helm {kubeconfig} --kube-context admin@prod")
        );
        assert_eq!(
            tools.agent_values,
            format!("haulout agent-values {kubeconfig} --context admin@prod")
        );
        assert_eq!(
            tools.migrate,
            format!(
                "haulout migrate {kubeconfig} --context admin@prod --api-group-suffix sso.example.com"
            )
        );
        let flags = ClusterFlags {
            kubeconfig: None,
            context: None,
        };
        let tools = Tools::new(&flags, None);
        assert_eq!(tools.helm, "helm");
        assert_eq!(tools.migrate, "haulout migrate");
    }

    /// The program's flags belong behind its command.
    #[test]
    fn this_program_takes_what_the_script_calls_it_with() {
        let flags = ClusterFlags {
            kubeconfig: Some("/home/me/config".into()),
            context: Some("admin@prod".to_owned()),
        };
        let tools = Tools::new(&flags, Some("sso.example.com"));
        for command in [
            tools.agent_values,
            tools.migrate.clone(),
            tools.migrate + " --back",
        ] {
            let parsed = Arguments::try_parse_from(command.split(' '));
            assert!(parsed.is_ok(), "{command}: {parsed:?}");
        }
    }
}
