mod foreign;

use std::collections::VecDeque;

use haulout_operate::clock::ManualClock;
use haulout_pki::authority::{SigningAuthority, generate_authority};
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use haulout_serve::client_trust::ClientTrust;
use haulout_serve::listener::PeerCertificates;
use haulout_serve::tls::ServingIdentity;
use http::Method;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::secrets::PREVIOUS_KEY;
use super::*;
use crate::controllers::renewal::{AUTHORITIES, AUTHORITY_KEY, BACKDATED, Data, LEAF, LEAF_KEY};
use crate::controllers::test_server::{Server, environment, start};

const OWN: &str = "/api/v1/namespaces/haulout-system/secrets";
const OWN_ONE: &str = "/api/v1/namespaces/haulout-system/secrets/haulout-signing-ca";
const AGENTS: &str = "/api/v1/namespaces/haulout-agent/secrets/haulout-agent-tls";
const OWNER: &str = "/apis/apps/v1/namespaces/haulout-system/deployments/haulout-webhook";

/// Both Secrets, and what the leader remembers of the agents'.
#[derive(Clone, Default)]
struct Link {
    authority: Data,
    agents: Data,
    told: Option<(CertificateBundle, SystemTime)>,
}

impl Link {
    /// As the leader makes them from nothing.
    fn fresh(now: SystemTime) -> Self {
        let mut link = Self::default();
        assert!(link.lead(now));
        link
    }

    fn read(&mut self, now: SystemTime) {
        self.told = told(&self.agents, self.told.take(), now);
    }

    /// Does what the leader does; true if anything has changed.
    fn lead(&mut self, now: SystemTime) -> bool {
        self.read(now);
        let told = self.told.as_ref();
        let changes = changes(&self.authority, &self.agents, told, &profile(), now).unwrap();
        let is_changed = changes.authority.is_some() || changes.agents.is_some();
        self.authority = changes.authority.unwrap_or_else(|| self.authority.clone());
        self.agents = changes.agents.unwrap_or_else(|| self.agents.clone());
        self.read(now);
        is_changed
    }

    fn authorities(&self) -> CertificateBundle {
        CertificateBundle::parse_pem(&self.authority[AUTHORITIES].0).unwrap()
    }

    /// Whether an agent with this Secret lets in who shows `leaf`.
    fn lets_in(&self, leaf: &ClientLeaf, now: SystemTime) -> bool {
        let trust = ClientTrust::new();
        trust.replace(&CertificateBundle::parse_pem(&self.agents[AUTHORITIES].0).unwrap());
        let chain = CertificateBundle::parse_pem(leaf.certificate_pem.as_bytes()).unwrap();
        let peer = PeerCertificates(chain.certificates().into());
        let client = trust.verify(&peer, now);
        client.is_ok_and(|client| client.uris == ["haulout:webhook"])
    }

    /// Whether an agent with this Secret is trusted by who reads the other of `by`.
    fn is_trusted(&self, by: &Self, now: SystemTime) -> bool {
        let (leaf, key) = (&self.agents[LEAF].0, &self.agents[LEAF_KEY].0);
        let identity = ServingIdentity::from_pem(leaf, key).unwrap();
        let names = [SERVER_NAME.to_owned()];
        identity.verify(&by.authorities(), &names, now).is_ok()
    }
}

/// A replica's side, without I/O.
#[derive(Default)]
struct Replica {
    known: Known,
    leaf: Option<ClientLeaf>,
}

impl Replica {
    /// Takes in the CA's Secret; the certificate that is shown then.
    fn follow(&mut self, link: &Link, now: SystemTime) -> ClientLeaf {
        let signer = signer(&link.authority, now).unwrap();
        self.known.note(&link.authorities(), now);
        let facts = self.leaf.as_ref();
        let facts = facts.map(|leaf| leaf.facts(&signer, &link.authorities(), &self.known, now));
        if due(facts.as_ref(), now).0 {
            self.leaf = Some(ClientLeaf::issue(&signer, now).unwrap());
        }
        self.leaf.clone().unwrap()
    }
}

