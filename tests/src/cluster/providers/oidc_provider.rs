//! oidc-provider, the certified OpenID provider for Node.js, in the small server of `tests/providers`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Kind, Provider, browser, installation};
use crate::cluster::process::Launch;
use crate::cluster::{Cluster, pki};

/// All that decides what is installed.
const FILES: [(&str, &str); 4] = [
    (
        ".npmrc",
        include_str!("../../../providers/oidc-provider/.npmrc"),
    ),
    (
        "package.json",
        include_str!("../../../providers/oidc-provider/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../../providers/oidc-provider/package-lock.json"),
    ),
    (
        SERVER,
        include_str!("../../../providers/oidc-provider/server.mjs"),
    ),
];
const SERVER: &str = "server.mjs";
const OIDC_PROVIDER: Kind = Kind {
    name: "oidc-provider",
    scope: "openid email groups",
    start_limit: Duration::from_secs(30),
};

impl Provider {
    /// Starts oidc-provider. `settings` has `clients` and `accounts` as `server.mjs` wants them; its login form has the
    /// fields `login` and `password`. Each start makes new keys.
    ///
    /// # Errors
    /// Node.js or npm is missing, or it did not become ready within half a minute.
    pub async fn start_oidc_provider(cluster: &Cluster, settings: &Value) -> anyhow::Result<Self> {
        let program = find_or_install().await?.join(SERVER);
        let file = cluster.folder().join("oidc-provider.json");
        Self::start(cluster, OIDC_PROVIDER, |endpoint| {
            let mut own = json!({
                "issuer": endpoint.url(),
                "certificate": endpoint.certificate,
                "key": endpoint.key,
                "redirectUri": browser::REDIRECT_URI,
            });
            if let (Some(own), Some(settings)) = (own.as_object_mut(), settings.as_object()) {
                own.extend(settings.clone());
            }
            pki::write(&file, &own.to_string(), 0o600)?;
            let launch = Launch {
                name: OIDC_PROVIDER.name.to_owned(),
                program: "node".into(),
                arguments: vec![(&program).into(), (&file).into()],
                environment: Vec::new(),
                user: None,
                detached: false,
                folder: cluster.folder().to_owned(),
            };
            Ok((endpoint.url(), launch))
        })
        .await
    }
}

/// Folder of the server and its packages, which npm installs as the lock file says.
///
/// # Errors
/// npm is missing or failed.
pub async fn find_or_install() -> anyhow::Result<PathBuf> {
    let all = FILES
        .map(|(name, text)| format!("{name}\0{text}\0"))
        .concat();
    let hash = haulout_pki::hex(digest(&SHA256, all.as_bytes()).as_ref());
    let name = format!("oidc-provider-{hash:.16}");
    installation::find_or_install(&name, async |folder: &Path| {
        for (name, text) in FILES {
            std::fs::write(folder.join(name), text)?;
        }
        installation::run(Command::new("npm").arg("ci").current_dir(folder)).await
    })
    .await
}
