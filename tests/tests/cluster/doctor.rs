//! `haulout doctor` where something is really wrong: it names that, says what to do, and finds nothing else.

mod diagnosis;
mod faults;
mod patient;

use haulout_tests::cluster::{AUDIENCE, Credential, Profile, StackOptions, TOKEN_VARIABLE};
use serde_json::json;

use self::diagnosis::Diagnosis;
use self::faults::FAULTS;
use self::patient::Patient;
use crate::running::{Running, until};

/// Checks that an administrator's kubeconfig and a token make in a healthy cluster.
const CHECKS: [&str; 16] = [
    "api-server",
    "clock",
    "account",
    "webhook",
    "api-service",
    "login-path",
    "anonymous-access",
    "namespaces",
    "controller-manager",
    "agent",
    "signing-key",
    "signing",
    "agent-clocks",
    "advertised-endpoint",
    "authenticator",
    "token",
];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_doctor_names_each_fault_and_nothing_else() {
    let mut patient = Patient::start().await;
    let healthy = patient.until_healthy("at the start").await;
    let names: Vec<_> = healthy
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(names, CHECKS);
    a_user_without_rights_is_told_which_are_missing(&patient).await;
    a_kubeconfig_with_another_ca_is_named(&patient).await;
    a_user_s_own_kubeconfig_does(&patient).await;
    a_clock_that_is_wrong_is_named(&patient).await;
    for fault in FAULTS {
        let begun = std::time::Instant::now();
        patient.inject(fault).await;
        let diagnosis = patient.until_found(fault).await;
        let seen = format!("{}: {:#?}", fault.name, diagnosis.found());
        assert!(diagnosis.names_only(fault), "{seen}");
        let code = i32::from(fault.verdict == "failed");
        assert_eq!(diagnosis.code, code, "{seen}");
        let found = begun.elapsed().as_secs_f32();
        if fault.closes_the_login_path() {
            a_user_who_cannot_log_in_is_told_why(&patient).await;
        }
        if fault.check == "token" {
            a_user_whose_token_is_refused_is_told_so(&patient).await;
        }
        patient.heal(fault, &diagnosis).await;
        patient.until_healthy(fault.name).await;
        let healed = begun.elapsed().as_secs_f32() - found;
        println!(
            "{}: found after {found:.1} s, healed after {healed:.1} s",
            fault.name
        );
    }
}

/// Nor does it call kubeadm's openness a failure.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_doctor_misses_no_pods_where_programs_run_as_processes() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let token = running.stack.token("alice", &["devs"]).await.unwrap();
    let admin = running.cluster.kubectl().kubeconfig().to_owned();
    let examine = async || {
        let token_env = format!("--token-env={TOKEN_VARIABLE}");
        Diagnosis::make(&admin, &token, &[&token_env]).await
    };
    let mut diagnosis = examine().await;
    // The leader's first canary may be on its way.
    until("only the openness is found", async || {
        diagnosis = examine().await;
        diagnosis.found().len() == 1
    })
    .await;
    assert_eq!(diagnosis.code, 0, "{diagnosis:?}");
    for (name, verdict) in [
        ("webhook", "ok"),
        ("anonymous-access", "warning"),
        ("controller-manager", "skipped"),
        ("agent", "skipped"),
        ("signing", "ok"),
        ("advertised-endpoint", "ok"),
        ("token", "ok"),
    ] {
        let check = diagnosis.check(name);
        assert_eq!(check.verdict, verdict, "{check:?}");
    }

    running.stack.webhook().kill();
    until("the webhook is missed", async || {
        diagnosis = examine().await;
        diagnosis.failed() == ["webhook"]
    })
    .await;
    let check = diagnosis.check("webhook");
    assert!(check.remedy.contains("docs/processes.md"), "{check:?}");
}

/// A client certificate that is bound to nothing.
async fn a_user_without_rights_is_told_which_are_missing(patient: &Patient) {
    let pair = patient
        .installed
        .cluster
        .pki()
        .user("nobody", None)
        .unwrap();
    let credential = Credential::Certificate(pair);
    let kubeconfig = patient
        .installed
        .cluster
        .kubeconfig("nobody", &credential)
        .unwrap();
    let diagnosis = patient.examine(&kubeconfig, &[]).await;
    assert_eq!(diagnosis.code, 0, "{diagnosis:?}");
    for (check, verdict, evidence) in [
        ("api-server", "ok", ""),
        ("clock", "ok", ""),
        ("account", "ok", "nobody"),
        ("login-path", "ok", ""),
        ("anonymous-access", "ok", ""),
        (
            "webhook",
            "skipped",
            "no right to get deployments.apps haulout-webhook in namespace haulout-system",
        ),
        (
            "controller-manager",
            "skipped",
            "no right to list pods in namespace kube-system",
        ),
        (
            "signing",
            "skipped",
            "no right to list credentialissuers.config.concierge.pinniped.dev",
        ),
    ] {
        let found = diagnosis.check(check);
        assert_eq!(found.verdict, verdict, "{found:?}");
        assert!(found.evidence.contains(evidence), "{found:?}");
    }
}