/// Five months: replicas old and new, agents whose kubelet is up to 90 s late, and replicas that learn
/// of the CA's Secret up to 15 s late.
#[test]
fn renewals_never_part_webhooks_and_agents() {
    let (tick, kubelet) = (Duration::from_secs(15), Duration::from_secs(90));
    let mut now = start();
    let mut link = Link::fresh(now);
    let mut replica = Replica::default();
    replica.follow(&link, now);
    let mut recent = VecDeque::from([(now, link.clone())]);
    let mut changed = now;
    let (mut authorities, mut leaves, mut clients) = (0, 0, 0);
    while now < start() + 150 * DAY {
        let is_calm = now > changed + Duration::from_secs(240);
        now += if is_calm {
            Duration::from_secs(6 * 3600)
        } else {
            tick
        };
        let before = link.clone();
        if link.lead(now) {
            changed = now;
            recent.push_back((now, link.clone()));
        }
        authorities += u32::from(before.authority[AUTHORITY_KEY] != link.authority[AUTHORITY_KEY]);
        leaves += u32::from(before.agents[LEAF] != link.agents[LEAF]);
        // The last one from before the delay is what may still be in use.
        while recent
            .get(1)
            .is_some_and(|(since, _)| *since + kubelet <= now)
        {
            recent.pop_front();
        }
        let late = |by: Duration| {
            let known = recent.iter().rev().find(|(since, _)| *since + by <= now);
            &known.unwrap_or(&recent[0]).1
        };
        let shown = replica.leaf.clone().unwrap();
        let old = replica.follow(late(tick), now);
        clients += u32::from(shown.certificate_pem != old.certificate_pem);
        let new = Replica::default().follow(&link, now);
        for (since, agent) in &recent {
            let when = now.duration_since(start()).unwrap();
            assert!(
                agent.lets_in(&old, now) && agent.lets_in(&new, now),
                "{when:?} {since:?}"
            );
            for replica in [late(tick), &link] {
                assert!(agent.is_trusted(replica, now), "{when:?} {since:?}");
            }
        }
        assert!(link.authorities().certificates().len() <= 3);
        assert!(
            !link.agents.contains_key(AUTHORITY_KEY),
            "the key has left its namespace"
        );
    }
    assert!(!link.authority.contains_key(PREVIOUS_KEY));
    assert!(
        authorities >= 2 && leaves > 30 && clients > 150,
        "{authorities} {leaves} {clients}"
    );
}

#[test]
fn the_first_certificates_of_a_new_ca_wait_for_the_agents() {
    let mut link = Link::fresh(start());
    let first = link.clone();
    let due = start() + 69 * DAY;
    link.lead(due - DAY);
    let first_leaf = link.agents[LEAF].clone();
    link.lead(due);
    assert_eq!(link.authority[PREVIOUS_KEY], first.authority[AUTHORITY_KEY]);
    assert_eq!(link.authorities().certificates().len(), 2);
    assert_eq!(link.agents[AUTHORITIES], link.authority[AUTHORITIES]);
    assert_eq!(link.agents[LEAF], first_leaf);
    let overlap = link.clone();

    let told = Duration::from_secs(119);
    link.lead(due + told);
    assert_eq!(link.authority, overlap.authority);
    link.lead(due + ANNOUNCED_FOR);
    assert_ne!(link.agents[LEAF], overlap.agents[LEAF]);
    assert!(!link.authority.contains_key(PREVIOUS_KEY));

    // Agents whose Secret was changed by others have not been told.
    let mut meddled = overlap;
    meddled.agents = first.agents;
    meddled.lead(due + ANNOUNCED_FOR);
    assert!(meddled.authority.contains_key(PREVIOUS_KEY));
    assert_eq!(meddled.agents[AUTHORITIES], meddled.authority[AUTHORITIES]);
}

