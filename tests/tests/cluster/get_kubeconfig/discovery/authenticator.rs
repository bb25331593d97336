//! Which authenticator, and what it says.

use serde_json::json;

use super::{AUTHENTICATOR, ENV, ISSUER, Site};

pub(super) async fn c105_authenticators_are_none_several_missing_or_out_of_reach(site: &Site) {
    let run = async |flags: &[&str]| site.run(&[&[ENV, ISSUER], flags].concat()).await;
    run(&[]).await.assert_fails("no authenticators were found");
    site.authenticator("pinniped.dev", "this-cluster", &site.inline_ca())
        .await;
    site.apply(&json!({
        "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1", "kind": "WebhookAuthenticator",
        "metadata": {"name": "own"}, "spec": {"endpoint": "https://review.example.com"},
    }))
    .await;
    let several = run(&[]).await;
    several.assert_fails(
        "multiple authenticators were found, so the --concierge-authenticator-type/--concierge-authenticator-name flags",
    );
    several.assert_fails("there are JWTAuthenticator company, WebhookAuthenticator own");
    for (flags, name, type_) in [
        (
            &["--concierge-authenticator-type=WEBHOOK"][..],
            "own",
            "webhook",
        ),
        (&[AUTHENTICATOR], "company", "jwt"),
        (
            &["--concierge-authenticator-type=jwt", AUTHENTICATOR],
            "company",
            "jwt",
        ),
    ] {
        let arguments = run(flags).await.arguments();
        for flag in [
            format!("--concierge-authenticator-name={name}"),
            format!("--concierge-authenticator-type={type_}"),
        ] {
            assert!(arguments.contains(&flag), "{flag}: {arguments:?}");
        }
    }
    for (flags, expected) in [
        (
            &[
                "--concierge-authenticator-type=jwt",
                "--concierge-authenticator-name=own",
            ][..],
            "could not find JWTAuthenticator \"own\"",
        ),
        (
            &["--concierge-authenticator-name=x"],
            "no authenticator \"x\" was found",
        ),
    ] {
        run(flags).await.assert_fails(expected);
    }
    let bad = run(&["--concierge-authenticator-type=oidc"]).await;
    let text = "invalid authenticator type \"oidc\", supported values are \"webhook\" and \"jwt\"";
    assert!(bad.stderr.contains(text), "{}", bad.stderr);
    assert_eq!(bad.status.code(), Some(2));

    let limited = site
        .limited_to("half", "credentialissuers.config.concierge.pinniped.dev")
        .await;
    let unlisted = limited.run(&[ENV, ISSUER]).await;
    unlisted.assert_fails("could not list JWTAuthenticators");
    let both = [
        "--concierge-authenticator-type=webhook",
        "--concierge-authenticator-name=own",
    ];
    let unread = limited.run(&[&[ENV, ISSUER], &both[..]].concat()).await;
    unread.assert_fails("could not get WebhookAuthenticator \"own\"");
    site.delete(&["webhookauthenticator", "own"]).await;
}

pub(super) async fn c044_an_audience_of_pinnipeds_own_is_refused(site: &Site) {
    let expected = "request audience is not allowed to include the substring '.pinniped.dev': client.oauth.pinniped.dev-x";
    let flag = "--oidc-request-audience=client.oauth.pinniped.dev-x";
    site.authenticator("pinniped.dev", "this-cluster", &site.inline_ca())
        .await;
    site.run(&[ISSUER, flag]).await.assert_fails(expected);
    site.authenticator(
        "pinniped.dev",
        "client.oauth.pinniped.dev-x",
        &site.inline_ca(),
    )
    .await;
    site.run(&[ISSUER]).await.assert_fails(expected);
}
