use haulout_api::authenticator::JwtAuthenticatorSpec;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn user(rules: &ClaimRules, claims: Json) -> Result<UserInfo, ClaimError> {
    let Json::Object(claims) = claims else {
        panic!("{claims} is no object")
    };
    rules.user(&Claims::from(claims), Budget::quick())
}

fn by_name(username: &str, groups: &str) -> ClaimRules {
    rules(json!({"claims": {"username": username, "groups": groups}}))
}

/// The rules of a specification, which is given without its issuer and audience.
fn rules(spec: Json) -> ClaimRules {
    ClaimRules::compile(&specification(spec)).unwrap()
}

fn specification(mut spec: Json) -> JwtAuthenticatorSpec {
    let named = spec.as_object_mut().unwrap();
    named.insert("issuer".to_owned(), json!("https://i"));
    named.insert("audience".to_owned(), json!("a"));
    serde_json::from_value(spec).unwrap()
}

fn groups(claim: &Json) -> Result<Vec<String>, ClaimError> {
    user(&by_name("", ""), json!({"username": "u", "groups": claim})).map(|user| user.groups)
}

#[test]
fn empty_names_mean_the_defaults() {
    let claims = json!({"username": "u", "groups": ["g"]});
    let given = user(&by_name("username", "groups"), claims.clone());
    assert_eq!(user(&by_name("", ""), claims.clone()), given);
    assert_eq!(user(&rules(json!({})), claims), given);
    let mapping = by_name("sub", "roles");
    let claims = json!({"sub": "s", "roles": ["r"], "username": "u", "groups": ["g"]});
    let user = user(&mapping, claims).unwrap();
    assert_eq!(
        (user.username.as_str(), user.groups),
        ("s", vec!["r".to_owned()])
    );
}

#[test]
fn username_is_text() {
    let name = |claims| user(&by_name("", ""), claims).map(|user| user.username);
    assert_eq!(name(json!({"username": "alice"})).unwrap(), "alice");
    assert_eq!(name(json!({"username": ""})).unwrap(), "");
    assert_eq!(name(json!({"username": null})).unwrap(), "");
    assert_eq!(
        name(json!({"sub": "alice"})).unwrap_err().to_string(),
        "oidc: parse username claims \"username\": claim not present"
    );
    for other in [json!(1), json!(true), json!(["alice"]), json!({})] {
        let error = name(json!({"username": other})).unwrap_err();
        assert_eq!(error, ClaimError::UsernameType("username".into()));
    }
}

#[test]
fn an_email_must_not_be_unverified() {
    let mapping = by_name("email", "");
    let verified = |value: Json| user(&mapping, json!({"email": "a@b.c", "email_verified": value}));
    assert!(verified(json!(true)).is_ok());
    for other in [json!(false), json!(null), json!("true"), json!(1)] {
        assert_eq!(verified(other), Err(ClaimError::EmailNotVerified));
    }
    assert!(user(&mapping, json!({"email": "a@b.c"})).is_ok());
    let named = json!({"username": "u", "email": "a@b.c", "email_verified": false});
    assert!(
        user(&by_name("", ""), named).is_ok(),
        "only where the email is the name"
    );
}

#[test]
fn groups_are_one_text_or_a_list_of_texts() {
    assert_eq!(groups(&json!("one")).unwrap(), ["one"]);
    assert_eq!(groups(&json!(["b", "a", "b"])).unwrap(), ["b", "a", "b"]);
    for none in [json!([]), json!(null)] {
        assert_eq!(groups(&none).unwrap(), Vec::<String>::new());
    }
    for other in [
        json!({"a": "b"}),
        json!(1),
        json!(["a", 1]),
        json!(["a", null]),
        json!([["a"]]),
        json!(true),
    ] {
        assert_eq!(groups(&other), Err(ClaimError::GroupsType("groups".into())));
    }
    assert_eq!(
        user(&by_name("", ""), json!({"username": "u"}))
            .unwrap()
            .groups,
        Vec::<String>::new()
    );
}

#[test]
fn distributed_groups_are_not_taken_for_none() {
    let claims = json!({
        "username": "u",
        "_claim_names": {"groups": "src"},
        "_claim_sources": {"src": {"endpoint": "https://g"}},
    });
    let error = user(&by_name("", ""), claims).unwrap_err();
    assert_eq!(error, ClaimError::DistributedGroups("groups".into()));
}

#[test]
fn token_id_becomes_the_credential_id() {
    let with_id = user(&by_name("", ""), json!({"username": "u", "jti": "a=b"})).unwrap();
    assert_eq!(
        with_id.extra,
        BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec!["JTI=a=b".to_owned()])])
    );
    assert!(
        user(&by_name("", ""), json!({"username": "u"}))
            .unwrap()
            .extra
            .is_empty()
    );
    for other in [json!(""), json!(7), json!(null), json!(["a"])] {
        let without = user(&by_name("", ""), json!({"username": "u", "jti": other}));
        assert!(without.unwrap().extra.is_empty());
    }
}

