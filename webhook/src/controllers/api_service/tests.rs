use haulout_operate::clock::ManualClock;
use haulout_operate::error::chain;
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use http::Method;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;
use crate::controllers::test_server::{Server, environment, start};

const LOGIN: &str = "v1alpha1.login.concierge.pinniped.dev";
const IDENTITY: &str = "v1alpha1.identity.concierge.pinniped.dev";

fn ca(name: &str) -> CertificateBundle {
    let dates = Validity {
        not_before: start(),
        not_after: start() + Duration::from_secs(60),
    };
    let ca = generate_authority(name, dates).unwrap();
    CertificateBundle::parse_pem(ca.certificate_pem.as_bytes()).unwrap()
}

fn ours() -> OurService {
    OurService {
        namespace: "haulout-system".to_owned(),
        name: "haulout-api".to_owned(),
    }
}

/// An APIService with `caBundle`, which other fields of `spec` may be added to.
fn service(name: &str, bundle: Option<&CertificateBundle>, spec: Value) -> APIService {
    let mut object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "resourceVersion": "5"},
        "spec": {"groupPriorityMinimum": 1, "versionPriority": 1,
            "service": {"namespace": "haulout-system", "name": "haulout-api", "port": 443},
            "caBundle": bundle.map(|bundle| ByteString(bundle.to_pem().into_bytes()))},
    });
    if let Value::Object(fields) = spec {
        for (key, value) in fields {
            object["spec"][key] = value;
        }
    }
    serde_json::from_value(object).unwrap()
}

#[test]
fn what_is_done_about_an_api_service() {
    let (ca, other) = (ca("a"), ca("b"));
    let encoded = json!(ByteString(ca.to_pem().into_bytes()));
    let precondition = json!({"resourceVersion": "5"});
    let patch = |spec: Value| Plan::Patch(json!({"metadata": precondition, "spec": spec}));
    let elsewhere = |namespace, name| json!({"service": {"namespace": namespace, "name": name}});
    let foreign = |owner: &str| Plan::Foreign(owner.to_owned());
    let rows = [
        ("right", Some(&ca), json!({}), Plan::Leave),
        (
            "empty",
            None,
            json!({}),
            patch(json!({"caBundle": encoded})),
        ),
        (
            "another CA",
            Some(&other),
            json!({}),
            patch(json!({"caBundle": encoded})),
        ),
        (
            "right but not asked for",
            Some(&ca),
            json!({"insecureSkipTLSVerify": true}),
            patch(json!({"caBundle": encoded, "insecureSkipTLSVerify": null})),
        ),
        (
            "another namespace",
            None,
            elsewhere("pinniped", "haulout-api"),
            foreign("pinniped/haulout-api"),
        ),
        (
            "another Service",
            None,
            elsewhere("haulout-system", "x"),
            foreign("haulout-system/x"),
        ),
        (
            "local",
            None,
            json!({"service": null}),
            foreign("no Service"),
        ),
    ];
    for (name, bundle, spec, expected) in rows {
        assert_eq!(
            plan(&service(LOGIN, bundle, spec), &ours(), &ca),
            expected,
            "{name}"
        );
    }
}

struct Fixture {
    keeper: Keeper,
    server: Server,
    clock: ManualClock,
    authorities: watch::Sender<Option<CertificateBundle>>,
    announced: watch::Receiver<Option<Announced>>,
}

impl Fixture {
    fn see(&self, login: Option<APIService>, identity: Option<APIService>) {
        self.keeper.objects[0].observed.set(login);
        self.keeper.objects[1].observed.set(identity);
    }

    fn announced_since(&self) -> Option<SystemTime> {
        self.announced
            .borrow()
            .as_ref()
            .map(|announced| announced.since)
    }
}

fn fixture(is_leader: bool, bundle: &CertificateBundle) -> Fixture {
    let (environment, server, clock) = environment(is_leader);
    let (authorities, authorities_reader) = watch::channel(Some(bundle.clone()));
    let (announced, announced_reader) = watch::channel(None);
    let keeper = Keeper {
        api: Api::all(environment.client.clone()),
        environment,
        service: ours(),
        links: Links {
            authorities: authorities_reader,
            announced,
        },
        objects: [LOGIN, IDENTITY].map(|name| Watched {
            name: name.to_owned(),
            observed: Observed::unwatched(),
            complaint: Complaint::default(),
        }),
    };
    Fixture {
        keeper,
        server,
        clock,
        authorities,
        announced: announced_reader,
    }
}

fn path(name: &str) -> String {
    format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}")
}

