//! The cluster's CA, replaced on all nodes.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use haulout_operate::clock::Clock;
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use haulout_tests::cluster::{AGENT_NAMESPACE, Pair};
use haulout_tests::fault_table::Demand;

use super::Trial;
use super::faults::{AGENT, is_ready, restarts};
use crate::installed::Installed;
use crate::running::until;

pub(super) async fn replaced(trial: &mut Trial) {
    trial
        .ending(
            "cluster's CA written in place",
            Demand::NoneLost,
            async |installed| {
                let new = "kubernetes-2";
                installed.replace_signing_pair(new, write_in_place).await;
            },
        )
        .await;
    // The kubelet delays what has ended twice within ten minutes, and one was killed before.
    trial.installed.roll_out(&AGENT).await;
    trial
        .ending(
            "cluster's CA replaced by mv",
            Demand::NoneLost,
            async |installed| {
                let new = "kubernetes-3";
                installed.replace_signing_pair(new, move_over).await;
                until("agents started anew", async || {
                    let agents = installed.pods(AGENT_NAMESPACE).await;
                    agents.iter().all(|pod| restarts(pod) == 1 && is_ready(pod))
                })
                .await;
            },
        )
        .await;
}

impl Installed {
    /// As an administrator replaces the cluster's CA: the API server trusts both first; then the pair on the nodes is
    /// another one; and what is signed with it is accepted.
    async fn replace_signing_pair(&self, name: &str, write: impl Fn(&Path, &str)) {
        let now = Clock::system().now();
        let validity = Validity {
            not_before: now - Duration::from_secs(300),
            not_after: now + Duration::from_secs(86400),
        };
        let new = generate_authority(name, validity).unwrap();
        let trusted = self.cluster.pki().signing_pair().certificate;
        let both = std::fs::read_to_string(&trusted).unwrap() + &new.certificate_pem;
        write_in_place(&trusted, &both);
        until("the API server trusts both", async || {
            let path = "-o=jsonpath={.data.client-ca-file}";
            let map = ["extension-apiserver-authentication", "-n", "kube-system"];
            let known = self.run(&["get", "configmap", path], &map).await;
            known.contains(new.certificate_pem.trim())
        })
        .await;
        let profile = self.cluster.profile();
        for node in self.cluster.nodes() {
            let Pair { certificate, key } = node.access().signing_pair(profile);
            write(&key, &new.key_pem);
            write(&certificate, &new.certificate_pem);
        }
        let target = self.target();
        until("certificates of the new CA", async || {
            let certificate = target.log_in().await;
            certificate.is_ok_and(|certificate| issuer(&certificate) == name)
        })
        .await;
        self.as_alice(&["auth", "whoami"]).await.unwrap();
    }
}

/// Common name of who has signed a certificate, by openssl.
fn issuer(certificate: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-issuer", "-nameopt", "multiline"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(certificate.as_bytes()).unwrap();
    drop(input);
    let output = openssl.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let name = text.lines().find_map(|line| line.split_once("= "));
    name.unwrap_or_default().1.to_owned()
}

/// As Talos does it: inode, owner and mode stay.
fn write_in_place(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// As `mv` does it: another file gets the name, with the same owner and mode.
fn move_over(path: &Path, text: &str) {
    let old = std::fs::metadata(path).unwrap();
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    chown(&new, Some(old.uid()), Some(old.gid())).unwrap();
    std::fs::set_permissions(&new, old.permissions()).unwrap();
    std::fs::rename(&new, path).unwrap();
}
