//! The objects of `docs/authenticators.md`: whom a token of each issuer makes.

use std::collections::BTreeMap;

use haulout_api::authenticator::JWTAuthenticator;
use haulout_api::identity::UserInfo;
use haulout_jwt::claims::{ClaimError, ClaimRules};
use haulout_jwt::expression::Budget;
use haulout_jwt::verify::Claims;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/authenticators.md");

/// The rules of each `JWTAuthenticator` on the page, by its name.
fn examples() -> BTreeMap<String, ClaimRules> {
    let blocks = PAGE.split("```yaml\n").skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .filter(|text| text.contains("\nkind: JWTAuthenticator\n"))
        .map(|text| {
            let object: JWTAuthenticator = serde_saphyr::from_str(text).unwrap();
            let rules = ClaimRules::compile(&object.spec).unwrap();
            (object.metadata.name.unwrap(), rules)
        })
        .collect()
}

fn user(rules: &ClaimRules, claims: &Value) -> Result<UserInfo, ClaimError> {
    let claims = Claims::from(claims.as_object().unwrap().clone());
    rules.user(&claims, Budget::quick())
}

#[test]
fn each_example_gives_the_user_of_a_token() {
    let mut examples = examples();
    for (name, claims, username, groups) in [
        (
            "staff",
            json!({"preferred_username": "alice", "groups": ["developers"]}),
            "oidc:alice",
            vec!["oidc:developers"],
        ),
        (
            "supervisor",
            json!({"sub": "0f1e", "username": "alice", "groups": ["developers", "on-call"]}),
            "alice",
            vec!["developers", "on-call"],
        ),
        (
            "keycloak",
            json!({
                "sub": "f:1:alice",
                "preferred_username": "alice",
                "groups": ["developers"],
                "realm_access": {"roles": ["offline_access"]},
            }),
            "keycloak:alice",
            vec!["keycloak:developers"],
        ),
        (
            "entra",
            json!({
                "oid": "6e1d3f0a",
                "preferred_username": "alice@example.com",
                "groups": ["b1946ac9"],
            }),
            "entra:6e1d3f0a",
            vec!["entra:b1946ac9"],
        ),
        (
            "google",
            json!({"email": "alice@example.com", "email_verified": true, "hd": "example.com"}),
            "google:alice@example.com",
            vec![],
        ),
        (
            "okta",
            json!({
                "sub": "00u1",
                "email": "Alice@example.com",
                "email_verified": true,
                "groups": ["Everyone"],
            }),
            "alice@example.com",
            vec!["okta:Everyone"],
        ),
        (
            "github-actions",
            json!({
                "repository_id": "42",
                "repository_owner_id": "1234567",
                "environment": "production",
                "jti": "1b2c",
            }),
            "github:repository:42",
            vec!["github:environment:production"],
        ),
    ] {
        let rules = examples.remove(name).unwrap();
        let user = user(&rules, &claims).unwrap();
        assert_eq!(
            (user.username.as_str(), user.groups),
            (username, groups.into_iter().map(str::to_owned).collect()),
            "{name}"
        );
    }
    assert!(examples.is_empty(), "not tried: {:?}", examples.keys());
}

#[test]
fn rules_of_examples_keep_others_out() {
    let examples = examples();
    for (name, claims) in [
        ("google", json!({"email": "alice@example.com"})),
        (
            "google",
            json!({"email": "alice@example.com", "email_verified": false, "hd": "example.com"}),
        ),
        (
            "okta",
            json!({"sub": "00u1", "email": "alice@example.org", "email_verified": true}),
        ),
        (
            "okta",
            json!({"sub": "00u1", "email": "alice@example.com", "email_verified": false}),
        ),
        (
            "github-actions",
            json!({"repository_id": "42", "repository_owner_id": "7", "environment": "production"}),
        ),
        (
            "github-actions",
            json!({"repository_id": "42", "repository_owner_id": "1234567", "environment": "test"}),
        ),
    ] {
        assert!(user(&examples[name], &claims).is_err(), "{name} {claims}");
    }
}
