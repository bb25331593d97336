use std::collections::VecDeque;

use haulout_operate::clock::ManualClock;
use haulout_pki::authority::{SigningAuthority, generate_authority};
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use haulout_serve::tls::ServingIdentity;
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::*;
use crate::controllers::renewal::Data;
use crate::controllers::test_server::{Server, environment, start};

const SECRETS: &str = "/api/v1/namespaces/haulout-system/secrets";
const SECRET: &str = "/api/v1/namespaces/haulout-system/secrets/haulout-serving";
const OWNER: &str = "/apis/apps/v1/namespaces/haulout-system/deployments/haulout-webhook";
const DAY: Duration = Duration::from_secs(86_400);

fn settings() -> Settings {
    Settings {
        namespace: "haulout-system".to_owned(),
        secret: "haulout-serving".to_owned(),
        labels: [("team".to_owned(), "identity".to_owned())].into(),
        profile: profile(),
    }
}

fn profile() -> Profile {
    Profile {
        authority_name: "Haulout serving CA",
        dns_names: [".svc", ".svc.cluster.local"]
            .map(|end| format!("haulout-api.haulout-system{end}"))
            .into(),
        ca_lifetime: 365 * DAY,
        leaf_lifetime: 7 * DAY,
        announced_for: ANNOUNCED_FOR,
    }
}

/// Data made from nothing at `now`.
fn fresh(profile: &Profile, now: SystemTime) -> Data {
    step(&mut Data::new(), profile, None, now)
}

/// Applies the plan for `now` to `data`, and gives the result too.
fn step(
    data: &mut Data,
    profile: &Profile,
    announced: Option<SystemTime>,
    now: SystemTime,
) -> Data {
    let contents = Contents::read(data, &profile.dns_names, now);
    let (plan, _) = plan(&contents.facts(), announced, profile, now);
    if !plan.is_nothing() {
        data.extend(contents.renewed(plan, profile, now).unwrap());
    }
    data.clone()
}

fn secret(data: Data) -> Secret {
    let metadata = ObjectMeta {
        name: Some("haulout-serving".to_owned()),
        resource_version: Some("41".to_owned()),
        annotations: Some([("kept".to_owned(), "yes".to_owned())].into()),
        ..ObjectMeta::default()
    };
    Secret {
        metadata,
        data: Some(data),
        ..Secret::default()
    }
}

fn pem(data: &Data, key: &str) -> String {
    String::from_utf8(data.get(key).unwrap().0.clone()).unwrap()
}

fn bundle(data: &Data) -> CertificateBundle {
    CertificateBundle::parse_pem(pem(data, "ca.crt").as_bytes()).unwrap()
}