/// The CA of somebody else in `certificate-authority-data`.
async fn a_kubeconfig_with_another_ca_is_named(patient: &Patient) {
    let cluster = &patient.installed.cluster;
    let foreign = cluster.pki().foreign_authority().unwrap();
    let path = cluster.folder().join("foreign.kubeconfig");
    let admin = std::fs::read_to_string(patient.admin()).unwrap();
    let mut config: serde_json::Value = serde_saphyr::from_str(&admin).unwrap();
    let entry = config.pointer_mut("/clusters/0/cluster").unwrap();
    entry["certificate-authority-data"] = json!(patient::base64_of(&foreign.certificate));
    entry
        .as_object_mut()
        .unwrap()
        .remove("certificate-authority");
    std::fs::write(&path, config.to_string()).unwrap();
    let diagnosis = patient.examine(&path, &[]).await;
    assert_eq!(diagnosis.failed(), ["api-server"], "{diagnosis:?}");
    let check = diagnosis.check("api-server");
    assert!(check.evidence.contains("not of the given CA"), "{check:?}");
    assert!(check.remedy.contains("kube-root-ca.crt"), "{check:?}");
    assert_eq!(diagnosis.check("login-path").waits_for, "api-server");
}

/// Without a secret in it; the plugin logs in.
async fn a_user_s_own_kubeconfig_does(patient: &Patient) {
    let diagnosis = patient.examine_as_alice(&patient.token).await;
    assert_eq!(diagnosis.failed(), [""; 0], "{diagnosis:?}");
    assert!(diagnosis.check("account").evidence.contains("alice"));

    // Of what the token says of itself, this needs no right.
    let diagnosis = patient.examine_as_alice(&patient.expired_token()).await;
    assert_eq!(diagnosis.failed(), ["token"], "{diagnosis:?}");
    assert!(
        diagnosis.check("token").evidence.contains("it expired at"),
        "{diagnosis:?}"
    );
    assert_eq!(diagnosis.check("account").waits_for, "token");
}

/// The plugin of the kubeconfig cannot log in either.
async fn a_user_who_cannot_log_in_is_told_why(patient: &Patient) {
    let diagnosis = patient.examine_as_alice(&patient.token).await;
    assert_eq!(diagnosis.failed(), ["login-path"], "{diagnosis:?}");
    assert_eq!(diagnosis.check("account").waits_for, "login-path");
    assert_eq!(diagnosis.check("webhook").waits_for, "login-path");
}

/// Whichever way his plugin has come by it.
async fn a_user_whose_token_is_refused_is_told_so(patient: &Patient) {
    for diagnosis in [
        patient.examine_as_alice(&patient.token).await,
        patient.examine_by_session().await,
    ] {
        assert_eq!(diagnosis.failed(), ["token"], "{diagnosis:?}");
        let check = diagnosis.check("token");
        for part in [
            AUDIENCE,
            "by JWTAuthenticator/test-issuer: authentication failed (Audit-ID ",
        ] {
            assert!(check.evidence.contains(part), "{check:?}");
        }
        assert!(check.remedy.contains("ask an administrator"), "{check:?}");
        assert_eq!(diagnosis.check("account").waits_for, "token");
        assert_eq!(diagnosis.check("webhook").waits_for, "token");
    }
}

/// The program's clock is an argument of the library.
async fn a_clock_that_is_wrong_is_named(patient: &Patient) {
    for (minutes, verdict, direction) in [
        (10, "failed", "ahead of"),
        (-10, "failed", "behind"),
        (1, "warning", "ahead of"),
    ] {
        let diagnosis = patient.examine_at(minutes).await;
        let clock = diagnosis.check("clock");
        assert_eq!(clock.verdict, verdict, "{diagnosis:?}");
        assert!(clock.evidence.contains(direction), "{clock:?}");
        let mut words = clock.evidence.split(' ');
        let seconds = words.find_map(|word| word.parse::<i64>().ok());
        // Seconds begin between question and answer, and `Date` has whole ones.
        let difference = seconds.unwrap() - 60 * minutes.abs();
        assert!(difference.abs() <= 5, "{clock:?}");
        assert!(clock.remedy.contains("NTP"), "{clock:?}");
        let others = diagnosis
            .checks
            .iter()
            .filter(|check| check.name != "clock");
        for check in others {
            assert_eq!(check.verdict, "ok", "{minutes}: {check:?}");
        }
    }
}