/// What is wrong, and whether the CA's key and the agents' leaf are made anew for it.
#[test]
fn broken_parts_are_replaced_and_no_others() {
    let now = start();
    let (good, other) = (Link::fresh(now), Link::fresh(now));
    let changed = |change: &dyn Fn(&mut Link)| {
        let mut link = good.clone();
        change(&mut link);
        link
    };
    let junk =
        || ByteString(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into());
    let put = |agents: bool, key: &str, value: Option<ByteString>| {
        changed(&|link| {
            let data = if agents {
                &mut link.agents
            } else {
                &mut link.authority
            };
            data.remove(key);
            data.extend(value.clone().map(|value| (key.to_owned(), value)));
        })
    };
    let of_other = |key: &str| {
        let data = [&other.agents, &other.authority];
        data.iter().find_map(|data| data.get(key)).cloned()
    };
    let with_leaf = |name: &str, ends| {
        let leaf = leaf(&good.authority, name, ends);
        changed(&|link| link.agents.extend(leaf.clone()))
    };
    let (later, ended) = (now + DAY, now - Duration::from_secs(1));
    let rows = [
        ("good", good.clone(), (false, false)),
        (
            "no agents' data",
            changed(&|link| link.agents.clear()),
            (false, true),
        ),
        (
            "no CA's data",
            changed(&|link| link.authority.clear()),
            (true, true),
        ),
        ("no leaf", put(true, LEAF, None), (false, true)),
        ("junk leaf", put(true, LEAF, Some(junk())), (false, true)),
        (
            "another's key",
            put(true, LEAF_KEY, of_other(LEAF_KEY)),
            (false, true),
        ),
        ("expired leaf", with_leaf(SERVER_NAME, ended), (false, true)),
        (
            "another name",
            with_leaf("a.example.com", later),
            (false, true),
        ),
        (
            "no CAs for agents",
            put(true, AUTHORITIES, None),
            (false, false),
        ),
        (
            "another's CA for agents",
            put(true, AUTHORITIES, of_other(AUTHORITIES)),
            (false, false),
        ),
        ("no CA key", put(false, AUTHORITY_KEY, None), (true, false)),
        (
            "another's CA key",
            put(false, AUTHORITY_KEY, of_other(AUTHORITY_KEY)),
            (true, false),
        ),
        (
            "junk CA",
            put(false, AUTHORITIES, Some(junk())),
            (true, true),
        ),
    ];
    for (name, link, made_anew) in rows {
        assert_eq!(repair(name, link), made_anew, "{name}");
    }
}

/// Lets the leader mend both Secrets; whether the CA's key and the agents' leaf are new then.
fn repair(name: &str, mut link: Link) -> (bool, bool) {
    let (before, now) = (link.clone(), start());
    let is_changed = link.lead(now);
    assert_eq!(is_changed, name != "good", "{name}");
    assert_eq!(
        link.agents[AUTHORITIES], link.authority[AUTHORITIES],
        "{name}"
    );
    assert!(link.is_trusted(&link, now), "{name}");
    let client = Replica::default().follow(&link, now);
    assert!(link.lets_in(&client, now), "{name}");
    assert!(!link.lead(now), "{name}: not settled");
    let is_new = |of: fn(&Link) -> &Data, key| of(&before).get(key) != of(&link).get(key);
    (
        is_new(|link| &link.authority, AUTHORITY_KEY),
        is_new(|link| &link.agents, LEAF),
    )
}

/// A leaf of this CA.
fn leaf(authority: &Data, name: &str, ends: SystemTime) -> Data {
    let (certificate, key) = (&authority[AUTHORITIES].0, &authority[AUTHORITY_KEY].0);
    let ca = SigningAuthority::from_pem(certificate, key, start()).unwrap();
    let key = KeyPair::generate_p256().unwrap();
    let dates = Validity {
        not_before: start() - BACKDATED,
        not_after: ends,
    };
    let names = [name.to_owned()];
    let leaf = ca.issue_serving_certificate(&names, &[], &key.spki_der(), dates);
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    [
        (LEAF.to_owned(), bytes(&leaf.unwrap().pem)),
        (LEAF_KEY.to_owned(), bytes(&key.pkcs8_pem())),
    ]
    .into()
}

/// A lost key of the CA costs no login: the certificate that is shown goes on to count.
#[test]
fn without_the_key_of_the_ca_the_shown_certificate_is_kept_until_agents_know_the_new_one() {
    let now = start();
    let mut link = Link::fresh(now);
    let mut replica = Replica::default();
    let shown = replica.follow(&link, now);
    link.authority.remove(AUTHORITY_KEY);
    link.lead(now);
    assert!(!link.authority.contains_key(PREVIOUS_KEY));
    let leaf =
        |replica: &mut Replica, after| replica.follow(&link, now + Duration::from_secs(after));
    for after in [0, 60, 119] {
        let kept = leaf(&mut replica, after);
        assert_eq!(kept.certificate_pem, shown.certificate_pem, "{after}");
    }
    let next = leaf(&mut replica, 120);
    assert_ne!(next.certificate_pem, shown.certificate_pem);
    assert!(link.lets_in(&next, now + ANNOUNCED_FOR));
}

#[test]
fn nothing_private_is_shown_by_debug() {
    let link = Link::fresh(start());
    let leaf = Replica::default().follow(&link, start());
    let text = format!(
        "{leaf:?} {:?} {:?}",
        Known::default(),
        CredentialStore::new()
    );
    assert!(!text.contains("PRIVATE"), "{text}");
}

