use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use rcgen::{ExtendedKeyUsagePurpose, SanType, date_time_ymd};

use super::*;
use crate::test_peers::{TestAuthority, TestServer, day};

fn trusting(authority: &TestAuthority) -> ClientTrust {
    let trust = ClientTrust::new();
    trust.replace(&authority.bundle());
    trust
}

#[test]
fn a_right_client_is_described() {
    let authority = TestAuthority::new("front-proxy-ca");
    let leaf = authority.client("aggregator", |params| {
        params.subject_alt_names = vec![SanType::URI("haulout:webhook".try_into().unwrap())];
    });
    let client = trusting(&authority)
        .verify(&leaf.presented(), day(2026, 6, 1))
        .unwrap();
    assert_eq!(client.common_name.as_deref(), Some("aggregator"));
    assert_eq!(client.uris, ["haulout:webhook"]);
    assert_eq!(client.sha256, hex(digest(&SHA256, &leaf.der).as_ref()));
    assert_eq!(client.sha256.len(), 64);
}

#[test]
fn nobody_is_trusted_at_first() {
    let leaf = TestAuthority::new("ca").client("x", |_| ());
    let verdict = ClientTrust::new().verify(&leaf.presented(), day(2026, 6, 1));
    assert!(
        matches!(verdict, Err(ClientTrustError::NoAuthority)),
        "{verdict:?}"
    );
}

#[test]
fn wrong_clients_are_refused() {
    let authority = TestAuthority::new("ca");
    let trust = trusting(&authority);
    let now = day(2026, 6, 1);
    // Same name, another key.
    let impostor = TestAuthority::new("ca");
    let untrusted = [
        ("unknown CA", impostor.client("x", |_| ())),
        (
            "expired",
            authority.client("x", |p| p.not_after = date_time_ymd(2026, 5, 31)),
        ),
        (
            "not yet valid",
            authority.client("x", |p| p.not_before = date_time_ymd(2026, 6, 2)),
        ),
        ("for servers only", authority.server()),
        (
            "for code signing only",
            authority.client("x", |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]
            }),
        ),
    ];
    for (case, leaf) in untrusted {
        let verdict = trust.verify(&leaf.presented(), now);
        assert!(
            matches!(verdict, Err(ClientTrustError::Untrusted(_))),
            "{case}: {verdict:?}"
        );
    }
    let verdict = trust.verify(&PeerCertificates(Arc::from([])), now);
    assert!(
        matches!(verdict, Err(ClientTrustError::NoCertificate)),
        "{verdict:?}"
    );
    let garbage = PeerCertificates(Arc::from([CertificateDer::from(vec![0x30, 0x00])]));
    assert!(trust.verify(&garbage, now).is_err());
}

#[test]
fn a_kept_verdict_ends_with_the_certificate() {
    let authority = TestAuthority::new("ca");
    let trust = trusting(&authority);
    let peer = authority.client("x", |_| ()).presented();
    let first = trust.verify(&peer, day(2026, 6, 1)).unwrap();
    let second = trust.verify(&peer, day(2026, 6, 2)).unwrap();
    assert!(
        Arc::ptr_eq(&first, &second),
        "the second answer is the kept one"
    );
    assert!(trust.verify(&peer, day(2027, 1, 2)).is_err());
    assert!(trust.verify(&peer, day(2025, 12, 31)).is_err());
}

#[test]
fn an_expired_authority_counts_no_more() {
    let authority =
        TestAuthority::with("ca", |params| params.not_after = date_time_ymd(2026, 3, 1));
    let trust = trusting(&authority);
    let peer = authority.client("x", |_| ()).presented();
    assert!(trust.verify(&peer, day(2026, 2, 1)).is_ok());
    let verdict = trust.verify(&peer, day(2026, 4, 1));
    assert!(
        matches!(verdict, Err(ClientTrustError::NoAuthority)),
        "{verdict:?}"
    );
}

