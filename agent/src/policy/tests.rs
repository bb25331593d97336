use super::*;

#[test]
fn an_empty_mapping_is_the_defaults() {
    assert_eq!(Policy::from_yaml(b"{}").unwrap(), Policy::default());
}

#[test]
fn the_documented_policy_is_the_defaults() {
    let page = include_str!("../../../docs/configuration.md");
    let (_, section) = page.split_once("## The agent's policy").unwrap();
    let (_, rest) = section.split_once("```yaml\n").unwrap();
    let (documented, _) = rest.split_once("```").unwrap();
    assert_eq!(
        Policy::from_yaml(documented.as_bytes()).unwrap(),
        Policy::default()
    );
}

#[test]
fn every_field_is_read() {
    let policy = Policy::from_yaml(
        br#"
maxLifetimeSeconds: 600
allowedReservedNames: ["system:monitoring", "kubeadm:*"]
allow:
  users: ["oidc:*", "bob"]
  groups: []
requestheaderAllowedNames: [my-proxy]
limits: {nameBytes: 100, groups: 10, subjectBytes: 2000}
ratePerSecond: 5
burst: 7
audit: {logUsernamesAndGroups: enabled}
"#,
    )
    .unwrap();
    let patterns = |names: &[&str]| -> Vec<NamePattern> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    let expected = Policy {
        max_lifetime_seconds: 600,
        allowed_reserved_names: patterns(&["system:monitoring", "kubeadm:*"]),
        allow: Allow {
            users: Some(patterns(&["oidc:*", "bob"])),
            groups: Some(Vec::new()),
        },
        requestheader_allowed_names: vec!["my-proxy".to_owned()],
        limits: Limits {
            name_bytes: 100,
            groups: 10,
            subject_bytes: 2000,
        },
        rate_per_second: 5,
        burst: 7,
        audit: Audit {
            log_usernames_and_groups: Switch::Enabled,
        },
    };
    assert_eq!(policy, expected);
}

#[test]
fn what_is_not_a_policy_is_refused() {
    for (yaml, part) in [
        ("", "empty"),
        (" \n", "empty"),
        ("# maxLifetimeSeconds: 60", "empty"),
        ("---\n# later\n", "empty"),
        ("null", "empty"),
        ("~", "empty"),
        ("- a", ""),
        ("allow:", "allow has no value; "),
        ("allow: {users: null}", "allow.users has no value; "),
        ("allow:\n  groups:\n", "allow.groups has no value; "),
        ("allow:\n  groups: ~\n", "allow.groups has no value; "),
        (
            "allow: {groups: [a, null]}",
            "allow.groups[1] has no value; ",
        ),
        ("- {a: [[], [null]]}", "[0].a[1][0] has no value; "),
        ("maxLifetimeSecond: 5", "maxLifetimeSecond"),
        ("limits: {nameByte: 5}", "nameByte"),
        ("allow: {user: []}", "user"),
        (
            "maxLifetimeSeconds: 0",
            "maxLifetimeSeconds is 0, but must be from 1 to 86400",
        ),
        ("maxLifetimeSeconds: 86401", "maxLifetimeSeconds is 86401"),
        ("maxLifetimeSeconds: -1", ""),
        ("maxLifetimeSeconds: 5\nmaxLifetimeSeconds: 50", ""),
        ("burst: 0", "burst is 0"),
        ("limits: {nameBytes: 0}", "limits.nameBytes is 0"),
        ("allowedReservedNames: ['*']", "'*'"),
        ("allow: {users: ['oidc*']}", "oidc*"),
        ("allow: {groups: ['a:*:b']}", "a:*:b"),
        ("allow: {groups: ['']}", "empty"),
        ("audit: {logUsernamesAndGroups: yes}", ""),
        ("\0", ""),
    ] {
        let text = Policy::from_yaml(yaml.as_bytes()).unwrap_err().to_string();
        assert!(text.contains(part), "{yaml:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_key_in_the_policy_is_shown_to_nobody() {
    const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEG";
    for yaml in [
        format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n"),
        format!("{{-----BEGIN PRIVATE KEY----- {KEY} }}"),
        format!("audit:\n  logUsernamesAndGroups: \"-----BEGIN PRIVATE KEY-----\\n{KEY}\"\n"),
        format!("\"-----BEGIN EC PRIVATE KEY-----\\n{KEY}\": 1\n"),
    ] {
        let error = Policy::from_yaml(yaml.as_bytes()).unwrap_err();
        let text = haulout_operate::error::chain(&error);
        assert!(
            text.contains("--policy") && !text.contains("MIGH"),
            "{text}"
        );
    }
}

#[test]
fn few_aliases_are_followed_and_many_refused() {
    let listed_thrice = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("system:{n}")).collect();
        let yaml =
            format!("allowedReservedNames: &a {names:?}\nallow: {{groups: *a, users: *a}}\n");
        Policy::from_yaml(yaml.as_bytes())
    };
    let policy = listed_thrice(100).unwrap();
    assert_eq!(policy.allow.groups, Some(policy.allowed_reserved_names));
    let error = listed_thrice(REPEATED_EVENTS).unwrap_err();
    let text = haulout_operate::error::chain(&error);
    assert!(text.contains("alias"), "{text}");
}

#[test]
fn no_rate_needs_no_burst() {
    assert!(Policy::from_yaml(b"{ratePerSecond: 0, burst: 0}").is_ok());
}

#[test]
fn entries_that_change_nothing_are_told() {
    let yaml = b"allowedReservedNames: ['system:masters', 'system:x', 'system:node:*', 'system:*']";
    let policy = Policy::from_yaml(yaml).unwrap();
    let idle: Vec<&str> = policy.idle_entries().collect();
    assert_eq!(idle, ["system:masters", "system:node:*"]);
}
