use proptest::prelude::*;
use serde_json::json;

use super::*;

fn user(mapping: &ClaimMapping, claims: Value) -> Result<UserInfo, ClaimError> {
    let Value::Object(claims) = claims else {
        panic!("{claims} is no object")
    };
    mapping.user(&Claims::from(claims))
}

fn default_mapping() -> ClaimMapping {
    ClaimMapping::new("", "")
}

fn groups(claim: &Value) -> Result<Vec<String>, ClaimError> {
    user(
        &default_mapping(),
        json!({"username": "u", "groups": claim}),
    )
    .map(|user| user.groups)
}

#[test]
fn empty_names_mean_the_defaults() {
    assert_eq!(default_mapping(), ClaimMapping::new("username", "groups"));
    let mapping = ClaimMapping::new("sub", "roles");
    let claims = json!({"sub": "s", "roles": ["r"], "username": "u", "groups": ["g"]});
    let user = user(&mapping, claims).unwrap();
    assert_eq!(
        (user.username.as_str(), user.groups),
        ("s", vec!["r".to_owned()])
    );
}

#[test]
fn username_is_text() {
    let name = |claims| user(&default_mapping(), claims).map(|user| user.username);
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
    let mapping = ClaimMapping::new("email", "");
    let verified =
        |value: Value| user(&mapping, json!({"email": "a@b.c", "email_verified": value}));
    assert!(verified(json!(true)).is_ok());
    for other in [json!(false), json!(null), json!("true"), json!(1)] {
        assert_eq!(verified(other), Err(ClaimError::EmailNotVerified));
    }
    assert!(user(&mapping, json!({"email": "a@b.c"})).is_ok());
    let by_name = json!({"username": "u", "email": "a@b.c", "email_verified": false});
    assert!(
        user(&default_mapping(), by_name).is_ok(),
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
        user(&default_mapping(), json!({"username": "u"}))
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
    let error = user(&default_mapping(), claims).unwrap_err();
    assert_eq!(error, ClaimError::DistributedGroups("groups".into()));
    let elsewhere = json!({"username": "u", "_claim_names": {"photo": "src"}});
    assert!(user(&default_mapping(), elsewhere).is_ok());
    let both = json!({"username": "u", "groups": ["g"], "_claim_names": {"groups": "src"}});
    assert_eq!(user(&default_mapping(), both).unwrap().groups, ["g"]);
}

#[test]
fn token_id_becomes_the_credential_id() {
    let with_id = user(&default_mapping(), json!({"username": "u", "jti": "a=b"})).unwrap();
    assert_eq!(
        with_id.extra,
        BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec!["JTI=a=b".to_owned()])])
    );
    assert!(
        user(&default_mapping(), json!({"username": "u"}))
            .unwrap()
            .extra
            .is_empty()
    );
    let number = user(&default_mapping(), json!({"username": "u", "jti": 7}));
    assert_eq!(number, Err(ClaimError::TokenIdType));
}

proptest! {
    #[test]
    fn names_and_groups_come_through_unchanged(
        name in ".*",
        list in prop::collection::vec(".*", 0..20),
        others in prop::collection::btree_map("x[a-z]*", ".*", 0..5),
    ) {
        let mut claims = json!({"username": name, "groups": list});
        claims.as_object_mut().unwrap().extend(others.into_iter().map(|(k, v)| (k, Value::from(v))));
        let user = user(&default_mapping(), claims).unwrap();
        prop_assert_eq!(user.username, name);
        prop_assert_eq!(user.groups, list, "none is added, dropped or moved");
        prop_assert!(user.uid.is_empty() && user.extra.is_empty());
    }

    #[test]
    fn a_claim_whose_name_differs_is_another_claim(name in "[a-zA-Z]{1,10}") {
        prop_assume!(name != "username");
        let other = user(&default_mapping(), json!({name: "alice"}));
        prop_assert!(other.is_err());
    }
}
