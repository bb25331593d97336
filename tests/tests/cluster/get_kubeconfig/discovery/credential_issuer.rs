//! Which CredentialIssuer, and which of its strategies.

use std::process::Stdio;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{ENV, ISSUER, Site, good, strategy};
use crate::audit;
use crate::get_kubeconfig::LIMIT;
use crate::running::until;

pub(super) async fn c105_credential_issuers_are_none_several_missing_or_out_of_reach(site: &Site) {
    // Without the kind, and without an object.
    site.run(&[ENV])
        .await
        .assert_fails("no CredentialIssuers were found");
    site.install("pinniped.dev").await;
    site.run(&[ENV])
        .await
        .assert_fails("no CredentialIssuers were found");
    for name in ["first", "second"] {
        site.issuer(name, "pinniped.dev", &json!([good()])).await;
    }
    let several = site.run(&[ENV]).await;
    several.assert_fails("multiple CredentialIssuers were found, so the --concierge-credential-issuer flag must be specified");
    several.assert_fails("there are first, second");
    let missing = site
        .run(&[ENV, "--concierge-credential-issuer=third"])
        .await;
    missing.assert_fails("could not find CredentialIssuer \"third\"");
    let nobody = site.limited_to("nobody", "").await;
    nobody
        .run(&[ENV])
        .await
        .assert_fails("could not list CredentialIssuers");
    nobody.run(&[ENV]).await.assert_fails(
        "; use an administrator's kubeconfig, or name it by --concierge-credential-issuer",
    );
    nobody.run(&[ENV]).await.assert_fails("is forbidden");
    let named = nobody.run(&[ENV, ISSUER]).await;
    named.assert_fails(
        "could not get CredentialIssuer \"first\": failed to read CredentialIssuer from https://",
    );
}

pub(super) async fn c106_failing_strategies_are_all_told(site: &Site) {
    let failing = json!([
        strategy(
            "KubeClusterSigningCertificate",
            "Error",
            "CouldNotFetchKey",
            "no key",
            &Value::Null
        ),
        strategy(
            "ImpersonationProxy",
            "Error",
            "Disabled",
            "it is off",
            &Value::Null
        ),
    ]);
    site.issuer("first", "pinniped.dev", &failing).await;
    let none = site.run(&[ENV, ISSUER]).await;
    none.assert_fails("could not autodiscover --concierge-mode");
    for line in [
        "found strategy KubeClusterSigningCertificate: Error (CouldNotFetchKey): no key",
        "found strategy ImpersonationProxy: Error (Disabled): it is off",
    ] {
        assert!(
            none.stderr.lines().any(|found| found == line),
            "{line}: {}",
            none.stderr
        );
    }
    let flags = [ENV, ISSUER, "--concierge-mode=tokenCredentialRequestAPI"];
    let none = site.run(&flags).await;
    none.assert_fails("could not find successful Concierge strategy matching --concierge-mode=TokenCredentialRequestAPI");
}

pub(super) async fn c107_a_pending_strategy_is_waited_for(site: &Site) {
    let pending = strategy(
        "ImpersonationProxy",
        "Error",
        "Pending",
        "no address yet",
        &Value::Null,
    );
    site.issuer("first", "pinniped.dev", &json!([good(), pending]))
        .await;
    site.authenticator("pinniped.dev", "this-cluster", &site.inline_ca())
        .await;
    let before = site.looks(0).await.len();
    let skipped = site.run(&[ENV, ISSUER, "--concierge-skip-wait"]).await;
    skipped.arguments();
    assert!(!skipped.stderr.contains("waiting"), "{}", skipped.stderr);
    let skipped = site.looks(before + 1).await.len();
    assert_eq!(skipped, before + 1, "it looks once");
    let late = site.run(&[ENV, ISSUER, "--timeout=1s"]).await;
    late.assert_fails("CredentialIssuer first still has strategies that are pending after 1 s: ImpersonationProxy");
    let late = site.looks(skipped + 2).await.len();
    assert_eq!(late, skipped + 2, "it looks once more at the end");

    let mut command = site.shell.command(&[ENV, ISSUER]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let waiting = "waiting 600 s at most for CredentialIssuer first: ImpersonationProxy: Error (Pending): no address yet";
    loop {
        let line = tokio::time::timeout(LIMIT, lines.next_line())
            .await
            .unwrap()
            .unwrap();
        if line.expect("it says that it waits") == waiting {
            break;
        }
    }
    site.issuer("first", "pinniped.dev", &json!([good()])).await;
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"apiVersion: v1\n"));
    let looks = site.looks(late + 2).await;
    for pair in looks[late..].windows(2) {
        let between = pair[1].duration_since(pair[0]);
        assert!(between >= SignedDuration::from_secs(2), "{between}");
    }
    site.delete(&["jwtauthenticator", "company"]).await;
}

impl Site {
    /// When the program has looked at the CredentialIssuer, by the API server's audit log, once it has so many times.
    async fn looks(&self, at_least: usize) -> Vec<Timestamp> {
        let path = self.cluster.folder().join(audit::LOG);
        let mut looks = Vec::new();
        until("looks in the audit log", async || {
            let log = std::fs::read_to_string(&path).unwrap();
            let events = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let of_program = events.filter(|event| {
                let agent = event["userAgent"].as_str().unwrap_or_default();
                event["stage"] == "ResponseComplete"
                    && event["verb"] == "get"
                    && event["objectRef"]["resource"] == "credentialissuers"
                    && !agent.starts_with("kubectl")
            });
            let received = of_program.map(|event| event["requestReceivedTimestamp"].clone());
            looks = received
                .map(|time| time.as_str().unwrap().parse().unwrap())
                .collect();
            looks.len() >= at_least
        })
        .await;
        looks
    }
}
