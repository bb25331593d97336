//! Who gets in to a running kube-apiserver, changed as a machine config changes it.

use serde_json::Value;

use super::{Cluster, Component};

const ADMISSION: &str = "--admission-control-config-file=";
const AUTHENTICATION: &str = "--authentication-config=";
/// What is taken off the command line before.
const REPLACED: [&str; 4] = [ADMISSION, AUTHENTICATION, "--anonymous-auth=", "--oidc-"];

/// Arguments and files that decide it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// The arguments. What `--authentication-config` names is the next field, or a file that is not there.
    pub flags: Vec<String>,
    /// What is in the file.
    pub authentication: Option<Value>,
    /// What `--admission-control-config-file` leads to; its own stays where this is `None`.
    pub admission: Option<Value>,
}

impl Cluster {
    /// Starts kube-apiserver anew with this in place of what it had; does not wait for it.
    ///
    /// # Errors
    /// A file cannot be written, or the process cannot be started.
    pub fn restart_api_server(&mut self, access: &Access) -> anyhow::Result<()> {
        let folder = self.folder().to_owned();
        // Under a name of its own each time: the old process reads its files too.
        let file = |name: &str, content: &Value| -> anyhow::Result<String> {
            let path = folder.join(format!("{name}-{}.json", uuid::Uuid::new_v4()));
            std::fs::write(&path, content.to_string())?;
            Ok(path.display().to_string())
        };
        let mut replaced = REPLACED.to_vec();
        let mut arguments = Vec::new();
        match &access.admission {
            Some(admission) => {
                arguments.push(format!("{ADMISSION}{}", file("admission", admission)?))
            }
            None => replaced.retain(|flag| *flag != ADMISSION),
        }
        for flag in &access.flags {
            arguments.push(
                match (flag.strip_prefix(AUTHENTICATION), &access.authentication) {
                    (Some(_), Some(content)) => {
                        format!("{AUTHENTICATION}{}", file("authentication", content)?)
                    }
                    _ => flag.clone(),
                },
            );
        }
        let process = self.process(Component::ApiServer)?;
        std::fs::write(process.log(), "")?;
        let old = process.arguments_mut();
        old.retain(|argument| {
            let argument = argument.to_string_lossy();
            !replaced.iter().any(|flag| argument.starts_with(flag))
        });
        old.extend(arguments.into_iter().map(Into::into));
        process.restart()
    }
}
