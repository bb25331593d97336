use serde_json::{Value as Json, json};

use super::*;

fn compile(mut spec: Json) -> Result<ClaimRules, ConfigurationErrors> {
    let fields = spec.as_object_mut().into_iter();
    fields.for_each(|fields| {
        fields.insert("issuer".to_owned(), json!("https://i"));
        fields.insert("audience".to_owned(), json!("a"));
    });
    ClaimRules::compile(&read(spec))
}

fn read(spec: Json) -> JwtAuthenticatorSpec {
    serde_json::from_value(spec).unwrap()
}

fn errors(spec: Json) -> String {
    compile(spec).unwrap_err().to_string()
}

/// That each specification has these errors. A text may be cut.
fn assert_errors(table: impl IntoIterator<Item = (Json, String)>) {
    for (spec, expected) in table {
        let found = errors(spec);
        assert!(
            found.starts_with(&expected),
            "{found}\n  instead of\n{expected}"
        );
    }
}

#[test]
fn an_email_in_an_expression_must_be_verified() {
    let unverified = "claims.usernameExpression: Invalid value: \"claims.email\": claims.email_verified must be used in claims.usernameExpression or claims.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claims.usernameExpression";
    let name = json!({"usernameExpression": "claims.email"});
    let with_extra = |expression: &str| {
        let extra = json!([{"key": "example.com/v", "valueExpression": expression}]);
        json!({"claims": {"usernameExpression": "claims.email", "extra": extra}})
    };
    let with_rule = |expression: &str| json!({"claims": name, "claimValidationRules": [{"expression": expression}]});
    assert_eq!(errors(json!({"claims": name})), unverified);
    assert_eq!(errors(with_extra("string(claims.email)")), unverified);
    assert_eq!(
        errors(with_rule("claims['email_verified'] == true")),
        unverified
    );
    assert_eq!(
        errors(
            json!({"claims": name, "userValidationRules": [{"expression": "user.username != ''"}]})
        ),
        unverified
    );
    assert!(compile(with_extra("string(claims.email_verified)")).is_ok());
    assert!(compile(with_rule("claims.?email_verified.orValue(true) == true")).is_ok());
    assert!(compile(with_rule("has(claims.email_verified)")).is_ok());
    for (expression, is_good) in [
        (
            "claims.?email_verified.orValue(false) ? claims.email : claims.sub",
            true,
        ),
        ("claims.email_verified ? claims.email : ''", true),
        ("['a'].map(i, i + claims.email)[0]", false),
        ("[claims.?email][0].orValue('')", false),
        ("{'a': claims.email}.a", false),
        ("claims.email.lowerAscii()", false),
        ("claims['email']", true),
        ("claims.mail", true),
    ] {
        let compiled = compile(json!({"claims": {"usernameExpression": expression}}));
        assert_eq!(compiled.is_ok(), is_good, "{expression}");
    }
}

#[test]
fn mistakes_in_mappings_are_named_as_in_kubernetes() {
    assert_errors([
        (
            json!({"claims": {"username": "u", "usernameExpression": "claims.u"}}),
            "claims.username: Invalid value: \"\": claim and expression can't both be set".to_owned(),
        ),
        (
            json!({"claims": {"groups": "g", "groupsExpression": "claims.g"}}),
            "claims.groups: Invalid value: \"\": claim and expression can't both be set".to_owned(),
        ),
        (
            json!({"claims": {"usernameExpression": "claims."}}),
            "claims.usernameExpression: Invalid value: \"claims.\": compilation failed: ERROR: <input>:1:8: Syntax error".to_owned(),
        ),
        (
            json!({"claims": {"groupsExpression": "claims.a + \"b\" + c"}}),
            "claims.groupsExpression: Invalid value: \"claims.a + \\\"b\\\" + c\": compilation failed: ERROR: <input>:1:18: undeclared reference to 'c' (in container '')\n | claims.a + \"b\" + c\n | .................^".to_owned(),
        ),
        (
            json!({"claims": {"groupsExpression": "duration('1h')"}}),
            "claims.groupsExpression: Invalid value: \"duration('1h')\": compilation failed: ERROR: <input>:1:9: the function 'duration' is not supported by Haulout".to_owned(),
        ),
    ]);
}

