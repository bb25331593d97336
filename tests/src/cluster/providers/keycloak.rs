//! Keycloak, with the realm of `tests/providers`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use tokio::process::Command;

use super::{Endpoint, Kind, Provider, installation};
use crate::cluster::process::Launch;
use crate::cluster::{Cluster, pki};

const VERSION: &str = "26.7.3";
/// SHA-256 of the distribution: Maven compares with a sum from the same place only.
const SHA256_SUM: &str = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f";
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

const REALM: &str = include_str!("../../../providers/keycloak/realm.json");
const REALM_NAME: &str = "local";

const KEYCLOAK: Kind = Kind {
    name: "keycloak",
    scope: "openid",
    // Half a minute on a machine with nothing else to do.
    start_limit: Duration::from_secs(300),
};

/// `kc.sh` keeps the JVM as a child, which would survive it when it is killed. It runs this in place of `java`.
const JAVA: &str = "#!/bin/sh\nexec setpriv --pdeathsig KILL -- java \"$@\"\n";

impl Provider {
    /// Starts Keycloak, its data in memory. Its login form has the fields `username` and `password`.
    ///
    /// # Errors
    /// Java, Maven or unzip is missing, or it did not become ready within five minutes.
    pub async fn start_keycloak(cluster: &Cluster) -> anyhow::Result<Self> {
        let program = find_or_install().await?;
        let home = cluster.folder().join("keycloak");
        prepare_home(&home, &program)?;
        Self::start(cluster, KEYCLOAK, |endpoint| {
            let launch = Launch {
                name: KEYCLOAK.name.to_owned(),
                program: program.join("bin/kc.sh"),
                arguments: arguments(endpoint, &home)
                    .into_iter()
                    .map(Into::into)
                    .collect(),
                environment: vec![
                    (
                        "JAVA".to_owned(),
                        home.join("java").to_string_lossy().into_owned(),
                    ),
                    // It does not live long enough for the second compiler to pay.
                    (
                        "JAVA_OPTS_APPEND".to_owned(),
                        "-XX:TieredStopAtLevel=1".to_owned(),
                    ),
                ],
                user: None,
                detached: false,
                folder: cluster.folder().to_owned(),
            };
            Ok((format!("{}/realms/{REALM_NAME}", endpoint.url()), launch))
        })
        .await
    }
}

/// Lays out a home of its own, beside the installed programs: what it imports and writes stands there.
fn prepare_home(home: &Path, program: &Path) -> anyhow::Result<()> {
    let import = home.join("data/import");
    std::fs::create_dir_all(&import)?;
    pki::write(&import.join("realm.json"), REALM, 0o600)?;
    pki::write(&home.join("java"), JAVA, 0o700)?;
    symlink(program.join("lib"), home.join("lib"))?;
    Ok(())
}

fn arguments(endpoint: &Endpoint, home: &Path) -> Vec<String> {
    vec![
        "start".to_owned(),
        "--optimized".to_owned(),
        "--import-realm".to_owned(),
        // Without it members of a cluster are looked for on every interface.
        "--cache=local".to_owned(),
        "--http-host=127.0.0.1".to_owned(),
        format!("--https-port={}", endpoint.port),
        format!(
            "--https-certificate-file={}",
            endpoint.certificate.display()
        ),
        format!("--https-certificate-key-file={}", endpoint.key.display()),
        // The issuer is then the URL by which it was asked.
        "--hostname-strict=false".to_owned(),
        format!("-Dkc.home.dir={}", home.display()),
    ]
}

/// Folder of Keycloak, which Maven downloads.
///
/// # Errors
/// Java, Maven or unzip is missing or failed, or the download is not what was expected.
pub async fn find_or_install() -> anyhow::Result<PathBuf> {
    let name = format!("keycloak-{VERSION}");
    let folder = installation::find_or_install(&name, async |folder: &Path| {
        installation::run(
            Command::new("mvn")
                .args(["--batch-mode", "--quiet", "--strict-checksums", COPY])
                .arg(format!(
                    "-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
                ))
                .arg("-DoutputDirectory=.")
                .current_dir(folder),
        )
        .await?;
        let archive = folder.join(format!("keycloak-quarkus-dist-{VERSION}.zip"));
        let sum = digest(&SHA256, &std::fs::read(&archive)?);
        let sum = haulout_pki::hex(sum.as_ref());
        ensure!(
            sum == SHA256_SUM,
            "the SHA-256 of Keycloak {VERSION} is {sum}, not {SHA256_SUM}: do not run it"
        );
        installation::run(
            Command::new("unzip")
                .arg("-q")
                .arg(&archive)
                .current_dir(folder),
        )
        .await?;
        std::fs::remove_file(archive)?;
        // What it would do at each start otherwise.
        let program = folder.join(&name).join("bin/kc.sh");
        installation::run(Command::new(program).args(["build", "--db=dev-mem"])).await
    })
    .await
    .with_context(|| format!("failed to install Keycloak {VERSION}"))?;
    Ok(folder.join(name))
}
