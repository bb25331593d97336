use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt;
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::controllers::test_server::{Server, environment, start};

const SECRETS: &str = "/api/v1/namespaces/haulout-system/secrets";
const SECRET: &str = "/api/v1/namespaces/haulout-system/secrets/ca";
const CONFIG_MAP: &str = "/api/v1/namespaces/haulout-system/configmaps/ca";

fn ca_pem() -> String {
    let validity = Validity {
        not_before: start(),
        not_after: start() + Duration::from_secs(3600),
    };
    generate_authority("ca", validity).unwrap().certificate_pem
}

/// Sources that nothing watches, so that each call is one of the test's.
fn unwatched() -> (TrustSources, Server) {
    let (environment, server, _) = environment(false);
    let sources = TrustSources::new(
        environment.client,
        "haulout-system".to_owned(),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    for sights in [&sources.secrets, &sources.config_maps] {
        sights.are_watched.store(true, Ordering::Relaxed);
    }
    (sources, server)
}

fn tls(kind: CertificateAuthorityDataSourceKind) -> TlsSpec {
    TlsSpec {
        certificate_authority_data_source: Some(CertificateAuthorityDataSource {
            kind,
            name: "ca".to_owned(),
            key: "ca.crt".to_owned(),
        }),
        ..TlsSpec::default()
    }
}

fn object(kind: &str, version: &str, fields: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind,
        "metadata": {"name": "ca", "namespace": "haulout-system", "resourceVersion": version}});
    let fields = fields.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(fields);
    object
}

#[tokio::test]
async fn each_kind_is_read_from_our_namespace() {
    let pem = ca_pem();
    let secret = json!({"type": "Opaque", "data": {"ca.crt": BASE64_STANDARD.encode(&pem)}});
    for (kind, path, object) in [
        (
            CertificateAuthorityDataSourceKind::Secret,
            SECRET,
            object("Secret", "7", &secret),
        ),
        (
            CertificateAuthorityDataSourceKind::ConfigMap,
            CONFIG_MAP,
            object("ConfigMap", "7", &json!({"data": {"ca.crt": pem}})),
        ),
    ] {
        let (sources, mut server) = unwatched();
        let tls = tls(kind);
        let ((roots, followed), _) = tokio::join!(
            sources.read(Some(&tls)),
            server.answer(Method::GET, path, 200, &object)
        );
        assert!(matches!(roots, Ok(TrustRoots::Only(certificates)) if certificates.len() == 1));
        assert_eq!(followed.unwrap().seen, Sight::Present("7".to_owned()));
    }
}

#[tokio::test]
async fn what_is_in_the_object_itself_needs_no_call() {
    let (sources, mut server) = unwatched();
    let (roots, followed) = sources.read(None).await;
    assert!(matches!(roots, Ok(TrustRoots::System)) && followed.is_none());
    server.expect_silence();
}

#[tokio::test]
async fn only_a_call_that_failed_may_heal_by_itself() {
    for (code, may_heal, message) in [
        (404, false, "secret \"ca\" not found"),
        (403, true, "test says 403"),
    ] {
        let (sources, mut server) = unwatched();
        let tls = tls(CertificateAuthorityDataSourceKind::Secret);
        let ((roots, _), _) = tokio::join!(
            sources.read(Some(&tls)),
            server.fails(Method::GET, SECRET, code)
        );
        let error = roots.unwrap_err();
        let prefix = "spec.tls.certificateAuthorityDataSource is invalid: failed to get secret \"haulout-system/ca\":";
        assert_eq!(error.to_string(), format!("{prefix} {message}"));
        assert_eq!(error.may_heal(), may_heal);
    }
}

#[tokio::test]
async fn names_that_no_object_has_are_not_asked_for() {
    for name in ["", "../pods", "a?watch=1", "A"] {
        let (sources, mut server) = unwatched();
        let mut tls = tls(CertificateAuthorityDataSourceKind::ConfigMap);
        let source = tls.certificate_authority_data_source.as_mut().unwrap();
        source.name = name.to_owned();
        let (roots, _) = sources.read(Some(&tls)).await;
        let error = roots.unwrap_err().to_string();
        assert!(error.ends_with("not found"), "{error}");
        server.expect_silence();
    }
}

#[test]
fn a_source_counts_as_changed_when_it_is_not_what_was_read() {
    let present = |version: &str| Sight::Present(version.to_owned());
    let sights = Sights::default();
    let mut followed = Followed {
        sights: sights.follow("ca"),
        seen: present("7"),
    };
    let mut changes_after = |sight| {
        sights.note("other", Sight::Absent);
        sights.note("ca", sight);
        followed.changed().now_or_never().is_some()
    };
    assert!(!changes_after(present("7")), "the watch begins");
    assert!(changes_after(present("8")));
    assert!(!changes_after(present("8")), "told already");
    assert!(changes_after(Sight::Absent));
    assert!(!changes_after(present("7")), "it is back as it was");
}

#[test]
fn nobody_is_told_of_what_nobody_follows_any_more() {
    let sights = Sights::default();
    drop(sights.follow("a"));
    let _other = sights.follow("b");
    let names: Vec<String> = sights.by_name().keys().cloned().collect();
    assert_eq!(names, ["b"]);
}

/// What Secrets hold never comes with the watch.
#[tokio::test]
async fn only_metadata_is_watched_and_a_missing_object_is_noticed() {
    let (sources, mut server) = unwatched();
    let mut gone = Followed {
        sights: sources.secrets.follow("gone"),
        seen: Sight::Present("3".to_owned()),
    };
    let api = Api::namespaced(sources.client.clone(), "haulout-system");
    let watching = watch_all::<Secret>(api, Arc::clone(&sources.secrets));
    let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "9"}, "items": []});
    let script = async {
        let accept = server.answer_list(SECRETS, &list).await;
        assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
        tokio::time::timeout(Duration::from_secs(5), gone.changed())
            .await
            .unwrap();
    };
    tokio::select! {
        () = watching => {}
        () = script => {}
    }
}