#[test]
fn mistakes_in_extras_are_named_as_in_kubernetes() {
    let extra = |key: &str, expression: &str| json!({"claims": {"extra": [{"key": key, "valueExpression": expression}]}});
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')";
    assert_errors([
        (extra("", "claims.a"), "claims.extra[0].key: Required value".to_owned()),
        (
            extra("a", "claims.a"),
            "claims.extra[0].key: Invalid value: \"a\": must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned(),
        ),
        (
            extra("a_b/c", "claims.a"),
            format!("claims.extra[0].key: Invalid value: \"a_b\": {subdomain}"),
        ),
        (
            extra("a.b/c d", "claims.a"),
            "claims.extra[0].key: Invalid value: \"c d\": Invalid path".to_owned(),
        ),
        (
            extra("a.b/C", "claims.a"),
            "claims.extra[0].key: Invalid value: \"a.b/C\": must be lowercase".to_owned(),
        ),
        (
            extra("x.k8s.io/a", "claims.a"),
            "claims.extra[0].key: Invalid value: \"x.k8s.io/a\": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use".to_owned(),
        ),
        (
            extra("kubernetes.io/a", "claims.a"),
            "claims.extra[0].key: Invalid value: \"kubernetes.io/a\": k8s.io".to_owned(),
        ),
        (
            extra("a.b/c=d", "claims.a"),
            "claims.extra[0].key: Invalid value: \"a.b/c=d\": extra key names must not contain an equals sign".to_owned(),
        ),
        (extra("a.b/c", ""), "claims.extra[0].valueExpression: Required value".to_owned()),
        (
            extra("a.b/c", "d"),
            "claims.extra[0].valueExpression: Invalid value: \"d\": compilation failed".to_owned(),
        ),
        (
            json!({"claims": {"extra": [
                {"key": "a.b/c", "valueExpression": "''"}, {"key": "a.b/c", "valueExpression": "''"},
            ]}}),
            "claims.extra[1].key: Duplicate value: \"a.b/c\"".to_owned(),
        ),
    ]);
}

#[test]
fn mistakes_in_rules_are_named_as_in_kubernetes() {
    let claim_rule = |rule: Json| json!({"claimValidationRules": [rule]});
    assert_errors([
        (
            claim_rule(json!({})),
            "claimValidationRules[0]: Required value: claim or expression is required".to_owned(),
        ),
        (
            claim_rule(json!({"claim": "a", "expression": "true"})),
            "claimValidationRules[0]: Invalid value: \"a\": claim and expression can't both be set".to_owned(),
        ),
        (
            claim_rule(json!({"claim": "a", "message": "m"})),
            "claimValidationRules[0].message: Invalid value: \"m\": may not be specified when claim is set".to_owned(),
        ),
        (
            claim_rule(json!({"expression": "true", "requiredValue": "v"})),
            "claimValidationRules[0].requiredValue: Invalid value: \"v\": may not be specified when expression is set".to_owned(),
        ),
        (
            claim_rule(json!({"expression": "claims.a"})),
            "claimValidationRules[0].expression: Invalid value: \"claims.a\": must evaluate to bool".to_owned(),
        ),
        (
            json!({"claimValidationRules": [{"claim": "a"}, {"claim": "a"}]}),
            "claimValidationRules[1].claim: Duplicate value: \"a\"".to_owned(),
        ),
        (
            json!({"claimValidationRules": [{"expression": "true"}, {"expression": "true"}]}),
            "claimValidationRules[1].expression: Duplicate value: \"true\"".to_owned(),
        ),
        (
            json!({"userValidationRules": [{"expression": ""}]}),
            "userValidationRules[0].expression: Required value".to_owned(),
        ),
        (
            json!({"userValidationRules": [{"expression": "user.uid"}]}),
            "userValidationRules[0].expression: Invalid value: \"user.uid\": must evaluate to bool".to_owned(),
        ),
        (
            json!({"userValidationRules": [{"expression": "claims.a == ''"}]}),
            "userValidationRules[0].expression: Invalid value: \"claims.a == ''\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'claims'".to_owned(),
        ),
        (
            json!({"userValidationRules": [{"expression": "true"}, {"expression": "true"}]}),
            "userValidationRules[1].expression: Duplicate value: \"true\"".to_owned(),
        ),
        (
            json!({"userValidationRules": vec![json!({"expression": "true"}); 65]}),
            "userValidationRules: Too many: 65: must have at most 64 items".to_owned(),
        ),
        (
            json!({"claimValidationRules": [{}], "userValidationRules": [{"expression": ""}]}),
            "[claimValidationRules[0]: Required value: claim or expression is required, userValidationRules[0].expression: Required value]".to_owned(),
        ),
    ]);
}

