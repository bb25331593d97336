//! Keys of an issuer: rotation, withdrawal, floods, outages.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::client::{IssuerClient, TrustRoots};
use haulout_jwt::keys::{FetchError, KeyCache, KeySetError};
use haulout_jwt::verify::{Expectations, TokenError, Verifier};
use haulout_tests::ensure_crypto;
use haulout_tests::issuer::{Fault, Faults, IssuerOptions, SigningKind, TestIssuer};
use serde_json::json;
use tokio::task::JoinSet;
use url::Url;

const START: Duration = Duration::from_secs(1_800_000_000);
const AUDIENCE: &str = "cluster-1";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + START + Duration::from_secs(seconds)
}

/// An issuer, and a verifier of its tokens whose keys were fetched at `at(0)` and are kept fresh.
struct Setup {
    issuer: TestIssuer,
    keys: Arc<KeyCache>,
    verifier: Arc<Verifier>,
    keeper: JoinSet<()>,
}

impl Setup {
    async fn new(signing: SigningKind) -> Self {
        ensure_crypto();
        let options = IssuerOptions {
            signing,
            ..IssuerOptions::default()
        };
        let issuer = TestIssuer::start(options).await.unwrap();
        let roots = TrustRoots::Only(vec![issuer.ca_certificate_der().to_vec()]);
        let client = IssuerClient::new(&roots).unwrap();
        let jwks_uri = Url::parse(&format!("{}/keys", issuer.url())).unwrap();
        let keys = Arc::new(KeyCache::fetch(client, jwks_uri, at(0)).await.unwrap());
        assert_eq!(issuer.key_calls(), 1);
        let expectations = Expectations {
            issuer: issuer.url().to_owned(),
            audience: AUDIENCE.to_owned(),
            algorithms: AcceptedAlgorithms::default(),
        };
        let verifier = Arc::new(Verifier::new(expectations, Arc::clone(&keys)));
        let mut keeper = JoinSet::new();
        let kept = Arc::clone(&keys);
        keeper.spawn(async move { kept.keep_fresh(|| at(0)).await });
        Self {
            issuer,
            keys,
            verifier,
            keeper,
        }
    }

    /// A token that is valid for an hour from `at(0)` on, whose time does not matter to these tests.
    fn token(&self) -> String {
        let claims = json!({
            "iss": self.issuer.url(),
            "aud": AUDIENCE,
            "exp": START.as_secs() + 100_000,
            "username": "alice",
        });
        self.issuer.sign(&claims).unwrap()
    }

    async fn verify(&self, token: &str, now: SystemTime) -> Result<(), TokenError> {
        self.verifier.verify(token, now).await.map(drop)
    }

    /// A good token of another issuer's key that says to be of this one.
    async fn forged_token(&self, signing: SigningKind) -> String {
        let options = IssuerOptions {
            signing,
            ..IssuerOptions::default()
        };
        let forger = TestIssuer::start(options).await.unwrap();
        forger.rotate_keys().unwrap();
        let claims =
            json!({"iss": self.issuer.url(), "aud": AUDIENCE, "exp": START.as_secs() + 100_000});
        forger.sign(&claims).unwrap()
    }
}

const KINDS: [SigningKind; 2] = [SigningKind::Es256WithoutKeyId, SigningKind::Rs256WithKeyId];

