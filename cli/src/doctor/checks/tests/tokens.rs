//! Authenticators, and tokens.

use super::*;

#[test]
fn authenticators_are_judged_as_the_webhook_does() {
    let spoil = |conditions: &[Value], phase: &str| {
        with(|seen| {
            let objects = seen.objects.as_mut().unwrap();
            objects.jwt.as_mut().unwrap()[0].status = status(phase, conditions);
        })
    };
    for (type_, message, remedy) in [
        (
            "DiscoveryURLValid",
            "connection refused",
            "let the webhook's pods reach the issuer",
        ),
        (
            "DiscoveryURLValid",
            "x509: unknown authority",
            "spec.tls.certificateAuthorityData",
        ),
        ("DiscoveryURLValid", "did not match", "own spelling"),
        (
            "JWKSFetchValid",
            "no key",
            "let the webhook's pods reach the issuer",
        ),
        ("TLSConfigurationValid", "no PEM", "mend spec.tls"),
        ("IssuerURLValid", "no URL", "mend the URL"),
        ("WebhookConnectionValid", "refused", "TokenReview server"),
        ("AuthenticatorValid", "CEL", "mend what the message names"),
    ] {
        let conditions = [
            condition(type_, "False", message),
            condition("Ready", "False", "see others"),
        ];
        let report = spoil(&conditions, "Error");
        report.has_only_failed(Name::Authenticator, &format!("{type_}: {message}"), remedy);
        // It was good for the token a moment ago.
        assert!(
            matches!(report.outcome(Name::Token), Outcome::Ok(_)),
            "{report}"
        );
    }
    let mut old = condition("Ready", "False", "see others");
    old["observedGeneration"] = json!(0);
    spoil(&[old], "Error").only_warns(Name::Authenticator, "has not judged", "again");
    spoil(&[], "Pending").only_warns(Name::Authenticator, "has not judged", "again");
    spoil(&[], "Error").has_only_failed(Name::Authenticator, "phase is Error", "kubectl describe");

    let report = with(|seen| {
        seen.objects.as_mut().unwrap().jwt = Ok(Vec::new());
        seen.token = None;
    });
    report.only_warns(
        Name::Authenticator,
        "nobody can log in",
        "docs/authenticators.md",
    );
}

/// A token with these claims, for which no login was tried.
fn with_claims(claims: Claims) -> Report {
    with(|seen| {
        seen.token = Some(Token {
            is_own: false,
            claims: Ok(claims),
            logins: Vec::new(),
        });
    })
}

#[test]
fn a_token_that_no_authenticator_takes_is_compared_with_all() {
    let report = with_claims(claims("https://i", "other"));
    let remedy = "kubectl patch jwtauthenticators.authentication.concierge.pinniped.dev company --type=merge -p \
                  '{\"spec\":{\"audience\":\"other\"}}'";
    report.has_only_failed(
        Name::Token,
        "the token (issuer https://i, audience other) has another audience than the JWTAuthenticator of its issuer: company \
         has \"this-cluster\"",
        remedy,
    );
    // What a shell would run is not put into a command.
    let report = with(|seen| {
        seen.token.as_mut().unwrap().claims = Ok(claims("https://i", "other"));
        seen.token.as_mut().unwrap().logins.clear();
        seen.objects.as_mut().unwrap().jwt.as_mut().unwrap()[0].name = "a; reboot #".to_owned();
    });
    report.has_only_failed(
        Name::Token,
        "a; reboot #",
        "concierge.pinniped.dev NAME --type",
    );
    let report = with_claims(claims("https://i", "a'; reboot #"));
    report.has_only_failed(Name::Token, "reboot", "`kubectl edit jwtauthenticators");
    // One character makes another issuer.
    let report = with_claims(claims("https://i/", "this-cluster"));
    report.has_only_failed(Name::Token, "company has \"https://i\"", "kubectl edit");
    let report = with(|seen| {
        let claims = Claims::read("opaque");
        let logins = Vec::new();
        seen.token = Some(Token {
            is_own: false,
            claims,
            logins,
        });
    });
    report.has_only_failed(Name::Token, "it is no JWT", "give the ID token");
}