proptest! {
    #[test]
    fn names_and_groups_come_through_unchanged(
        name in ".*",
        list in prop::collection::vec(".*", 0..20),
        others in prop::collection::btree_map("x[a-z]*", ".*", 0..5),
    ) {
        let mut claims = json!({"username": name, "groups": list});
        claims.as_object_mut().unwrap().extend(others.into_iter().map(|(k, v)| (k, Json::from(v))));
        let user = user(&by_name("", ""), claims).unwrap();
        prop_assert_eq!(user.username, name);
        prop_assert_eq!(user.groups, list, "none is added, dropped or moved");
        prop_assert!(user.uid.is_empty() && user.extra.is_empty());
    }

    #[test]
    fn a_claim_whose_name_differs_is_another_claim(name in "[a-zA-Z]{1,10}") {
        prop_assume!(name != "username");
        let other = user(&by_name("", ""), json!({name: "alice"}));
        prop_assert!(other.is_err());
    }
}

fn refusal(rules: &ClaimRules, claims: Json) -> String {
    user(rules, claims).unwrap_err().to_string()
}

#[test]
fn expressions_give_name_and_groups() {
    let rules = rules(json!({"claims": {
        "usernameExpression": "claims.sub + '@' + claims.tenant",
        "groupsExpression": "claims.realm_access.roles.filter(r, r != 'default')",
        "extra": [
            {"key": "example.com/team", "valueExpression": "claims.?team.orValue('')"},
            {"key": "example.com/sites", "valueExpression": "claims.sites"},
            {"key": "example.com/none", "valueExpression": "null"},
        ],
    }}));
    let claims = json!({
        "sub": "s", "tenant": "t", "sites": ["a", "", "b"], "jti": "7",
        "realm_access": {"roles": ["default", "dev", ""]},
    });
    let user = user(&rules, claims).unwrap();
    assert_eq!(user.username, "s@t");
    assert_eq!(user.groups, ["dev"], "empty ones are dropped");
    let extra = [
        (CREDENTIAL_ID, vec!["JTI=7".to_owned()]),
        ("example.com/sites", vec!["a".to_owned(), "b".to_owned()]),
    ];
    let extra = extra.map(|(key, values)| (key.to_owned(), values));
    assert_eq!(
        user.extra,
        BTreeMap::from(extra),
        "keys without a value are left out"
    );
}

#[test]
fn what_expressions_give_is_judged_at_the_login() {
    let name = rules(json!({"claims": {"usernameExpression": "claims.sub"}}));
    for (sub, error) in [
        (
            json!(""),
            "oidc: empty username via CEL expression is not allowed",
        ),
        (
            json!(7),
            "oidc: error evaluating username claim expression: username claim expression must return a string",
        ),
        (
            json!(null),
            "oidc: error evaluating username claim expression: username claim expression must return a string",
        ),
    ] {
        assert_eq!(refusal(&name, json!({"sub": sub})), error);
    }
    assert_eq!(
        refusal(&name, json!({})),
        "oidc: error evaluating username claim expression: expression 'claims.sub' resulted in error: no such key: sub"
    );
    let groups = rules(json!({"claims": {"groupsExpression": "claims.g"}}));
    for (given, wanted) in [
        (json!("one"), vec!["one"]),
        (json!(["b", "a"]), vec!["b", "a"]),
        (json!(""), vec![]),
        (json!([]), vec![]),
        (json!(null), vec![]),
    ] {
        let user = user(&groups, json!({"username": "u", "g": given})).unwrap();
        assert_eq!(user.groups, wanted);
    }
    for other in [
        json!(1),
        json!(true),
        json!({}),
        json!(["a", 1]),
        json!([["a"]]),
    ] {
        assert_eq!(
            refusal(&groups, json!({"username": "u", "g": other})),
            "oidc: error evaluating group claim expression: expression 'claims.g' must return a string or a list of strings"
        );
    }
}