#[tokio::test]
async fn a_good_token_needs_no_call() {
    for kind in KINDS {
        let setup = Setup::new(kind).await;
        setup.verify(&setup.token(), at(1)).await.unwrap();
        assert_eq!(setup.issuer.key_calls(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_rotated_key_works_at_the_first_attempt_and_the_old_one_no_longer() {
    for kind in KINDS {
        let setup = Setup::new(kind).await;
        let old = setup.token();
        setup.issuer.rotate_keys().unwrap();
        setup
            .verify(&old, at(1))
            .await
            .expect("nobody knows of the rotation yet");
        setup.verify(&setup.token(), at(1)).await.unwrap();
        assert_eq!(setup.issuer.key_calls(), 2, "{kind:?}");
        assert!(setup.verify(&old, at(1)).await.is_err(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_withdrawn_key_dies_at_the_next_refresh() {
    let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    let token = setup.token();
    setup.issuer.publish(Vec::new());
    setup.verify(&token, at(1)).await.unwrap();
    setup.keys.refresh(at(300)).await.unwrap();
    let error = setup.verify(&token, at(300)).await.unwrap_err();
    assert_eq!(error, TokenError::UnknownKey(None));
}

/// Invariant 8.
#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_call_in_ten_seconds() {
    for kind in KINDS {
        let setup = Setup::new(kind).await;
        let forged = setup.forged_token(kind).await;
        for second in 0..30 {
            for _ in 0..5 {
                assert!(setup.verify(&forged, at(second)).await.is_err());
            }
            let expected = 2 + u32::try_from(second / 10).unwrap();
            assert_eq!(
                setup.issuer.key_calls(),
                expected,
                "{kind:?}, second {second}"
            );
        }
        setup
            .verify(&setup.token(), at(30))
            .await
            .expect("others log in meanwhile");
    }
}

#[tokio::test]
async fn a_known_key_id_with_a_wrong_signature_causes_no_call() {
    let setup = Setup::new(SigningKind::Rs256WithKeyId).await;
    let token = setup.token();
    let (message, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", "A".repeat(342));
    let error = setup.verify(&forged, at(100)).await.unwrap_err();
    assert_eq!(error, TokenError::Signature(Some("key-1".to_owned())));
    assert_eq!(setup.issuer.key_calls(), 1);
}

#[tokio::test]
async fn logins_that_come_together_after_a_rotation_share_one_call() {
    let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    setup.issuer.rotate_keys().unwrap();
    setup.issuer.set_faults(Faults {
        keys: Fault::Slow(200),
        ..Faults::default()
    });
    let mut logins = JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (Arc::clone(&setup.verifier), setup.token());
        logins.spawn(async move { verifier.verify(&token, at(1)).await.map(drop) });
    }
    while let Some(outcome) = logins.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(setup.issuer.key_calls(), 2);
}

/// Whoever hangs up at once, again and again, must not use up the calls that others need.
#[tokio::test]
async fn a_client_that_hangs_up_does_not_waste_the_call() {
    let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    setup.issuer.rotate_keys().unwrap();
    setup.issuer.set_faults(Faults {
        keys: Fault::Slow(200),
        ..Faults::default()
    });
    let forged = setup.forged_token(SigningKind::Es256WithoutKeyId).await;
    let login = setup.verify(&forged, at(1));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), login)
            .await
            .is_err()
    );
    setup.verify(&setup.token(), at(2)).await.unwrap();
    assert_eq!(setup.issuer.key_calls(), 2);
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_only_tokens_of_unknown_keys() {
    let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    setup.issuer.set_faults(Faults {
        keys: Fault::Slow(3_600_000),
        ..Faults::default()
    });
    let forged = setup.forged_token(SigningKind::Es256WithoutKeyId).await;
    let verifier = Arc::clone(&setup.verifier);
    let mut held_up = JoinSet::new();
    held_up.spawn(async move { verifier.verify(&forged, at(1)).await.map(drop) });
    while setup.issuer.key_calls() < 2 {
        tokio::task::yield_now().await;
    }
    setup.verify(&setup.token(), at(1)).await.unwrap();
    assert!(held_up.try_join_next().is_none());
}

#[tokio::test]
async fn an_outage_is_survived_for_an_hour() {
    for fault in [Fault::Broken, Fault::NotFound, Fault::Huge, Fault::Redirect] {
        let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
        let token = setup.token();
        setup.issuer.set_faults(Faults {
            keys: fault,
            ..Faults::default()
        });
        assert!(setup.keys.refresh(at(300)).await.is_err(), "{fault:?}");
        assert!(setup.keys.last_error().is_some());
        setup.verify(&token, at(3_599)).await.unwrap();
        let error = setup.verify(&token, at(3_600)).await.unwrap_err();
        assert_eq!(error, TokenError::KeysOutdated);

        setup.issuer.set_faults(Faults::default());
        setup.keys.refresh(at(3_700)).await.unwrap();
        assert!(setup.keys.last_error().is_none());
        setup.verify(&token, at(3_700)).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_waits_for_a_fetch_that_will_not_come() {
    let mut setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    let known = setup.token();
    // A task that never ran has nothing to end.
    tokio::task::yield_now().await;
    setup.keeper.shutdown().await;
    setup.issuer.rotate_keys().unwrap();
    let rotated = setup.token();
    let login = setup.verify(&rotated, at(1));
    let outcome = tokio::time::timeout(Duration::from_secs(5), login).await;
    assert_eq!(
        outcome.expect("it must not wait"),
        Err(TokenError::Signature(None))
    );
    setup.verify(&known, at(1)).await.unwrap();
}

#[tokio::test]
async fn a_withdrawn_key_dies_within_five_minutes_by_itself() {
    let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    let token = setup.token();
    setup.issuer.publish(Vec::new());
    // The time is measured from when the task that keeps the keys fresh first runs.
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5 * 60)).await;
    tokio::time::resume();
    let refused = async {
        while setup.verify(&token, at(1)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(20), refused).await;
    assert!(outcome.is_ok(), "the key outlives its withdrawal");
}

/// Nothing says that ids are unique.
#[tokio::test]
async fn keys_that_share_an_id_are_all_tried() {
    let setup = Setup::new(SigningKind::Rs256WithKeyId).await;
    let other = Setup::new(SigningKind::Rs256WithKeyId).await;
    let keys = [other.issuer.published(), setup.issuer.published()].concat();
    assert_eq!(keys[0]["kid"], keys[1]["kid"]);
    setup.issuer.publish(keys);
    setup.keys.refresh(at(1)).await.unwrap();
    let claims = json!({"iss": setup.issuer.url(), "aud": AUDIENCE, "exp": START.as_secs() + 60});
    for signer in [&setup.issuer, &other.issuer] {
        let token = signer.sign(&claims).unwrap();
        setup.verify(&token, at(1)).await.unwrap();
    }
    assert_eq!(setup.issuer.key_calls(), 2);
}

#[tokio::test]
async fn a_key_for_encryption_verifies_nothing() {
    let setup = Setup::new(SigningKind::Rs256WithKeyId).await;
    let mut keys = setup.issuer.published();
    keys[0]["use"] = json!("enc");
    setup.issuer.publish(keys);
    setup.keys.refresh(at(1)).await.unwrap();
    let error = setup.verify(&setup.token(), at(1)).await.unwrap_err();
    assert_eq!(error, TokenError::UnknownKey(Some("key-1".to_owned())));
}

#[tokio::test]
async fn a_set_of_too_many_keys_does_not_replace_a_good_one() {
    let setup = Setup::new(SigningKind::Es256WithoutKeyId).await;
    setup.issuer.publish(vec![json!({}); 65]);
    let error = setup.keys.refresh(at(300)).await.unwrap_err();
    assert!(
        matches!(*error, FetchError::Set(KeySetError::TooMany(65))),
        "{error}"
    );
    setup.verify(&setup.token(), at(300)).await.unwrap();
}