fn identity(data: &Data) -> ServingIdentity {
    let (chain, key) = (pem(data, "tls.crt"), pem(data, "tls.key"));
    ServingIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

struct Fixture {
    keeper: Keeper,
    server: Server,
    clock: ManualClock,
    store: Arc<ServingStore>,
    authorities: watch::Receiver<Option<CertificateBundle>>,
    announced: watch::Sender<Option<Announced>>,
    readiness: Readiness,
}

fn fixture(is_leader: bool, found: Option<Secret>) -> Fixture {
    let (environment, server, clock) = environment(is_leader);
    let (authorities, authorities_reader) = watch::channel(None);
    let (announced, announced_reader) = watch::channel(None);
    let store = Arc::new(ServingStore::new());
    let readiness = Readiness::pending("not begun");
    let observed = Observed::unwatched();
    observed.set(found);
    let Settings {
        namespace,
        secret,
        labels,
        profile,
    } = settings();
    let keeper = Keeper {
        secret: OwnSecret::new(&environment, &namespace, secret, labels),
        observed,
        served: None,
        environment,
        profile,
        links: Links {
            store: Arc::clone(&store),
            authorities,
            announced: announced_reader,
            readiness: readiness.clone(),
            expiry: ExpiryMetrics::default(),
        },
    };
    Fixture {
        keeper,
        server,
        clock,
        store,
        authorities: authorities_reader,
        announced,
        readiness,
    }
}

fn data_of(sent: &Value) -> Data {
    serde_json::from_value(sent["data"].clone()).unwrap()
}

/// Echoes a write.
async fn accept(server: &mut Server, method: Method, path: &str, found: &Secret) -> Value {
    let stored = json!(found);
    server.answer(method, path, 200, &stored).await
}

#[tokio::test]
async fn a_missing_secret_is_made_and_served() {
    let mut f = fixture(true, None);
    let made = secret(fresh(&profile(), start()));
    let script = async {
        f.server.fails(Method::GET, OWNER, 404).await;
        accept(&mut f.server, Method::POST, SECRETS, &made).await
    };
    let (outcome, sent) = tokio::join!(f.keeper.reconcile(), script);
    outcome.unwrap();
    assert_eq!(sent["metadata"]["name"], "haulout-serving");
    assert_eq!(sent["metadata"]["labels"]["team"], "identity");
    assert_eq!(sent["metadata"]["ownerReferences"], Value::Null);
    let data = data_of(&sent);
    let names = profile().dns_names;
    identity(&data)
        .verify(&bundle(&data), &names, start())
        .unwrap();
    assert_eq!(identity(&data).not_after(), start() + 7 * DAY);
    assert!(f.store.not_after().is_some());
    assert!(f.authorities.borrow().is_some());
    f.readiness.check().unwrap();
}

#[tokio::test]
async fn the_secret_belongs_to_our_deployment() {
    let mut f = fixture(true, None);
    let made = secret(fresh(&profile(), start()));
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "haulout-webhook", "uid": "u-1"}});
    let script = async {
        f.server.answer(Method::GET, OWNER, 200, &deployment).await;
        accept(&mut f.server, Method::POST, SECRETS, &made).await
    };
    let (outcome, sent) = tokio::join!(f.keeper.reconcile(), script);
    outcome.unwrap();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment",
        "name": "haulout-webhook", "uid": "u-1"}]);
    assert_eq!(sent["metadata"]["ownerReferences"], owner);
}

#[tokio::test]
async fn a_follower_writes_nothing_and_says_what_it_waits_for() {
    let mut f = fixture(false, None);
    f.keeper.reconcile().await.unwrap();
    assert_eq!(f.store.not_after(), None);
    let waits = "waiting for the leader to write the Secret";
    assert_eq!(f.readiness.check().unwrap_err(), waits);

    // What the leader wrote is served.
    f.keeper
        .observed
        .set(Some(secret(fresh(&profile(), start()))));
    f.keeper.reconcile().await.unwrap();
    f.readiness.check().unwrap();
    assert_eq!(f.store.not_after(), Some(start() + 7 * DAY));
}

#[tokio::test]
async fn a_due_leaf_is_renewed_under_the_same_ca() {
    let before = fresh(&profile(), start());
    let mut f = fixture(true, Some(secret(before.clone())));
    f.keeper.reconcile().await.unwrap();
    f.clock.advance(5 * DAY);
    let mut renewed = before.clone();
    let now = start() + 5 * DAY;
    step(&mut renewed, &profile(), None, now);
    let stored = secret(renewed.clone());
    let (outcome, sent) = tokio::join!(
        f.keeper.reconcile(),
        accept(&mut f.server, Method::PUT, SECRET, &stored)
    );
    outcome.unwrap();
    let data = data_of(&sent);
    assert_eq!(sent["metadata"]["resourceVersion"], "41", "no precondition");
    assert_eq!(sent["metadata"]["annotations"]["kept"], "yes");
    for (key, kept) in [
        ("ca.crt", true),
        ("ca.key", true),
        ("tls.crt", false),
        ("tls.key", false),
    ] {
        assert_eq!(data.get(key) == before.get(key), kept, "{key}");
    }
    assert_eq!(f.store.not_after(), Some(now + 7 * DAY));
}

#[tokio::test]
async fn a_lost_race_is_no_failure_and_changes_nothing() {
    let mut f = fixture(true, None);
    let script = async {
        f.server.fails(Method::GET, OWNER, 403).await;
        f.server.fails(Method::POST, SECRETS, 409).await
    };
    let (outcome, _) = tokio::join!(f.keeper.reconcile(), script);
    assert_eq!(outcome.unwrap(), Duration::from_secs(1));
    let served = f.store.not_after();
    assert_eq!(served, None, "served what nobody else knows of");
    assert!(f.authorities.borrow().is_none());
}