/// The examples of the documentation are specifications without mistakes.
#[test]
fn documented_examples_compile() {
    let page = include_str!("../../../../../docs/cel.md");
    let examples = page.split("```yaml\n").skip(1);
    let examples = examples.filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for example in examples {
        let spec: Json = serde_saphyr::from_str(example).unwrap();
        if let Err(errors) = compile(spec) {
            panic!("{errors}\n{example}");
        }
        count += 1;
    }
    assert_eq!(count, 4);
}

/// Rules with this expression, each with another number of spaces behind it so that none stands twice.
fn rules(expression: &str, count: usize) -> Json {
    let rules = (0..count)
        .map(|spaces| json!({"expression": format!("{expression}{}", " ".repeat(spaces))}));
    Json::Array(rules.collect())
}

#[test]
fn all_expressions_of_an_object_have_one_limit() {
    let expression = format!("'{}' != ''", "a".repeat(1_010 - 8));
    let spec = |count: usize, name: String| json!({"claims": {"usernameExpression": name}, "claimValidationRules": rules(&expression, count)});
    // 31 rules have 31 * 1,010 + 30 * 31 / 2 = 31,775 bytes of the 32,768.
    let name = |bytes: usize| format!("'{}'", "a".repeat(bytes - 2));
    assert_eq!(compile(spec(31, name(993))).err(), None);
    let too_long = |field: &str| format!("{field}: Invalid value: ");
    let found = errors(spec(31, name(994)));
    assert!(
        found.starts_with(&too_long("claims.usernameExpression")),
        "{found}"
    );
    let fault = ": all expressions of an object together must be at most 32768 bytes long";
    assert!(found.ends_with(fault), "{found}");
    // What comes after is neither compiled nor complained of.
    let found = errors(spec(64, "nonsense".to_owned()));
    assert!(
        found.starts_with(&too_long("claimValidationRules[31].expression")),
        "{found}"
    );
    assert!(found.ends_with(fault), "{found}");
    assert_eq!(found.matches("Invalid value").count(), 1);
}

#[test]
fn all_patterns_of_an_object_have_one_limit() {
    let fault = "the patterns of all expressions together take more than 4 MiB; Haulout does not support that";
    // About 200 KiB each.
    let large = rules("'a'.matches('[^x]{200}')", 64);
    let found = errors(json!({"claimValidationRules": large}));
    assert!(
        found.contains("<input>:1:13: ") && found.contains(fault),
        "{found}"
    );
    assert_eq!(found.matches("Invalid value").count(), 1);
    assert!(
        compile(json!({"claimValidationRules": rules("'a'.matches('[^x]{200}')", 20)})).is_ok()
    );
    // Little ones take something, too: 16 KiB each.
    let many = |count: usize| format!("[{}] == []", vec!["'a'.matches('a')"; count].join(","));
    let little = |count: usize| json!({"claimValidationRules": [{"expression": many(100)}, {"expression": many(count)}]});
    assert!(compile(little(150)).is_ok());
    assert!(errors(little(160)).contains(fault));
}
