use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::{Allow, Limits};
use super::*;

fn request(username: &str, groups: &[&str]) -> CertificateRequest {
    CertificateRequest {
        audit_id: "0b4c6f3e".to_owned(),
        username: username.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        extra: BTreeMap::new(),
        public_key: String::new(),
        lifetime_seconds: 300,
        evidence: None,
    }
}

fn patterns(names: &[&str]) -> Vec<NamePattern> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A policy that allows as much as a policy can.
fn generous() -> Policy {
    Policy {
        allowed_reserved_names: patterns(&["system:*", "kubeadm:*", "system:masters"]),
        ..Policy::default()
    }
}

fn user(name: &str, policy: &Policy) -> Result<(), Refusal> {
    judge(&request(name, &[]), policy)
}

fn group(name: &str, policy: &Policy) -> Result<(), Refusal> {
    judge(&request("alice", &["devs", name, "ops"]), policy)
}

/// The list of SECURITY.md, whatever the file says.
#[test]
fn names_that_no_policy_can_allow() {
    let policy = Policy {
        requestheader_allowed_names: vec!["my-proxy".to_owned()],
        ..generous()
    };
    for name in [
        "system:node:x",
        "system:node:",
        "system:node:a:b",
        "system:apiserver",
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:kube-proxy",
        "system:kube-",
        "system:aggregator",
        "system:serviceaccount:kube-system:default",
        "system:serviceaccount:kube-system:",
        "front-proxy-client",
        "aggregator",
        "kube-aggregator",
        "system:auth-proxy",
        "my-proxy",
        "haulout:webhook",
        "haulout:",
        "haulout:canary2",
        "haulout:canary ",
    ] {
        assert_eq!(user(name, &policy), Err(Refusal::ForbiddenUser), "{name:?}");
        assert_eq!(
            user(name, &policy).unwrap_err().reason(),
            SigningFailureReason::RefusedByPolicy
        );
    }
    for name in [
        "system:masters",
        "system:nodes",
        "system:bootstrappers",
        "system:bootstrappers:kubeadm:default-node-token",
        "system:bootstrappers:",
        "system:serviceaccounts:kube-system",
        "haulout:canary",
        "haulout:x",
    ] {
        assert_eq!(
            group(name, &policy),
            Err(Refusal::ForbiddenGroup),
            "{name:?}"
        );
        assert_eq!(
            group(name, &policy).unwrap_err().reason(),
            SigningFailureReason::RefusedByPolicy
        );
    }
}

#[test]
fn reserved_names_are_refused_unless_listed() {
    for name in [
        "system:",
        "system:anonymous",
        "system:monitoring",
        "system:serviceaccount:default:deployer",
        "system:node",
        "system:nodes",
        "system:masters",
        "system:authenticated",
        "kubeadm:",
        "kubeadm:cluster-admins",
    ] {
        assert_eq!(
            user(name, &Policy::default()),
            Err(Refusal::ReservedUser),
            "{name:?}"
        );
        assert_eq!(user(name, &generous()), Ok(()), "{name:?}");
    }
    for name in [
        "system:",
        "system:unauthenticated",
        "system:monitoring",
        "system:serviceaccounts",
        "system:serviceaccounts:kube-system2",
        "system:bootstrappers2",
        "system:authenticated2",
        "system:nodes2",
        "kubeadm:cluster-admins",
        "kubeadm:",
    ] {
        assert_eq!(
            group(name, &Policy::default()),
            Err(Refusal::ReservedGroup),
            "{name:?}"
        );
        assert_eq!(group(name, &generous()), Ok(()), "{name:?}");
    }
}

#[test]
fn one_listed_name_opens_no_other() {
    let policy = Policy {
        allowed_reserved_names: patterns(&["system:monitoring", "kubeadm:ops:*"]),
        ..Policy::default()
    };
    for (name, verdict) in [
        ("system:monitoring", Ok(())),
        ("system:monitoring2", Err(Refusal::ReservedGroup)),
        ("system:monitorin", Err(Refusal::ReservedGroup)),
        ("system:monitoring:x", Err(Refusal::ReservedGroup)),
        ("kubeadm:ops:a", Ok(())),
        ("kubeadm:ops", Err(Refusal::ReservedGroup)),
        ("kubeadm:opsx", Err(Refusal::ReservedGroup)),
    ] {
        assert_eq!(group(name, &policy), verdict, "{name:?}");
    }
}