#[tokio::test]
async fn a_wiped_bundle_is_written_to_each_api_service() {
    let ca = ca("a");
    let mut f = fixture(true, &ca);
    let right = |name| service(name, Some(&ca), json!({}));
    f.see(Some(right(LOGIN)), Some(right(IDENTITY)));
    f.keeper.reconcile().await.unwrap();
    assert_eq!(f.announced_since(), Some(start()));

    f.clock.advance(Duration::from_secs(100));
    f.see(
        Some(service(LOGIN, None, json!({}))),
        Some(service(IDENTITY, None, json!({}))),
    );
    let script = async {
        for name in [LOGIN, IDENTITY] {
            let patched = json!(right(name));
            let sent = f
                .server
                .answer(Method::PATCH, path(name), 200, &patched)
                .await;
            assert_eq!(sent["metadata"]["resourceVersion"], "5", "no precondition");
        }
    };
    let (outcome, ()) = tokio::join!(f.keeper.reconcile(), script);
    outcome.unwrap();
    // The answers were taken in: nothing more to do.
    f.keeper.reconcile().await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_before_there_is_a_ca() {
    let mut f = fixture(true, &ca("a"));
    f.authorities.send_replace(None);
    let wiped = |name| Some(service(name, None, json!({})));
    f.see(wiped(LOGIN), wiped(IDENTITY));
    f.keeper.reconcile().await.unwrap();
    f.server.expect_silence();
    assert_eq!(f.announced_since(), None, "there is nothing to tell");
}

#[tokio::test]
async fn a_new_bundle_counts_as_announced_from_when_all_have_it() {
    let (old, new) = (ca("a"), ca("b"));
    let mut f = fixture(false, &old);
    let with = |bundle, name| Some(service(name, Some(bundle), json!({})));
    f.see(with(&old, LOGIN), with(&old, IDENTITY));
    f.keeper.reconcile().await.unwrap();
    assert_eq!(f.announced_since(), Some(start()));

    f.authorities.send_replace(Some(new.clone()));
    f.clock.advance(Duration::from_secs(10));
    for half in [with(&old, LOGIN), with(&new, LOGIN)] {
        f.see(half, with(&old, IDENTITY));
        f.keeper.reconcile().await.unwrap();
        assert_eq!(f.announced_since(), None);
    }
    f.clock.advance(Duration::from_secs(10));
    f.see(with(&new, LOGIN), with(&new, IDENTITY));
    for _ in 0..2 {
        f.keeper.reconcile().await.unwrap();
        assert_eq!(f.announced_since(), Some(start() + Duration::from_secs(20)));
        f.clock.advance(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn followers_and_foreign_objects_write_nothing() {
    let ca = ca("a");
    let mut f = fixture(false, &ca);
    let wiped = |name| Some(service(name, None, json!({})));
    f.see(wiped(LOGIN), wiped(IDENTITY));
    f.keeper.reconcile().await.unwrap();

    let mut f = fixture(true, &ca);
    let elsewhere = json!({"service": {"namespace": "pinniped", "name": "api"}});
    let foreign = |name| Some(service(name, None, elsewhere.clone()));
    f.see(foreign(LOGIN), foreign(IDENTITY));
    f.keeper.reconcile().await.unwrap();
    assert_eq!(f.announced_since(), Some(start()), "nobody is to be told");
}

#[tokio::test]
async fn one_api_service_s_trouble_is_told_and_does_not_stop_the_other() {
    let ca = ca("a");
    let mut f = fixture(true, &ca);
    f.see(None, Some(service(IDENTITY, None, json!({}))));
    let patched = json!(service(IDENTITY, Some(&ca), json!({})));
    let (outcome, _) = tokio::join!(
        f.keeper.reconcile(),
        f.server
            .answer(Method::PATCH, path(IDENTITY), 200, &patched)
    );
    let text = chain(&outcome.unwrap_err());
    assert!(
        text.contains(LOGIN) && text.contains("does not exist"),
        "{text}"
    );

    f.see(
        Some(service(LOGIN, None, json!({}))),
        Some(service(IDENTITY, Some(&ca), json!({}))),
    );
    let (outcome, _) = tokio::join!(
        f.keeper.reconcile(),
        f.server.fails(Method::PATCH, path(LOGIN), 403)
    );
    let text = chain(&outcome.unwrap_err());
    assert!(
        text.contains(LOGIN) && text.contains("test says 403"),
        "{text}"
    );
    assert_eq!(f.announced_since(), None);

    // A lost race is no failure.
    let (outcome, _) = tokio::join!(
        f.keeper.reconcile(),
        f.server.fails(Method::PATCH, path(LOGIN), 409)
    );
    outcome.unwrap();
    assert_eq!(f.announced_since(), None);
}