#[tokio::test]
async fn a_refused_write_is_told() {
    let mut f = fixture(true, None);
    let script = async {
        f.server.fails(Method::GET, OWNER, 403).await;
        f.server.fails(Method::POST, SECRETS, 403).await
    };
    let (outcome, _) = tokio::join!(f.keeper.reconcile(), script);
    let text = "failed to write the Secret of the serving certificate: test says 403";
    assert_eq!(chain(&outcome.unwrap_err()), text);
    assert_eq!(f.readiness.check().unwrap_err(), text);
}

#[tokio::test]
async fn a_deleted_or_broken_secret_stops_nothing_while_nobody_repairs_it() {
    let good = fresh(&profile(), start());
    let mut f = fixture(false, Some(secret(good.clone())));
    f.keeper.reconcile().await.unwrap();
    let mut broken = good;
    broken.insert("tls.key".to_owned(), ByteString(b"junk".to_vec()));
    for found in [None, Some(secret(Data::new())), Some(secret(broken))] {
        f.keeper.observed.set(found);
        f.keeper.reconcile().await.unwrap();
        assert_eq!(f.store.not_after(), Some(start() + 7 * DAY));
        f.readiness.check().unwrap();
    }
    f.clock.advance(8 * DAY);
    f.keeper.reconcile().await.unwrap();
    f.readiness.check().unwrap_err();
}

#[tokio::test]
async fn a_new_ca_s_leaf_waits_for_the_announcement_of_that_ca() {
    let mut data = fresh(&profile(), start());
    data.remove("ca.key");
    step(&mut data, &profile(), None, start());
    assert_eq!(bundle(&data).certificates().len(), 2);
    let mut f = fixture(true, Some(secret(data.clone())));
    let say = |bundle| {
        Some(Announced {
            bundle,
            since: start(),
        })
    };
    f.clock.advance(ANNOUNCED_FOR);

    f.announced.send_replace(say([0; 32]));
    f.keeper.reconcile().await.unwrap();

    f.announced.send_replace(say(bundle(&data).sha256()));
    let stored = secret(data.clone());
    let (outcome, sent) = tokio::join!(
        f.keeper.reconcile(),
        accept(&mut f.server, Method::PUT, SECRET, &stored)
    );
    outcome.unwrap();
    assert_ne!(data_of(&sent).get("tls.crt"), data.get("tls.crt"));
}

/// `good` with a leaf of its CA for these names until `ends`.
fn with_leaf(good: &Data, names: &[String], ends: SystemTime) -> Data {
    let (certificate, key) = (pem(good, "ca.crt"), pem(good, "ca.key"));
    let ca = SigningAuthority::from_pem(certificate.as_bytes(), key.as_bytes(), start()).unwrap();
    let key = KeyPair::generate_p256().unwrap();
    let dates = Validity {
        not_before: start() - DAY,
        not_after: ends,
    };
    let leaf = ca.issue_serving_certificate(names, &[], &key.spki_der(), dates);
    let mut data = good.clone();
    let mut put = |key: &str, value: &str| {
        data.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
    };
    put("tls.crt", &leaf.unwrap().pem);
    put("tls.key", &key.pkcs8_pem());
    data
}