#[test]
fn everybody_may_be_authenticated() {
    let strict = Policy {
        allow: Allow {
            users: None,
            groups: Some(Vec::new()),
        },
        ..Policy::default()
    };
    for policy in [&Policy::default(), &generous(), &strict] {
        assert_eq!(
            judge(&request("alice", &["system:authenticated"]), policy),
            Ok(())
        );
    }
}

/// Go trims header values on some paths, so that the trimmed name is who the user is there.
#[test]
fn spaces_around_a_name_hide_nothing() {
    let policy = Policy {
        requestheader_allowed_names: vec!["my-proxy".to_owned()],
        allowed_reserved_names: patterns(&["system:monitoring"]),
        ..Policy::default()
    };
    let padded = |name: &str| {
        [
            format!(" {name}"),
            format!("{name} "),
            format!("  {name}\u{a0}"),
        ]
    };
    for name in ["system:node:x", "aggregator", "my-proxy", "haulout:canary"] {
        for name in padded(name) {
            assert_eq!(
                user(&name, &policy),
                Err(Refusal::ForbiddenUser),
                "{name:?}"
            );
        }
    }
    for name in ["system:masters", "system:nodes", "haulout:x"] {
        for name in padded(name) {
            assert_eq!(
                group(&name, &policy),
                Err(Refusal::ForbiddenGroup),
                "{name:?}"
            );
        }
    }
    for name in ["system:monitoring", "system:authenticated", "kubeadm:x"] {
        for name in padded(name) {
            assert_eq!(user(&name, &policy), Err(Refusal::ReservedUser), "{name:?}");
            assert_eq!(
                group(&name, &policy),
                Err(Refusal::ReservedGroup),
                "{name:?}"
            );
        }
    }
}

#[test]
fn control_characters_and_empty_groups_are_refused() {
    for control in ['\0', '\t', '\n', '\r', '\u{7f}', '\u{85}'] {
        for name in [
            format!("{control}devs"),
            format!("a{control}b"),
            format!("devs{control}"),
        ] {
            let refused = Err(Refusal::ControlCharacter);
            assert_eq!(user(&name, &generous()), refused, "{name:?}");
            assert_eq!(group(&name, &generous()), refused, "{name:?}");
        }
    }
    assert_eq!(group("", &generous()), Err(Refusal::EmptyGroup));
    assert_eq!(
        Refusal::EmptyGroup.reason(),
        SigningFailureReason::InvalidRequest
    );
}

/// Names are bytes: what only looks like a reserved name is an ordinary one, to Kubernetes too.
#[test]
fn look_alikes_are_other_names() {
    for name in [
        "System:masters",
        "SYSTEM:MASTERS",
        " padded ",
        "\u{455}ystem:masters",
        "system\u{ff1a}masters",
        "system\u{2236}masters",
        "\u{200b}system:masters",
        "systém:masters",
        "syste\u{301}m:masters",
        "system",
        "kubeadm",
        "haulout",
        "Haulout:canary",
        "front-proxy-client2",
        "Aggregator",
    ] {
        assert_eq!(user(name, &Policy::default()), Ok(()), "{name:?}");
        assert_eq!(group(name, &Policy::default()), Ok(()), "{name:?}");
    }
    for name in [
        "system:masters\u{200b}",
        "system:authenticated ",
        "system:Masters",
    ] {
        assert_eq!(
            group(name, &Policy::default()),
            Err(Refusal::ReservedGroup),
            "{name:?}"
        );
    }
}

#[test]
fn an_allow_list_narrows_users_and_groups_each_for_itself() {
    let policy = Policy {
        allow: Allow {
            users: Some(patterns(&["bob", "oidc:*"])),
            groups: Some(patterns(&["devs", "oidc:team:*"])),
        },
        ..Policy::default()
    };
    for (name, verdict) in [
        ("bob", Ok(())),
        ("oidc:alice", Ok(())),
        ("oidc:", Ok(())),
        ("oidc", Err(Refusal::UnlistedUser)),
        ("oidcx:alice", Err(Refusal::UnlistedUser)),
        ("Bob", Err(Refusal::UnlistedUser)),
        ("alice", Err(Refusal::UnlistedUser)),
        ("", Err(Refusal::NoUsername)),
    ] {
        assert_eq!(
            judge(&request(name, &["devs"]), &policy),
            verdict,
            "{name:?}"
        );
    }
    for (groups, verdict) in [
        (&[][..], Ok(())),
        (&["devs", "oidc:team:a"], Ok(())),
        (&["devs", "ops"], Err(Refusal::UnlistedGroup)),
        (&["oidc:other"], Err(Refusal::UnlistedGroup)),
        (&[" devs"], Err(Refusal::UnlistedGroup)),
    ] {
        assert_eq!(
            judge(&request("bob", groups), &policy),
            verdict,
            "{groups:?}"
        );
    }
    let nobody = Policy {
        allow: Allow {
            users: Some(Vec::new()),
            groups: None,
        },
        ..Policy::default()
    };
    assert_eq!(user("alice", &nobody), Err(Refusal::UnlistedUser));
}

