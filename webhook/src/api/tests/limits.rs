//! Logins over a limit, and who they are counted for.

use std::time::Duration;

use haulout_operate::clock::{Clock, ManualClock};
use haulout_operate::rate::Rate;
use haulout_serve::listener::PeerAddress;

use super::logs::Log;
use super::*;
use crate::limits::{Limits, LoginLimits};

/// A door that lets in two logins of each address and three in all, and one more of each a second.
async fn limited() -> (Door, ManualClock) {
    let mut setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    let (clock, hand) = Clock::manual(Clock::system().now());
    let logins = setup.logins.as_mut().unwrap();
    logins.clock = clock;
    logins.limits = Arc::new(LoginLimits::new(Limits {
        per_address: Rate::new(1, 2),
        total: Rate::new(1, 3),
    }));
    (Door::over(setup, Reviewer::Allows), hand)
}

fn login_from(forwarded_for: &str) -> Request<Body> {
    let request = post_json(TCR, &good_request());
    with_headers(request, &[("x-forwarded-for", forwarded_for)])
}

#[tokio::test]
async fn over_the_limit_is_429_with_the_time_to_wait() {
    let log = Log::default();
    let _guards = log.set();
    let (door, clock) = limited().await;
    for _ in 0..2 {
        let response = door.send(login_from("192.0.2.1")).await;
        assert_eq!(response.status(), StatusCode::CREATED);
    }
    let events = door.setup.memory.text();
    for _ in 0..3 {
        let response = door.send(login_from("203.0.113.9, 192.0.2.1")).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let answer = text(response).await;
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Too many requests, please try again later.","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429}"#;
        assert_eq!(
            (answer.0, answer.1.trim_end()),
            (StatusCode::TOO_MANY_REQUESTS, status)
        );
    }
    // Another address has the last token of all.
    for status in [StatusCode::CREATED, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(door.send(login_from("192.0.2.2")).await.status(), status);
    }

    let metrics = door.setup.metrics.encode().unwrap();
    for (reason, count) in [("PerAddress", 3), ("Total", 1)] {
        let line = format!(
            "haulout_token_credential_requests_total{{result=\"limited\",reason=\"{reason}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
    let text = log.text();
    let told = "refused logins with 429";
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(told)).collect();
    let [own, all] = lines[..] else {
        panic!("{lines:?}")
    };
    assert!(own.contains("\"perAddress\"") && own.contains("192.0.2.1"));
    assert!(all.contains("\"total\"") && all.contains("192.0.2.2"));
    // Refusals are no audit events: two of each login that was let in.
    assert!(door.setup.memory.text().starts_with(&events));
    assert_eq!(door.setup.memory.events().len(), 6);

    clock.advance(Duration::from_secs(1));
    let response = door.send(login_from("192.0.2.1")).await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn creates_alone_are_counted_and_before_their_body_is_read() {
    let (door, _clock) = limited().await;
    for _ in 0..10 {
        let list = request(Method::GET, TCR);
        assert_eq!(door.send(list).await.status(), StatusCode::OK);
    }
    let unreadable = || {
        let request = post_text(TCR, "no media type", "no JSON");
        with_headers(request, &[("x-forwarded-for", "192.0.2.1")])
    };
    for status in [415, 415, 429] {
        assert_eq!(door.send(unreadable()).await.status(), status);
    }
    let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
    let endless = post_text(TCR, "application/json", Body::from_stream(never));
    let endless = with_headers(endless, &[("x-forwarded-for", "192.0.2.1")]);
    assert_eq!(door.send(endless).await.status(), 429);
}

/// Of both kinds together.
#[tokio::test(start_paused = true)]
async fn one_address_keeps_few_bodies_waiting_while_others_are_awaited() {
    let log = Log::default();
    let _guards = log.set();
    let setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    let door = Door::over(setup, Reviewer::Allows);
    let endless = |path: &str, address: &str| {
        let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
        let request = post_text(path, "application/json", Body::from_stream(never));
        with_headers(request, &[("x-forwarded-for", address)])
    };
    let status = async |path, address| door.send(endless(path, address)).await.status().as_u16();
    let all = (0..20).map(|number| status([TCR, WHO_AM_I][number % 2], "192.0.2.1"));
    let (all, other) = tokio::join!(
        futures_util::future::join_all(all),
        status(TCR, "192.0.2.2")
    );
    let count = |code| all.iter().filter(|&&status| status == code).count();
    assert_eq!((count(408), count(429), other), (8, 12, 408));

    // Half of them, and the other's.
    let metrics = door.setup.metrics.encode().unwrap();
    let line =
        "haulout_token_credential_requests_total{result=\"limited\",reason=\"LateBody\"} 11\n";
    assert!(metrics.contains(line), "{metrics}");
    let text = log.text();
    let told = "refused requests whose bodies were long in coming";
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(told)).collect();
    assert!(
        matches!(lines[..], [line] if line.contains("192.0.2.1")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn who_asks_who_he_is_is_counted_with_logins() {
    let (door, clock) = limited().await;
    let who_am_i = || {
        let request = post_json(WHO_AM_I, &json!({}));
        with_headers(request, &[("x-forwarded-for", "192.0.2.1")])
    };
    assert_eq!(door.send(login_from("192.0.2.1")).await.status(), 201);
    for status in [201, 429] {
        assert_eq!(door.send(who_am_i()).await.status(), status);
    }
    assert_eq!(door.send(login_from("192.0.2.1")).await.status(), 429);
    assert_eq!(door.send(login_from("192.0.2.2")).await.status(), 201);
    clock.advance(Duration::from_secs(1));
    let response = door.send(who_am_i()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn strangers_are_counted_by_the_address_that_they_have() {
    let (door, _clock) = limited().await;
    let nobody = PeerCertificates(Arc::default());
    for (port, status) in [(1, 201), (2, 201), (3, 429)] {
        let mut request = login_from(&format!("192.0.2.{port}"));
        let peer = PeerAddress(([10, 0, 0, 1], port).into());
        request.extensions_mut().insert(peer);
        assert_eq!(door.send_from(&nobody, request).await.status(), status);
    }
    // Through the front proxy, logins without a readable address are one source.
    for (address, status) in [("nonsense", 201), ("", 429)] {
        let status_seen = door.send(login_from(address)).await.status();
        assert_eq!(status_seen, status, "{address}");
    }
}