/// What is wrong with a Secret's data, and whether CA and leaf are made anew for it.
#[test]
fn broken_parts_are_replaced_and_no_others() {
    let profile = profile();
    let names = &profile.dns_names;
    let [good, another] = [(); 2].map(|()| fresh(&profile, start()));
    let changed = |key: &str, value: Option<&ByteString>| {
        let mut data = good.clone();
        data.remove(key);
        data.extend(value.map(|value| (key.to_owned(), value.clone())));
        data
    };
    let without = |key| changed(key, None);
    let another_s = |key| changed(key, another.get(key));
    let junk = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let junk = |key| changed(key, Some(&ByteString(junk.as_bytes().to_vec())));
    let with_leaf = |names, ends| with_leaf(&good, names, ends);
    let mut ca_as_leaf = good.clone();
    ca_as_leaf.insert("tls.crt".to_owned(), good["ca.crt"].clone());
    ca_as_leaf.insert("tls.key".to_owned(), good["ca.key"].clone());
    let (expired, later) = (start() - Duration::from_secs(1), start() + 7 * DAY);

    let rows = [
        ("good", good.clone(), false, false),
        ("empty", Data::new(), true, true),
        ("no leaf", without("tls.crt"), false, true),
        ("no key", without("tls.key"), false, true),
        ("another's key", another_s("tls.key"), false, true),
        ("junk leaf", junk("tls.crt"), false, true),
        ("a CA for a leaf", ca_as_leaf, false, true),
        ("expired", with_leaf(names, expired), false, true),
        ("one name", with_leaf(&names[..1], later), false, true),
        ("no CA", without("ca.crt"), true, true),
        ("another CA", another_s("ca.crt"), true, true),
        ("junk CA", junk("ca.crt"), true, true),
        ("no CA key", without("ca.key"), true, false),
        ("another's CA key", another_s("ca.key"), true, false),
    ];
    for (name, mut data, new_authority, new_leaf) in rows {
        let contents = Contents::read(&data, names, start());
        let (plan, _) = plan(&contents.facts(), None, &profile, start());
        let outcome = (plan.new_authority, plan.new_leaf, plan.prune);
        assert_eq!(outcome, (new_authority, new_leaf, false), "{name}");

        data.extend(contents.renewed(plan, &profile, start()).unwrap());
        let repaired = Contents::read(&data, names, start());
        let facts = repaired.facts();
        assert!(
            facts.leaf.is_some() && facts.authority_ends.is_some(),
            "{name}"
        );
        assert!(!facts.has_expired_authorities, "{name}");
    }
}

#[test]
fn expired_authorities_leave_the_bundle() {
    let profile = profile();
    let mut data = fresh(&profile, start());
    let dates = Validity {
        not_before: start() - DAY,
        not_after: start() - Duration::from_secs(1),
    };
    let old = generate_authority("old", dates).unwrap().certificate_pem;
    let both = format!("{old}{}", pem(&data, "ca.crt"));
    data.insert("ca.crt".to_owned(), ByteString(both.into_bytes()));
    let before = data.clone();
    let after = step(&mut data, &profile, None, start());
    assert_eq!(bundle(&after).certificates().len(), 1);
    assert_eq!(after["tls.crt"], before["tls.crt"]);
}

/// Many renewals in a row: whoever learns of CAs, or serves a leaf, up to a minute late is
/// never refused.
#[test]
fn renewals_never_part_a_leaf_from_those_who_must_trust_it() {
    let profile = Profile {
        ca_lifetime: Duration::from_secs(2400),
        leaf_lifetime: Duration::from_secs(600),
        ..profile()
    };
    let tick = Duration::from_secs(15);
    let mut now = start();
    let mut data = fresh(&profile, now);
    let mut announced = (bundle(&data).sha256(), now);
    // The last minute, newest last.
    let mut recent = VecDeque::from([data.clone()]);
    let (mut leaves, mut authorities) = (0, 0);
    for _ in 0..400 {
        now += tick;
        let before = data.clone();
        step(&mut data, &profile, Some(announced.1), now);
        leaves += u32::from(before["tls.crt"] != data["tls.crt"]);
        authorities += u32::from(before["ca.key"] != data["ca.key"]);
        if bundle(&data).sha256() != announced.0 {
            announced = (bundle(&data).sha256(), now);
        }
        recent.push_back(data.clone());
        if recent.len() > 5 {
            recent.pop_front();
        }
        assert!(bundle(&data).certificates().len() <= 5);
        let (oldest, newest) = (&recent[0], &data);
        for (trusts, serves) in [(oldest, newest), (newest, oldest), (newest, newest)] {
            identity(serves)
                .verify(&bundle(trusts), &profile.dns_names, now)
                .unwrap();
        }
    }
    assert!(leaves > 10 && authorities > 5, "{leaves} {authorities}");
}
