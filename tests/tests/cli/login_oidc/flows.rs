//! How a user logs in with a browser, and what is refused before.

use haulout_tests::supervisor::{Behaviour, Calls};
use serde_json::json;
use url::Url;

use super::browser::Browser;
use super::{Screen, Site, assert_fails};

/// What the program asks the issuer by this name.
pub(super) fn parameter(link: &Url, name: &str) -> Option<String> {
    let mut parameters = link.query_pairs();
    let found = parameters.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_the_browser_ends_with_a_page_and_a_credential() {
    let site = Site::new(Behaviour::default()).await;
    let browser = Browser::new(&site.supervisor);
    let outcome = site
        .run_with(&[], async |screen| {
            let page = browser.log_in(screen, "alice").await;
            assert_eq!(page.status(), 200);
            let page = page.text().await.unwrap();
            assert!(page.contains("may now close this tab"), "{page}");
        })
        .await;
    let credential = outcome.credential();
    assert_eq!(credential["kind"], "ExecCredential");
    assert!(credential["status"]["expirationTimestamp"].is_string());
    assert!(
        outcome
            .stderr
            .starts_with("Log in by visiting this link:\n\n    https://")
    );
}

/// Reloaded, or fetched ahead by the browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_twice_is_told_the_same() {
    let site = Site::new(Behaviour {
        tokens_take: std::time::Duration::from_millis(500),
        ..Behaviour::default()
    })
    .await;
    let browser = Browser::new(&site.supervisor);
    let outcome = site
        .run_with(&[], async |screen| {
            let callback = browser.callback(screen, "alice").await;
            let (first, second) =
                tokio::join!(browser.get(callback.clone()), browser.get(callback));
            assert_eq!(
                (first.status(), second.status()),
                (200.try_into().unwrap(), 200.try_into().unwrap())
            );
        })
        .await;
    outcome.credential();
    assert_eq!(site.supervisor.calls().codes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_those_that_the_issuer_is_known_to_have() {
    let all = "groups offline_access openid pinniped:request-audience username";
    for (is_supervisor, scopes, expected) in [
        (true, vec![], all),
        (true, vec!["openid"], "openid"),
        (false, vec![], "offline_access openid"),
        (false, vec!["openid", "email", "address"], "email openid"),
    ] {
        let site = Site::new(Behaviour {
            is_supervisor,
            scopes,
            ..Behaviour::default()
        })
        .await;
        let browser = Browser::new(&site.supervisor);
        let outcome = site
            .run_with(&[], async |screen| {
                let link = Browser::link(screen).await;
                assert_eq!(parameter(&link, "scope").as_deref(), Some(expected));
                browser.log_in(screen, "alice").await;
            })
            .await;
        outcome.credential();
    }
}

/// Unlike Pinniped's, which ends the login: any page in the browser could do that.
#[tokio::test(flavor = "multi_thread")]
async fn c041_a_wrong_state_ends_nothing() {
    let site = Site::new(Behaviour::default()).await;
    let browser = Browser::new(&site.supervisor);
    let outcome = site
        .run_with(&[], async |screen| {
            let callback = browser.callback(screen, "alice").await;
            let mut forged = callback.clone();
            forged.set_query(Some("code=forged&state=forged"));
            assert_eq!(browser.get(forged.clone()).await.status(), 403);
            forged.set_query(Some("error=access_denied&state=forged"));
            assert_eq!(browser.get(forged).await.status(), 403);
            assert_eq!(browser.get(callback).await.status(), 200);
        })
        .await;
    outcome.credential();
}

/// RFC 9207: otherwise an issuer could send a user on to ours, and have the code sent to itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_another_issuer_is_turned_away() {
    let site = Site::new(Behaviour::default()).await;
    let us = site.supervisor.url().to_owned();
    for (declared, iss, is_good) in [
        (true, Some(us.clone()), true),
        (true, None, false),
        (false, Some(us), true),
        (false, Some("https://other.example.com".to_owned()), false),
    ] {
        *site.supervisor.behaviour() = Behaviour {
            names_itself: declared,
            answers_as: iss.clone(),
            ..Behaviour::default()
        };
        let browser = Browser::new(&site.supervisor);
        let screen = Screen::default();
        let no_cache = ["--credential-cache=", "--session-cache=/dev/null/x"];
        let user = async |screen: &Screen| {
            let callback = browser.callback(screen, "alice").await;
            let status = browser.get(callback.clone()).await.status();
            assert_eq!(status == 200, is_good, "{declared} {iss:?}");
            if !is_good {
                let mut good = callback;
                let ours = site.supervisor.url();
                let kept = good.query_pairs().into_owned();
                let kept: Vec<_> = kept.filter(|(name, _)| name != "iss").collect();
                let mut query = good.query_pairs_mut();
                query.clear().extend_pairs(kept).append_pair("iss", ours);
                drop(query);
                assert_eq!(browser.get(good).await.status(), 200);
            }
        };
        site.run_on(&screen, &no_cache, user).await.credential();
    }
    let mut site = site;
    site.set_password("bob");
    let outcome = site.run(&["--flow=cli_password"]).await;
    assert_fails(&outcome, 1, "not of the issuer that was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn c089_the_issuers_refusal_is_told_with_its_description_if_there_is_one() {
    for (description, expected) in [
        (
            "not today",
            "login failed with code \"access_denied\": not today\n",
        ),
        ("", "login failed with code \"access_denied\"\n"),
    ] {
        let site = Site::new(Behaviour {
            denies: Some(("access_denied", description)),
            ..Behaviour::default()
        })
        .await;
        let outcome = site.log_in(&[]).await;
        let expected = format!("Error: could not complete Pinniped login: {expected}");
        assert_fails(&outcome, 1, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c087_form_post_is_asked_for_where_a_supervisor_offers_it() {
    for (is_supervisor, offered) in [(true, false), (true, true), (false, true)] {
        let form_post = is_supervisor && offered;
        let site = Site::new(Behaviour {
            is_supervisor,
            form_post: offered,
            ..Behaviour::default()
        })
        .await;
        let browser = Browser::new(&site.supervisor);
        let outcome = site
            .run_with(&[], async |screen| {
                let link = Browser::link(screen).await;
                let mode = parameter(&link, "response_mode");
                assert_eq!(mode.is_some_and(|mode| mode == "form_post"), form_post);
                let answer = browser.submit(link.clone(), "alice").await;
                if !form_post {
                    let location = answer.headers()["location"].to_str().unwrap().to_owned();
                    browser.get(location.parse().unwrap()).await;
                    return;
                }
                // As the page's script does it.
                let page = answer.text().await.unwrap();
                let between = |before: &str, after: &str| {
                    let (_, rest) = page.split_once(before).unwrap();
                    rest.split_once(after).unwrap().0.to_owned()
                };
                let action = between("<form action=\"", "\"").parse().unwrap();
                let code = between("name=\"code\" value=\"", "\"");
                let state = between("name=\"state\" value=\"", "\"");
                let form = [("code", code.as_str()), ("state", &state)];
                let told = browser.post(action, &form).await;
                let told = told.text().await.unwrap();
                assert_eq!(told, "you have been logged in and may now close this tab");
            })
            .await;
        outcome.credential();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c090_where_nobody_can_be_asked_the_login_fails_at_once() {
    let site = Site::new(Behaviour::default()).await;
    let outcome = site.run(&["--skip-listen"]).await;
    assert_fails(&outcome, 1, "--skip-listen");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let outcome = site.run(&[&format!("--listen-port={port}")]).await;
    assert_fails(
        &outcome,
        1,
        &format!("port {port} of 127.0.0.1 cannot be listened on"),
    );
    assert!(
        outcome.stderr.contains("--flow=device_code"),
        "{}",
        outcome.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_that_are_no_supervisor_are_asked_for_what_they_have() {
    let site = Site::new(Behaviour {
        is_supervisor: false,
        scopes: vec!["openid", "email", "offline_access"],
        ..Behaviour::default()
    })
    .await;
    let browser = Browser::new(&site.supervisor);
    let flags = [
        "--extra-parameter=prompt=select_account",
        "--extra-parameter=hd=example.com",
    ];
    let outcome = site
        .run_with(&flags, async |screen| {
            let link = Browser::link(screen).await;
            let value = |name| parameter(&link, name);
            assert_eq!(
                value("scope").as_deref(),
                Some("email offline_access openid")
            );
            assert_eq!(value("prompt").as_deref(), Some("select_account"));
            assert_eq!(value("hd").as_deref(), Some("example.com"));
            browser.log_in(screen, "alice").await;
        })
        .await;
    outcome.credential();
}

#[tokio::test(flavor = "multi_thread")]
async fn c040_addresses_without_encryption_are_refused_before_anything_is_asked() {
    let site = Site::new(Behaviour::default()).await;
    let plain = site.supervisor.url().replace("https://", "http://");
    let outcome = site.run(&[&format!("--issuer={plain}")]).await;
    assert_fails(
        &outcome,
        2,
        "issuer must be an https URL, but had scheme \"http\" instead",
    );
    assert_eq!(site.supervisor.calls(), Calls::default());
    // An endpoint of the issuer: its document is read, and nothing else asked, of it or of a browser.
    for endpoint in ["authorization_endpoint", "token_endpoint"] {
        site.supervisor.behaviour().discovery = json!({endpoint: plain});
        let outcome = site.run(&[]).await;
        let expected = format!("{endpoint} must be an https URL, but had scheme \"http\" instead");
        assert_fails(&outcome, 1, &expected);
        assert!(!outcome.stderr.contains("Log in by"), "{}", outcome.stderr);
    }
    let asked = Calls {
        discovery: 2,
        ..Calls::default()
    };
    assert_eq!(site.supervisor.calls(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn c116_each_wrong_flag_has_a_text_of_its_own() {
    let site = Site::new(Behaviour::default()).await;
    let outcome = site.run(&["--enable-concierge"]).await;
    assert_fails(&outcome, 2, "invalid Concierge parameters: ");
    let outcome = site.machine.run(&["login", "oidc"]);
    assert_fails(&outcome, 2, "--issuer");
}