/// A list of allowed names opens nothing that is reserved or never signed.
#[test]
fn an_allow_list_only_narrows() {
    let policy = Policy {
        allow: Allow {
            users: Some(patterns(&["system:*", "front-proxy-client"])),
            groups: Some(patterns(&[
                "system:*",
                "kubeadm:cluster-admins",
                "haulout:*",
            ])),
        },
        ..Policy::default()
    };
    assert_eq!(
        user("system:monitoring", &policy),
        Err(Refusal::ReservedUser)
    );
    assert_eq!(
        user("front-proxy-client", &policy),
        Err(Refusal::ForbiddenUser)
    );
    let with = |group: &str| judge_group(group, &policy);
    assert_eq!(with("system:masters"), Err(Refusal::ForbiddenGroup));
    assert_eq!(with("system:monitoring"), Err(Refusal::ReservedGroup));
    assert_eq!(with("kubeadm:cluster-admins"), Err(Refusal::ReservedGroup));
    assert_eq!(with("haulout:x"), Err(Refusal::ForbiddenGroup));
}

#[test]
fn the_canary_is_signed_without_rights_under_any_policy() {
    let nobody = Policy {
        allow: Allow {
            users: Some(Vec::new()),
            groups: Some(Vec::new()),
        },
        ..Policy::default()
    };
    let canary = || CertificateRequest {
        lifetime_seconds: CANARY_LIFETIME_SECONDS,
        ..request(CANARY_USERNAME, &[])
    };
    assert_eq!(judge(&canary(), &nobody), Ok(()));
    let grouped = request(CANARY_USERNAME, &["devs"]);
    assert_eq!(judge(&grouped, &generous()), Err(Refusal::CanaryWithRights));
    let mut extra = canary();
    extra.extra.insert("a.b/c".to_owned(), vec!["x".to_owned()]);
    assert_eq!(judge(&extra, &generous()), Err(Refusal::CanaryWithRights));
    let mut long = canary();
    long.lifetime_seconds = CANARY_LIFETIME_SECONDS + 1;
    assert_eq!(judge(&long, &generous()), Err(Refusal::CanaryLifetime));
    let brief = Policy {
        max_lifetime_seconds: 60,
        ..generous()
    };
    assert_eq!(judge(&canary(), &brief), Err(Refusal::Lifetime(60)));
}

#[test]
fn lifetimes_are_from_one_second_to_the_cap() {
    for (seconds, verdict) in [
        (0, Err(Refusal::Lifetime(3600))),
        (1, Ok(())),
        (3600, Ok(())),
        (3601, Err(Refusal::Lifetime(3600))),
        (u32::MAX, Err(Refusal::Lifetime(3600))),
    ] {
        let mut request = request("alice", &[]);
        request.lifetime_seconds = seconds;
        assert_eq!(judge(&request, &Policy::default()), verdict, "{seconds}");
    }
}

#[test]
fn evidence_is_refused_whatever_it_is() {
    for evidence in [
        json!({"token": "t"}),
        json!("t"),
        json!(false),
        json!(null),
        json!({}),
    ] {
        let mut request = request("alice", &[]);
        request.evidence = Some(evidence);
        assert_eq!(judge(&request, &generous()), Err(Refusal::Evidence));
        assert_eq!(
            Refusal::Evidence.reason(),
            SigningFailureReason::InvalidRequest
        );
    }
}

#[test]
fn audit_ids_are_short_and_plain() {
    let longest = "a".repeat(64);
    for (id, good) in [
        ("a", true),
        ("A.b_c-9", true),
        (&longest, true),
        ("", false),
        (&format!("{longest}a"), false),
        ("a b", false),
        ("a\n", false),
        ("a\"", false),
        ("ä", false),
    ] {
        let mut request = request("alice", &[]);
        request.audit_id = id.to_owned();
        let verdict = if good { Ok(()) } else { Err(Refusal::AuditId) };
        assert_eq!(judge(&request, &Policy::default()), verdict, "{id:?}");
    }
}

