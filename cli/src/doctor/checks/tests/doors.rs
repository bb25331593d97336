//! The API server, its clock, the doors, and what clients are told.

use super::*;

const OBJECTS: [Name; 8] = [
    Name::Webhook,
    Name::ApiService,
    Name::Namespaces,
    Name::Agent,
    Name::SigningKey,
    Name::Signing,
    Name::AdvertisedEndpoint,
    Name::Authenticator,
];

#[test]
fn an_api_server_that_gives_no_answer_is_all_that_is_found() {
    let early = Unreachable::OutOfTime {
        is_early: true,
        limit: Some(time("2026-11-26T08:05:00Z")),
    };
    let cases = [
        (
            Unreachable::ConnectionRefused,
            "nothing listens there",
            "VPN",
        ),
        (Unreachable::TimedOut, "no answer in time", "VPN"),
        (
            Unreachable::OtherAuthority,
            "not of the given CA",
            "certificate-authority-data",
        ),
        (
            early,
            "is not valid yet (2026-11-26T08:05:00Z)",
            "set this computer's clock by NTP, if it is not 2026-11-26T08:00:00Z",
        ),
        (
            Unreachable::OutOfTime {
                is_early: false,
                limit: None,
            },
            "has expired",
            "NTP",
        ),
        (
            Unreachable::Certificate("names".to_owned()),
            "names",
            "certSANs",
        ),
        (Unreachable::TlsVersion, "TLS 1.3", "TLS 1.3"),
        (
            Unreachable::Unusable("no PEM".to_owned()),
            "no PEM",
            "kubeconfig",
        ),
    ];
    for (fault, evidence, remedy) in cases {
        let report = with(|seen| {
            *seen = Observations {
                version: Err(fault),
                clock_difference: None,
                login: None,
                account: None,
                objects: None,
                advertised: None,
                ..seen.clone()
            };
        });
        report.has_only_failed(Name::ApiServer, evidence, remedy);
        report.wait(&OBJECTS, Name::ApiServer);
        let others = [
            Name::Clock,
            Name::Account,
            Name::LoginPath,
            Name::AnonymousAccess,
            Name::Token,
        ];
        report.wait(&others, Name::ApiServer);
    }
    let report = with(|seen| seen.verifies_server = false);
    report.only_warns(Name::ApiServer, "not checked", "insecure-skip-tls-verify");
}

#[test]
fn a_proxy_that_may_be_the_cause_is_named() {
    let report = with(|seen| {
        seen.proxy = Some("http://p:3128".to_owned());
        seen.version = Err(Unreachable::ConnectionRefused);
    });
    report.has_only_failed(
        Name::ApiServer,
        "https://k.example.com:6443 by way of the proxy http://p:3128: nothing listens there",
        "NO_PROXY",
    );
}

#[test]
fn what_answers_has_to_be_an_api_server() {
    let page = |status| Answer {
        status,
        body: Body::Other,
        audit_id: None,
    };
    for status in [200, 302, 404, 502] {
        let report = with(|seen| seen.version = Ok(page(status)));
        report.has_only_failed(
            Name::ApiServer,
            &format!("GET https://k.example.com:6443/version: {status}"),
            "a load balancer that has no API server behind it",
        );
        report.wait(&OBJECTS, Name::ApiServer);
    }
    for version in [
        Answer {
            body: Body::Version,
            ..page(200)
        },
        answer(500, "etcd is away"),
        page(401),
        page(403),
    ] {
        let report = with(|seen| seen.version = Ok(version));
        assert!(!report.has_failed(), "{report}");
    }
}

#[test]
fn clocks_may_differ_by_half_a_minute() {
    for difference in [0, 30, -30] {
        with(|seen| seen.clock_difference = Some(difference)).is_good();
    }
    for (difference, text) in [(31, "31 s ahead of"), (-299, "299 s behind")] {
        let report = with(|seen| seen.clock_difference = Some(difference));
        report.only_warns(Name::Clock, text, "NTP");
    }
    for (difference, text) in [(300, "300 s ahead of"), (-600, "600 s behind")] {
        let report = with(|seen| seen.clock_difference = Some(difference));
        report.has_only_failed(Name::Clock, text, "NTP");
    }
    let report = with(|seen| seen.clock_difference = None);
    assert!(matches!(report.outcome(Name::Clock), Outcome::Unseen(_)));
}