struct Fixture {
    keeper: Keeper,
    server: Server,
    clock: ManualClock,
    credentials: Arc<CredentialStore>,
}

fn fixture(is_leader: bool, found: Option<&Data>) -> Fixture {
    let (environment, server, clock) = environment(is_leader);
    let observed = Observed::unwatched();
    observed.set(found.map(|data| secret(AUTHORITY_SECRET, data)));
    let client = environment.client.clone();
    let labels = [("team".to_owned(), "identity".to_owned())].into();
    let credentials = Arc::new(CredentialStore::new());
    let keeper = Keeper {
        own: OwnSecret::new(
            &environment,
            "haulout-system",
            AUTHORITY_SECRET.to_owned(),
            labels,
        ),
        agents: Api::namespaced(client, "haulout-agent"),
        agents_namespace: "haulout-agent".to_owned(),
        observed,
        environment,
        profile: profile(),
        links: Links {
            credentials: Arc::clone(&credentials),
            expiry: ExpiryMetrics::default(),
        },
        told: None,
        known: Known::default(),
        shown: None,
    };
    Fixture {
        keeper,
        server,
        clock,
        credentials,
    }
}

fn secret(name: &str, data: &Data) -> Secret {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        resource_version: Some("41".to_owned()),
        annotations: Some([("kept".to_owned(), "yes".to_owned())].into()),
        ..ObjectMeta::default()
    };
    Secret {
        metadata,
        data: Some(data.clone()),
        ..Secret::default()
    }
}

fn data(sent: &Value) -> Data {
    serde_json::from_value(sent["data"].clone()).unwrap()
}