#[test]
fn keys_of_extra_can_be_told_from_values() {
    for (key, verdict) in [
        ("a.b/c", Ok(())),
        ("", Err(Refusal::ExtraKey)),
        ("a=b", Err(Refusal::ExtraKey)),
    ] {
        let mut request = request("alice", &[]);
        request.extra.insert(key.to_owned(), vec!["x=y".to_owned()]);
        assert_eq!(judge(&request, &Policy::default()), verdict, "{key:?}");
    }
}

#[test]
fn sizes_end_at_their_limits() {
    let policy = Policy {
        limits: Limits {
            name_bytes: 10,
            groups: 3,
            subject_bytes: 80,
        },
        ..Policy::default()
    };
    let ten = "a".repeat(10);
    let eleven = "ä".repeat(5) + "a";
    let too_long = Err(Refusal::NameTooLong(10));
    assert_eq!(user(&ten, &policy), Ok(()));
    assert_eq!(user(&eleven, &policy), too_long);
    assert_eq!(judge(&request("b", &[&eleven]), &policy), too_long);
    assert_eq!(judge(&request("b", &["c", "c", "c"]), &policy), Ok(()));
    assert_eq!(
        judge(&request("b", &["c", "c", "c", "c"]), &policy),
        Err(Refusal::TooManyGroups(3))
    );

    // The user and the group take 23 bytes each, the unit 15 more than its value.
    let mut full = request(&ten, &[&ten]);
    let unit = |length: usize| BTreeMap::from([("k".to_owned(), vec!["v".repeat(length)])]);
    full.extra = unit(80 - 2 * 23 - 15);
    assert_eq!(judge(&full, &policy), Ok(()));
    full.extra = unit(80 - 2 * 23 - 14);
    assert_eq!(judge(&full, &policy), Err(Refusal::SubjectTooLarge(80)));
    full.extra = BTreeMap::from([("k".to_owned(), vec![String::new(); 3])]);
    assert_eq!(judge(&full, &policy), Err(Refusal::SubjectTooLarge(80)));
}

#[test]
fn refusals_hold_no_name_and_say_where_to_find_it() {
    let listed = Policy {
        allow: Allow {
            users: Some(patterns(&["bob"])),
            groups: Some(patterns(&["ops"])),
        },
        ..Policy::default()
    };
    let open = Policy::default();
    let page = r#"; see "What the agent never signs" in SECURITY.md"#;
    let audit = "; to see the names in the audit log, set audit.logUsernamesAndGroups: enabled in the policy or, with Helm, in the values";
    for (outcome, way) in [
        (user("system:apiserver", &open), page),
        (group("system:masters", &open), page),
        (user("system:secret", &open), audit),
        (group("kubeadm:secret", &open), audit),
        (user("secret", &listed), audit),
        (judge(&request("bob", &["secret"]), &listed), audit),
    ] {
        let text = outcome.unwrap_err().to_string();
        assert!(text.ends_with(way) && !text.contains('\n'), "{text}");
        let names = ["apiserver", "masters", "secret", "alice", "bob"];
        assert!(!names.iter().any(|name| text.contains(name)), "{text}");
    }
}

proptest! {
    /// Invariant 2, from the caller's side: no request at all gets one of these under any list.
    #[test]
    fn no_list_opens_what_is_never_signed(
        entries in prop::collection::vec("(system|kubeadm|haulout|front-proxy-client)(:[a-z-]{1,12}){0,2}(:\\*)?", 0..8),
        which in any::<prop::sample::Index>(),
        rest in "[a-z0-9.-]{0,10}",
    ) {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let policy = Policy {
            allowed_reserved_names: patterns(&entries),
            allow: Allow { users: None, groups: Some(patterns(&entries)) },
            ..Policy::default()
        };
        let name = |patterns: &[&str]| which.get(patterns).replace('*', &rest);
        prop_assert_eq!(user(&name(&NEVER_USERS), &policy), Err(Refusal::ForbiddenUser));
        let groups = request("alice", &[&name(&NEVER_GROUPS)]);
        prop_assert_eq!(judge(&groups, &policy), Err(Refusal::ForbiddenGroup));
    }

    #[test]
    fn no_request_panics(
        audit_id: String,
        username: String,
        groups in prop::collection::vec(any::<String>(), 0..4),
        extra in prop::collection::btree_map(any::<String>(), vec![any::<String>(); 2], 0..3),
        lifetime_seconds: u32,
    ) {
        let public_key = String::new();
        let request = CertificateRequest {
            audit_id, username, groups, extra, public_key, lifetime_seconds, evidence: None,
        };
        let _either_way = judge(&request, &Policy::default());
    }
}