#[test]
fn a_replaced_bundle_takes_its_verdicts_with_it() {
    let (old, new) = (TestAuthority::new("old"), TestAuthority::new("new"));
    let trust = trusting(&old);
    let now = day(2026, 6, 1);
    let peer = old.client("x", |_| ()).presented();
    assert!(trust.verify(&peer, now).is_ok());
    trust.replace(&new.bundle());
    assert!(trust.verify(&peer, now).is_err());
    trust.replace(&old.bundle());
    assert!(trust.verify(&peer, now).is_ok());
}

#[test]
fn kept_verdicts_are_bounded() {
    let authority = TestAuthority::new("ca");
    let trust = trusting(&authority);
    let now = day(2026, 6, 1);
    let trusted = authority.client("x", |_| ()).presented();
    let client = trust.verify(&trusted, now).unwrap();
    let in_force = trust.in_force.load();
    for number in 0..=VERDICTS {
        let chain = [CertificateDer::from(number.to_be_bytes().to_vec())];
        assert!(
            trust
                .verify(&PeerCertificates(Arc::from(chain)), now)
                .is_err()
        );
        assert!(in_force.refused.0.lock().unwrap().len() <= VERDICTS);
    }
    let again = trust.verify(&trusted, now).unwrap();
    assert!(Arc::ptr_eq(&client, &again), "strangers pushed it out");
    let holds = Window {
        from: day(2026, 1, 1),
        to: day(2027, 1, 1),
    };
    for number in 0..=VERDICTS {
        let chain = [CertificateDer::from(number.to_be_bytes().to_vec())];
        let peer = PeerCertificates(Arc::from(chain));
        in_force
            .accepted
            .remember(&peer, Arc::clone(&client), holds, now);
        assert!(in_force.accepted.0.lock().unwrap().len() <= VERDICTS);
    }
}

#[test]
fn a_refusal_is_kept_for_a_second() {
    let authority = TestAuthority::new("ca");
    let trust = trusting(&authority);
    let begin = day(2026, 1, 1);
    let peer = authority.client("x", |_| ()).presented();
    let at = |millis| begin + Duration::from_millis(millis);
    let before = begin - Duration::from_millis(500);
    assert!(trust.verify(&peer, before).is_err());
    assert!(trust.verify(&peer, at(400)).is_err(), "not judged again");
    assert!(trust.verify(&peer, at(501)).is_ok());
}

#[test]
fn a_long_chain_is_not_judged() {
    let authority = TestAuthority::new("ca");
    let trust = trusting(&authority);
    let leaf = authority.client("x", |_| ()).der;
    let chain = |length| PeerCertificates(vec![leaf.clone(); length].into());
    let now = day(2026, 6, 1);
    assert!(trust.verify(&chain(LONGEST_CHAIN), now).is_ok());
    let mut large = vec![leaf.clone(); 2];
    large.push(vec![0; LARGEST_CHAIN].into());
    for chain in [chain(LONGEST_CHAIN + 1), PeerCertificates(large.into())] {
        let verdict = trust.verify(&chain, now);
        assert!(
            matches!(verdict, Err(ClientTrustError::TooLong)),
            "{verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_swapped_bundle_takes_effect_on_an_open_connection() {
    let (old, new) = (TestAuthority::new("old"), TestAuthority::new("new"));
    let trust = Arc::new(trusting(&old));
    let ask = |State(trust): State<Arc<ClientTrust>>,
               Extension(peer): Extension<PeerCertificates>| async move {
        match trust.verify(&peer, day(2026, 6, 1)) {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::UNAUTHORIZED,
        }
    };
    let router = Router::new()
        .route("/", get(ask))
        .with_state(Arc::clone(&trust));
    let server = TestServer::start(router).await;
    let of_old = server
        .client(Some(old.client("x", |_| ()).identity()))
        .await;
    let of_new = server
        .client(Some(new.client("x", |_| ()).identity()))
        .await;
    let anonymous = server.client(None).await;
    for (client, expected) in [(&of_old, 200), (&of_new, 401), (&anonymous, 401)] {
        assert_eq!(client.get_text("/").await.0, expected);
    }
    trust.replace(&new.bundle());
    for (client, expected) in [(&of_old, 401), (&of_new, 200), (&anonymous, 401)] {
        assert_eq!(client.get_text("/").await.0, expected);
    }
}