#[test]
fn a_user_without_credentials_waits_for_what_keeps_him_from_them() {
    fn spoil(seen: &mut Observations, fault: AccountFault) {
        seen.account = Some(Err(fault));
        seen.objects = None;
        seen.advertised = None;
    }
    let other = CredentialFault::Other("its plugin cannot be started".to_owned());
    let report = with(|seen| spoil(seen, AccountFault::NoCredentials(other)));
    report.has_only_failed(Name::Account, "cannot be started", "user's entry");
    let ended = || CredentialFault::Plugin("its plugin ended with 1".to_owned());
    let none = || AccountFault::NoCredentials(ended());
    let report = with(|seen| spoil(seen, none()));
    report.has_only_failed(
        Name::Account,
        "ended with 1",
        "do what the plugin's message says",
    );
    report.wait(&OBJECTS, Name::Account);

    let closed = |lacks_token| {
        with(|seen| {
            spoil(seen, none());
            let closed = Ok(answer(401, "Unauthorized"));
            seen.login = Some(closed.clone());
            seen.own = Some(OwnDoor {
                lacks_token,
                endpoint: seen.server.clone(),
                answer: closed,
            });
        })
    };
    let report = closed(false);
    report.has_only_failed(Name::LoginPath, "401", "open exactly this path");
    report.wait(&[Name::Account], Name::LoginPath);
    report.wait(&OBJECTS, Name::LoginPath);
    // An open path would be of no use to him; nor does another program's plugin log in there.
    let report_of_another = with(|seen| {
        spoil(seen, none());
        seen.login = Some(Ok(answer(401, "Unauthorized")));
    });
    for report in [closed(true), report_of_another] {
        for name in [Name::Account, Name::LoginPath] {
            let outcome = report.outcome(name);
            assert!(matches!(outcome, Outcome::Failed(_)), "{report}");
        }
    }

    for fault in [none(), AccountFault::NotAccepted] {
        let report = with(|seen| {
            spoil(seen, fault);
            seen.clock_difference = Some(600);
        });
        report.has_only_failed(Name::Clock, "600 s", "NTP");
        report.wait(&[Name::Account], Name::Clock);
    }
    let report = with(|seen| spoil(seen, AccountFault::NotAccepted));
    report.has_only_failed(Name::Account, "401", "renew the credentials");
    let report = with(|seen| spoil(seen, AccountFault::Other("broken".to_owned())));
    report.has_only_failed(Name::Account, "broken", "log");
}

#[test]
fn each_answer_at_the_login_path_has_its_meaning() {
    let cases = [
        (
            answer(401, "Unauthorized"),
            "401: Unauthorized",
            "haulout talos patch",
        ),
        (
            answer(403, "no right"),
            "403: no right",
            "rbac.anonymous=true",
        ),
        (answer(404, ""), "404", "--api-group-suffix"),
        (
            answer(503, "unavailable"),
            "503: unavailable",
            "kubectl get apiservices",
        ),
        (
            answer(422, "other"),
            "422: other",
            "something else than Haulout",
        ),
        (answer(302, ""), "302", "something else than Haulout"),
    ];
    for (answer, evidence, remedy) in cases {
        let report = with(|seen| {
            seen.login = Some(Ok(answer));
            // It is sent to no door that is closed.
            seen.token.as_mut().unwrap().logins.clear();
        });
        report.has_only_failed(Name::LoginPath, evidence, remedy);
        report.wait(&[Name::Token], Name::LoginPath);
    }
    let report = with(|seen| seen.login = Some(Ok(answer(429, "many"))));
    report.only_warns(Name::LoginPath, "429: many", "in a moment");
    let report = with(|seen| seen.login = Some(Err(Unreachable::TimedOut)));
    report.has_only_failed(Name::LoginPath, "no answer", "proxy");
}

