//! The printed script, taken apart.

/// A step: its title, and its commands as they are printed.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) title: String,
    commands: Vec<String>,
}

/// The steps of a script.
pub(crate) fn steps(script: &str) -> Vec<Step> {
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

/// The step whose title begins so.
pub(crate) fn find<'a>(steps: &'a [Step], beginning: &str) -> &'a Step {
    let step = steps.iter().find(|step| step.title.starts_with(beginning));
    step.unwrap_or_else(|| panic!("no step {beginning}: {steps:#?}"))
}

impl Step {
    /// Its commands.
    pub(crate) fn script(&self) -> String {
        self.commands.concat()
    }

    /// Those that need no pods, with the port of the webhook's process if one is given.
    pub(super) fn script_without_pods(&self, port: Option<u16>) -> String {
        let runs = self.commands.iter().filter(|command| !needs_pods(command));
        let script: String = runs.map(String::as_str).collect();
        // A namespace goes when every APIService answers; nothing answers for the Concierge here.
        let script = script.replace("delete namespace", "delete --wait=false namespace");
        match port {
            // The Service leads to a process here, which listens at a port of its own.
            Some(port) => script.replace(r#""port":443"#, &format!(r#""port":{port}"#)),
            None => script,
        }
    }
}

/// Helm installs what runs as pods, and `rollout status` waits for them.
fn needs_pods(command: &str) -> bool {
    command.starts_with("helm ") || command.contains(" rollout status ")
}