#[tokio::test]
async fn the_leader_makes_the_ca_and_fills_the_empty_secret_of_the_agents() {
    let mut f = fixture(true, None);
    let empty = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": AGENTS_SECRET, "resourceVersion": "7", "labels": {"a": "b"}}});
    let link = Link::fresh(start());
    let stored = json!(secret(AUTHORITY_SECRET, &link.authority));
    let script = async {
        f.server.answer(Method::GET, AGENTS, 200, &empty).await;
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "haulout-webhook", "uid": "u-1"}});
        f.server.answer(Method::GET, OWNER, 200, &deployment).await;
        let own = f.server.answer(Method::POST, OWN, 201, &stored).await;
        let agents = f.server.answer(Method::PUT, AGENTS, 200, &empty).await;
        (own, agents)
    };
    let (outcome, (own, agents)) = tokio::join!(f.keeper.reconcile(), script);
    assert_eq!(outcome.unwrap(), READ_EVERY);
    assert_eq!(own["metadata"]["name"], AUTHORITY_SECRET);
    assert_eq!(own["metadata"]["labels"]["team"], "identity");
    assert_eq!(own["metadata"]["ownerReferences"][0]["uid"], "u-1");
    let made = Link {
        authority: data(&own),
        agents: data(&agents),
        told: None,
    };
    assert!(made.is_trusted(&made, start()));
    assert_eq!(made.agents.len(), 3, "certificate, key and CAs");
    assert_eq!(made.authority.len(), 2, "CA and its key");
    assert_eq!(
        agents["metadata"]["resourceVersion"], "7",
        "no precondition"
    );
    assert_eq!(agents["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(agents["type"], "Opaque");
    assert!(f.credentials.connector().borrow().is_some());
    assert_eq!(f.credentials.fault(), None);
}

#[tokio::test]
async fn a_missing_secret_of_the_agents_is_told_and_looked_for_soon() {
    let mut f = fixture(true, None);
    let (outcome, _) = tokio::join!(
        f.keeper.reconcile(),
        f.server.fails(Method::GET, AGENTS, 404)
    );
    assert_eq!(outcome.unwrap(), READ_MISSING_EVERY);
    f.server.expect_silence();
    let fault = f.credentials.fault().unwrap();
    let told = "Secret haulout-agent/haulout-agent-tls does not exist; the Helm chart makes it";
    assert!(fault.starts_with(told), "{fault}");
}

#[tokio::test]
async fn a_follower_reads_the_ca_and_writes_nothing() {
    let mut f = fixture(false, None);
    f.keeper.reconcile().await.unwrap();
    f.server.expect_silence();
    let waits = "waiting for the leader to write Secret haulout-signing-ca";
    assert_eq!(f.credentials.fault().as_deref(), Some(waits));
    assert!(f.credentials.connector().borrow().is_none());

    let link = Link::fresh(start());
    let found = secret(AUTHORITY_SECRET, &link.authority);
    f.keeper.observed.set(Some(found));
    f.keeper.reconcile().await.unwrap();
    f.server.expect_silence();
    assert_eq!(f.credentials.fault(), None);
    let mut published = f.credentials.connector();
    assert!(published.borrow_and_update().is_some());

    f.keeper.reconcile().await.unwrap();
    assert!(!published.has_changed().unwrap(), "nothing is new");
    f.clock.advance(Duration::from_secs(16 * 3600));
    f.keeper.reconcile().await.unwrap();
    assert!(
        published.has_changed().unwrap(),
        "a third of its life is left"
    );
}

#[tokio::test]
async fn what_is_right_is_not_written() {
    let link = Link::fresh(start());
    let mut f = fixture(true, Some(&link.authority));
    let agents = json!(secret(AGENTS_SECRET, &link.agents));
    let (outcome, _) = tokio::join!(
        f.keeper.reconcile(),
        f.server.answer(Method::GET, AGENTS, 200, &agents)
    );
    assert_eq!(outcome.unwrap(), READ_EVERY);
    f.server.expect_silence();
}

#[tokio::test]
async fn a_lost_race_is_no_failure_and_a_refusal_is_told() {
    let link = Link::fresh(start());
    let empty = json!(secret(AGENTS_SECRET, &Data::new()));
    let outcomes = [(409, None), (403, Some(AGENTS))];
    for (code, told) in outcomes {
        let mut f = fixture(true, Some(&link.authority));
        let script = async {
            f.server.answer(Method::GET, AGENTS, 200, &empty).await;
            f.server.fails(Method::PUT, AGENTS, code).await
        };
        let (outcome, _) = tokio::join!(f.keeper.reconcile(), script);
        match told {
            None => assert_eq!(outcome.unwrap(), Duration::from_secs(1)),
            Some(_) => {
                let text = "failed to write the agents' Secret haulout-agent-tls: test says 403";
                assert_eq!(chain(&outcome.unwrap_err()), text);
                assert_eq!(f.credentials.fault().as_deref(), Some(text));
            }
        }
    }

    // Of the CA: nothing is filled in that nobody else knows of.
    let mut without_key = link.authority.clone();
    without_key.remove(AUTHORITY_KEY);
    let mut f = fixture(true, Some(&without_key));
    let agents = json!(secret(AGENTS_SECRET, &link.agents));
    let script = async {
        f.server.answer(Method::GET, AGENTS, 200, &agents).await;
        f.server.fails(Method::PUT, OWN_ONE, 409).await
    };
    let (outcome, sent) = tokio::join!(f.keeper.reconcile(), script);
    assert_eq!(outcome.unwrap(), Duration::from_secs(1));
    assert_eq!(sent["metadata"]["resourceVersion"], "41", "no precondition");
    f.server.expect_silence();
}

#[tokio::test]
async fn a_ca_that_has_expired_is_replaced_at_start() {
    let dates = Validity {
        not_before: start() - 90 * DAY,
        not_after: start() - DAY,
    };
    let old = generate_authority("Haulout signing CA", dates).unwrap();
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let expired = Data::from([
        (AUTHORITIES.to_owned(), bytes(&old.certificate_pem)),
        (AUTHORITY_KEY.to_owned(), bytes(&old.key_pem)),
    ]);
    let mut f = fixture(true, Some(&expired));
    let agents = json!(secret(AGENTS_SECRET, &Data::new()));
    let stored = json!(secret(AUTHORITY_SECRET, &Link::fresh(start()).authority));
    let script = async {
        f.server.answer(Method::GET, AGENTS, 200, &agents).await;
        let own = f.server.answer(Method::PUT, OWN_ONE, 200, &stored).await;
        let agents = f.server.answer(Method::PUT, AGENTS, 200, &agents).await;
        (own, agents)
    };
    let (outcome, (own, agents)) = tokio::join!(f.keeper.reconcile(), script);
    outcome.unwrap();
    let link = Link {
        authority: data(&own),
        agents: data(&agents),
        told: None,
    };
    assert_eq!(
        link.authorities().certificates().len(),
        1,
        "the old one is gone"
    );
    assert!(link.is_trusted(&link, start()));
    assert!(f.credentials.connector().borrow().is_some());
}