#[test]
fn a_token_that_is_out_of_time_is_told_so() {
    let expired = || Claims {
        expires: Some(time(NOW)),
        ..claims("https://i", "this-cluster")
    };
    with_claims(expired()).has_only_failed(
        Name::Token,
        "it expired at 2026-11-26T08:00:00Z",
        "new one",
    );
    let early = |begins: &str| Claims {
        not_before: Some(time(begins)),
        ..claims("https://i", "other")
    };
    let report = with_claims(early("2026-11-26T08:01:01Z"));
    report.has_only_failed(Name::Token, "it is valid from", "new one");
    let report = with_claims(early("2026-11-26T08:01:00Z"));
    report.has_only_failed(Name::Token, "another audience", "audience");

    let report = with(|seen| {
        seen.clock_difference = Some(7200);
        seen.token.as_mut().unwrap().claims = Ok(expired());
    });
    report.has_only_failed(Name::Clock, "7200 s", "NTP");
    report.wait(&[Name::Token], Name::Clock);

    // It is why the plugin has no credentials.
    let report = without_credentials(|token| {
        token.is_own = true;
        token.claims = Ok(expired());
    });
    report.has_only_failed(Name::Token, "it expired", "new one");
    report.wait(&[Name::Account, Name::Webhook, Name::Signing], Name::Token);
}

/// A kubeconfig whose plugin failed, and a token.
fn without_credentials(change: impl FnOnce(&mut Token)) -> Report {
    with(|seen| {
        seen.account = Some(Err(AccountFault::NoCredentials(CredentialFault::Plugin(
            "refused".to_owned(),
        ))));
        seen.objects = None;
        seen.advertised = None;
        change(seen.token.as_mut().unwrap());
    })
}

#[test]
fn a_token_that_is_refused_is_why_a_plugin_has_no_credentials() {
    let said = Answer {
        status: 201,
        body: Body::NoCredential("authentication failed".to_owned()),
        audit_id: Some("d6e1".to_owned()),
    };
    let report = without_credentials(|token| {
        token.is_own = true;
        token.logins = vec![token_login(Ok(said.clone()))];
    });
    report.has_only_failed(
        Name::Token,
        "the token (issuer https://i, audience this-cluster) does not log in by JWTAuthenticator/company: authentication \
         failed (Audit-ID d6e1)",
        "ask an administrator for the reason, by that Audit-ID",
    );
    report.wait(&[Name::Account, Name::Webhook, Name::Signing], Name::Token);

    // Another token says nothing of the plugin.
    let report = without_credentials(|token| token.logins = vec![token_login(Ok(said))]);
    let outcome = report.outcome(Name::Account);
    assert!(matches!(outcome, Outcome::Failed(_)), "{report}");
    let outcome = report.outcome(Name::Token);
    assert!(matches!(outcome, Outcome::Failed(_)), "{report}");

    // Nor is one to blame that logs in, or that was not tried.
    let report = without_credentials(|token| token.is_own = true);
    report.has_only_failed(Name::Account, "refused", "--context");
    let outcome = report.outcome(Name::Token);
    assert!(matches!(outcome, Outcome::Ok(_)), "{report}");
    let report = without_credentials(|token| {
        token.is_own = true;
        token.logins.clear();
    });
    report.has_only_failed(Name::Account, "refused", "--context");
    report.wait(&[Name::Token], Name::Account);
}

#[test]
fn a_login_that_is_refused_is_told_with_its_id() {
    let refused = |status: u16, body: Body| Answer {
        status,
        body,
        audit_id: Some("d6e1".to_owned()),
    };
    let said = Body::NoCredential("authentication failed".to_owned());
    for (answer, evidence, remedy) in [
        (
            Ok(refused(201, said.clone())),
            "by JWTAuthenticator/company: authentication failed (Audit-ID d6e1)",
            "grep d6e1",
        ),
        (
            Ok(refused(500, Body::Status("internal".to_owned()))),
            "500: internal",
            "grep d6e1",
        ),
        (Err(Unreachable::TimedOut), "no answer", "again"),
    ] {
        let report = with(|seen| {
            seen.token.as_mut().unwrap().logins = vec![token_login(answer)];
        });
        report.has_only_failed(Name::Token, evidence, remedy);
    }
    let report = with(|seen| {
        let objects = seen.objects.as_mut().unwrap();
        let broken = [condition("JWKSFetchValid", "False", "away")];
        objects.jwt.as_mut().unwrap()[0].status = status("Error", &broken);
        seen.token.as_mut().unwrap().logins = vec![token_login(Ok(refused(201, said)))];
    });
    report.has_only_failed(Name::Authenticator, "away", "issuer");
    report.wait(&[Name::Token], Name::Authenticator);

    let report = with(|seen| seen.token.as_mut().unwrap().logins.clear());
    let outcome = report.outcome(Name::Token);
    assert!(matches!(outcome, Outcome::Unseen(_)), "{report}");
}