#[test]
fn claims_must_be_as_required() {
    let rules = rules(json!({"claimValidationRules": [
        {"claim": "hd", "requiredValue": "example.com"},
        {"expression": "claims.exp - claims.nbf <= 86400", "message": "lives longer than a day"},
    ]}));
    let claims = |hd: Json, exp: u64| json!({"username": "u", "hd": hd, "exp": exp, "nbf": 0});
    assert!(user(&rules, claims(json!("example.com"), 86_400)).is_ok());
    assert_eq!(
        refusal(&rules, json!({"username": "u"})),
        "oidc: required claim hd not present in ID token"
    );
    assert_eq!(
        refusal(&rules, claims(json!("example.org"), 1)),
        "oidc: required claim hd value does not match. Got = example.org, want = example.com"
    );
    assert_eq!(
        refusal(&rules, claims(json!(["example.com"]), 1)),
        "oidc: parse claim hd: claim is not a string"
    );
    assert_eq!(
        refusal(&rules, claims(json!("example.com"), 86_401)),
        "oidc: error evaluating claim validation expression: validation expression \
         'claims.exp - claims.nbf <= 86400' failed: lives longer than a day"
    );
}

#[test]
fn rules_judge_the_user_as_it_will_be() {
    let rules = rules(json!({
        "usernamePrefix": "oidc:",
        "groupsPrefix": "g:",
        "claims": {"extra": [{"key": "example.com/a", "valueExpression": "claims.sub"}]},
        "userValidationRules": [
            {"expression": "user.username.startsWith('oidc:') && user.uid == ''"},
            {"expression": "user.groups.all(g, g.startsWith('g:'))"},
            {"expression": "user.extra['example.com/a'] == ['x']", "message": "no x"},
        ],
    }));
    let claims = |sub: &str| json!({"username": "u", "groups": ["a", "b"], "sub": sub, "jti": "i"});
    let good = user(&rules, claims("x")).unwrap();
    assert_eq!(good.username, "oidc:u");
    assert_eq!(good.groups, ["g:a", "g:b"]);
    assert_eq!(
        good.extra["example.com/a"],
        ["x"],
        "extras keep their values"
    );
    assert_eq!(good.extra[CREDENTIAL_ID], ["JTI=i"]);
    assert_eq!(
        refusal(&rules, claims("y")),
        "oidc: error evaluating user info validation rule: validation expression \
         'user.extra['example.com/a'] == ['x']' failed: no x"
    );
}

#[test]
fn a_prefix_makes_no_name_out_of_nothing() {
    let rules = rules(json!({"usernamePrefix": "oidc:", "groupsPrefix": "g:"}));
    for none in [json!(""), json!(null)] {
        let user = user(&rules, json!({"username": none})).unwrap();
        assert_eq!(user.username, "", "left for the caller to refuse");
    }
    let user = user(&rules, json!({"username": "a", "groups": ["", "g"]})).unwrap();
    assert_eq!(user.groups, ["", "g:g"]);
}

#[test]
fn a_larger_budget_may_help() {
    let rules = rules(json!({"claimValidationRules": [
        {"expression": "claims.o.l.all(a, claims.o.l.exists(b, a == b))"},
    ]}));
    let list: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let Json::Object(claims) = json!({"username": "u", "o": {"l": list}}) else {
        panic!("it is an object")
    };
    let claims = Claims::from(claims);
    let error = rules.user(&claims, Budget::quick()).unwrap_err();
    assert!(error.is_over_budget());
    assert_eq!(
        error.to_string(),
        "oidc: error evaluating claim validation expression: expression 'claims.o.l.all(a, claims.o.l.exists(b, a == b))' resulted in error: evaluation needs more steps than one login may take"
    );
    assert!(rules.user(&claims, Budget::full()).is_ok());
}

#[test]
fn no_error_says_twice_why() {
    use std::error::Error;

    for (configuration, token) in [
        (
            json!({"claims": {"usernameExpression": "claims.team"}}),
            json!({}),
        ),
        (
            json!({"claims": {"usernameExpression": "claims.?team"}}),
            json!({}),
        ),
        (json!({"claims": {"usernameExpression": "''"}}), json!({})),
        (
            json!({"claims": {"groupsExpression": "1"}}),
            json!({"username": "u"}),
        ),
        (
            json!({"claims": {"groups": "groups"}}),
            json!({"username": "u", "groups": 1}),
        ),
        (
            json!({"claimValidationRules": [{"expression": "false"}]}),
            json!({"username": "u"}),
        ),
        (
            json!({"claimValidationRules": [{"claim": "a"}]}),
            json!({"username": "u"}),
        ),
        (json!({}), json!({"username": "u", "_claim_names": 1})),
        (json!({}), json!({})),
    ] {
        let error = user(&rules(configuration), token).unwrap_err();
        // All of it is in the text, as it is in Kubernetes.
        assert!(error.source().is_none(), "{error}: {:?}", error.source());
    }
    let rules = rules(json!({"claims": {"usernameExpression": "claims.team"}}));
    assert_eq!(
        refusal(&rules, json!({})),
        "oidc: error evaluating username claim expression: expression 'claims.team' resulted in error: no such key: team"
    );
}