#[test]
fn a_closed_login_path_is_good_where_logins_go_by_the_direct_endpoint() {
    let direct = |status: &str, reason: &str| {
        json!({
            "type": "DirectEndpoint", "status": status, "reason": reason, "message": "m",
            "lastUpdateTime": NOW,
            "frontend": {
                "type": "DirectEndpoint",
                "directEndpointInfo": {"endpoint": "https://login.example.com"},
            },
        })
    };
    let with_direct = |strategy: Value, answer: Result<Answer, Unreachable>| {
        with(|seen| {
            let objects = seen.objects.as_mut().unwrap();
            let key = signing("Success", "FetchedKey", "key was fetched successfully");
            objects.issuer = Ok(issuer(&[key, strategy]));
            seen.direct = Some(answer);
        })
    };
    let report = with_direct(direct("Success", "Listening"), Ok(from_webhook()));
    report.is_good();
    assert_eq!(report.checks.len(), 17, "{report}");

    // By the API server itself, or by RBAC.
    for closed in [401, 403] {
        let mut observations = healthy();
        observations.login = Some(Ok(answer(closed, "closed")));
        observations.direct = Some(Ok(from_webhook()));
        judge(&observations).is_good();
    }

    for (answer, evidence, remedy) in [
        (
            Ok(answer(502, "")),
            "is answered 502",
            "Service haulout-direct",
        ),
        (
            Err(Unreachable::TimedOut),
            "no answer",
            "directEndpoint.externalUrl",
        ),
        (
            Err(Unreachable::OtherAuthority),
            "not of the given CA",
            "directEndpoint.certificateAuthorityData",
        ),
    ] {
        let report = with_direct(direct("Success", "Listening"), answer);
        report.has_only_failed(Name::DirectEndpoint, evidence, remedy);
    }
    let report = with_direct(direct("Error", "ErrorDuringSetup"), Ok(from_webhook()));
    report.has_only_failed(
        Name::DirectEndpoint,
        "ErrorDuringSetup: m",
        "directEndpoint",
    );
    let report = with_direct(direct("Error", "Pending"), Ok(from_webhook()));
    report.only_warns(Name::DirectEndpoint, "Pending: m", "again");
}

#[test]
fn a_closed_login_path_is_no_fault_where_another_door_may_be_open() {
    let own = |answer| OwnDoor {
        lacks_token: false,
        endpoint: "https://login.example.com".to_owned(),
        answer,
    };
    for (status, remedy) in [
        (401, "open exactly this path"),
        (403, "rbac.anonymous=true"),
    ] {
        let closed = |seen: &mut Observations| {
            seen.login = Some(Ok(answer(status, "closed")));
            let unseen = Unseen::NoRight("list them".to_owned());
            seen.objects.as_mut().unwrap().issuer = Err(unseen);
        };
        with(closed).only_warns(Name::LoginPath, "cannot be seen", "administrator");
        let report = with(|seen| {
            closed(seen);
            seen.own = Some(own(Ok(from_webhook())));
        });
        report.is_good();
        let report = with(|seen| {
            closed(seen);
            seen.own = Some(own(Err(Unreachable::TimedOut)));
        });
        report.has_only_failed(Name::LoginPath, "closed", remedy);
    }
    // The cluster knows nothing of that address.
    let report = with(|seen| seen.own = Some(own(Ok(from_webhook()))));
    report.only_warns(
        Name::AdvertisedEndpoint,
        "logs in at https://login.example.com, and clients are told https://k.example.com:6443",
        "--concierge-endpoint",
    );
}

#[test]
fn what_is_open_to_everybody_is_told_of() {
    let report = with(|seen| seen.version = Ok(answer(200, "")));
    report.only_warns(Name::AnonymousAccess, "200", "public-info-viewer");
    with(|seen| seen.version = Ok(answer(403, ""))).is_good();
}

#[test]
fn an_address_that_clients_cannot_use_is_found() {
    for (fault, evidence, remedy) in [
        (
            Unreachable::OtherAuthority,
            "not of the given CA",
            "kube-public/cluster-info",
        ),
        (
            Unreachable::Unusable("no PEM".to_owned()),
            "no PEM",
            "advertise.certificateAuthorityData",
        ),
        (
            Unreachable::TimedOut,
            "no answer",
            "--set advertise.server=https://k.example.com:6443",
        ),
    ] {
        let report = with(|seen| seen.advertised = Some(Err(fault)));
        report.has_only_failed(Name::AdvertisedEndpoint, evidence, remedy);
    }
    let report = with(|seen| {
        let mut strategy = signing(
            "Success",
            "FetchedKey",
            "key was fetched successfully; no address",
        );
        strategy["frontend"] = json!({"type": "TokenCredentialRequestAPI"});
        seen.objects.as_mut().unwrap().issuer = Ok(issuer(&[strategy]));
        seen.advertised = None;
    });
    report.only_warns(Name::AdvertisedEndpoint, "no address", "advertise.server=");
    let report = with(|seen| {
        let mut strategy = signing("Error", "CouldNotGetClusterInfo", "broken source");
        strategy["frontend"] = Value::Null;
        seen.objects.as_mut().unwrap().issuer = Ok(issuer(&[strategy]));
        seen.advertised = None;
    });
    report.has_only_failed(
        Name::AdvertisedEndpoint,
        "broken source",
        "advertise.server=",
    );
}
