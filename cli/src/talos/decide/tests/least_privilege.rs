use super::*;

#[test]
fn each_generation_has_its_least_privilege() {
    let document = Variant::Document {
        more_paths: Vec::new(),
        jwt: Vec::new(),
    };
    let flags = Variant::Flags {
        feature_gates: None,
    };
    let done = with_file(LEGACY, LOGIN);
    let cases = [
        (wish(Patch::LeastPrivilege), MULTI_DOC, document),
        (wish(Patch::LeastPrivilege), LEGACY, file()),
        (wish(Patch::LeastPrivilege), LEGACY_14, file()),
        (wish(Patch::LeastPrivilege), &done, flags.clone()),
        (step(Step::File), LEGACY, file()),
        (step(Step::Flags), &done, flags),
    ];
    for (wishes, config, expected) in cases {
        assert_eq!(plan(&wishes, config).variant, expected);
    }
}

#[test]
fn one_path_cannot_be_opened_where_the_flag_stays() {
    for text in ["1.7", "1.11.6", "1.12.6"] {
        let stays = Refusal::FlagStays(version(text));
        refused_without_config(&talos(text), stays.clone());
        for step in [Step::File, Step::Flags] {
            let step = Some(step);
            refused_without_config(
                &Wishes {
                    step,
                    ..talos(text)
                },
                stays.clone(),
            );
        }
        refused(&talos(text), LEGACY, &[stays]);
    }
    let old = changed(LEGACY, "installer:v1.13.0", "installer:v1.12.6");
    let stays = Refusal::FlagStays(version("1.12.6"));
    refused(&wish(Patch::LeastPrivilege), &old, &[stays]);
    assert_eq!(plan(&talos("1.13"), &old).variant, file());
    refused_without_config(&talos("1.6.3"), Refusal::TalosTooOld(version("1.6.3")));
}

#[test]
fn early_builds_of_1_14_deny_the_file_on_legacy() {
    for (text, is_denied) in [
        ("1.14.0-alpha.2", true),
        ("1.14.0-beta.1", true),
        ("1.14.0-rc.0", true),
        ("1.14.0-rc.1", false),
        ("1.14.0", false),
    ] {
        if is_denied {
            let refusal = Refusal::AuthenticationConfigDenied(version(text));
            refused(&talos(text), LEGACY_14, &[refusal]);
        } else {
            assert_eq!(plan(&talos(text), LEGACY_14).variant, file());
        }
    }
}

#[test]
fn kubernetes_must_know_paths_for_anonymous_callers() {
    let old = |text| Refusal::KubernetesTooOld(version(text));
    let gate = || Some("AnonymousAuthConfigurableEndpoints=true".to_owned());
    let done = with_file(LEGACY, LOGIN);
    let on = |text: &str| {
        changed(
            &done,
            "kube-apiserver:v1.36.0",
            &format!("kube-apiserver:{text}"),
        )
    };
    let wishes = wish(Patch::LeastPrivilege);
    refused(&wishes, &on("v1.30.14"), &[old("1.30.14")]);
    for (text, feature_gates) in [("v1.31.4", gate()), ("v1.32.0", None)] {
        let plan = plan(&wishes, &on(text));
        assert_eq!(
            plan.notes.contains(&Note::FeatureGate),
            feature_gates.is_some()
        );
        assert_eq!(plan.variant, Variant::Flags { feature_gates }, "{text}");
    }
    for text in ["1.30.2", "1.31.4"] {
        let image = format!("kube-apiserver:v{text}");
        let config = changed(MULTI_DOC, "kube-apiserver:v1.36.2", &image);
        refused(&wishes, &config, &[old(text)]);
    }
    // What is told goes before what the image says.
    let kubernetes = Some(version("1.30.2"));
    refused(
        &Wishes {
            kubernetes,
            ..wishes
        },
        MULTI_DOC,
        &[old("1.30.2")],
    );
}

#[test]
fn the_users_feature_gates_stay() {
    let ours = "AnonymousAuthConfigurableEndpoints=true";
    for (theirs, expected) in [
        ("A=true", format!("A=true,{ours}")),
        ("\"\"", ours.to_owned()),
        (ours, ours.to_owned()),
    ] {
        let config = with_arguments(
            &with_file(LEGACY, LOGIN),
            &[&format!("feature-gates: {theirs}")],
        );
        let kubernetes = Some(version("1.31"));
        let plan = plan(
            &Wishes {
                kubernetes,
                ..wish(Patch::LeastPrivilege)
            },
            &config,
        );
        let feature_gates = Some(expected);
        assert_eq!(plan.variant, Variant::Flags { feature_gates });
    }
    let off = with_arguments(
        LEGACY,
        &["feature-gates: A=true,AnonymousAuthConfigurableEndpoints=false"],
    );
    refused(&wish(Patch::LeastPrivilege), &off, &[Refusal::GateOff]);
}

#[test]
fn the_steps_come_one_after_the_other_and_once() {
    let done = with_file(LEGACY, LOGIN);
    let other = with_file(LEGACY, "/apis/x");
    let named = format!("authentication-config: {AUTHENTICATION_FILE}");
    let open = with_arguments(&done, &["anonymous-auth: \"\"", &named]);
    let volume = format!(
        "    apiServer:\n        extraVolumes: [{{mountPath: {}}}]\n",
        "/var/lib/haulout"
    );
    let mounted = changed(&done, "    apiServer:\n", &volume);
    refused(&step(Step::Flags), LEGACY, &[Refusal::FileIsMissing]);
    refused(&step(Step::Flags), LEGACY_14, &[Refusal::FileIsMissing]);
    refused(&step(Step::File), &done, &[Refusal::FileIsThere]);
    refused(
        &step(Step::Flags),
        &other,
        &[Refusal::FileOpensOther(LOGIN.to_owned())],
    );
    refused(&wish(Patch::LeastPrivilege), &open, &[Refusal::AlreadyOpen]);
    refused(&step(Step::Flags), &mounted, &[Refusal::FolderMounted]);
    for arguments in [&[&*named][..], &[&*named, "anonymous-auth: \"false\""]] {
        let half = with_arguments(&done, arguments);
        refused(&wish(Patch::LeastPrivilege), &half, &[Refusal::HalfOpen]);
    }
    refused(&step(Step::File), MULTI_DOC, &[Refusal::NoSteps]);
}

#[test]
fn what_authenticates_users_already_is_not_put_aside() {
    let oidc = with_arguments(LEGACY, &["oidc-issuer-url: https://x", "oidc-client-id: y"]);
    let own = with_arguments(LEGACY, &["authentication-config: /a.yaml"]);
    for wishes in [step(Step::File), wish(Patch::LeastPrivilege)] {
        let flags = vec!["oidc-client-id".to_owned(), "oidc-issuer-url".to_owned()];
        refused(&wishes, &oidc, &[Refusal::OidcFlags { flags }]);
        refused(&wishes, &own, &[Refusal::UnknownFile("/a.yaml".to_owned())]);
    }
    // An unknown key stops the API server, and dropping it may be wrong too.
    let unknown = changed(MULTI_DOC, "    jwt: []", "    jwt: []\n    jwts: []");
    let keys = vec!["jwts".to_owned()];
    refused(
        &wish(Patch::LeastPrivilege),
        &unknown,
        &[Refusal::UnknownKeys { keys }],
    );
}

/// The config with a file of the user's own.
fn with_own_file(config: &str, content: &str, arguments: &[&str]) -> String {
    let files =
        format!("machine:\n    files:\n        - {{path: /var/a.yaml, content: '{content}'}}\n");
    let arguments = [&["authentication-config: /a.yaml"], arguments].concat();
    let volume =
        "    apiServer:\n        extraVolumes: [{hostPath: /var/a.yaml, mountPath: /a.yaml}]\n";
    let config = changed(config, "machine:\n", &files);
    let config = with_arguments(&config, &arguments);
    changed(&config, "    apiServer:\n", volume)
}

#[test]
fn what_a_file_of_the_users_own_has_is_carried_into_ours() {
    let replaces = Note::ReplacesFile("/a.yaml".to_owned());
    let content = "{anonymous: {enabled: true, conditions: [{path: /livez}]}, jwt: [{issuer: x}]}";
    let own = with_own_file(LEGACY, content, &[]);
    let jwt = vec![serde_json::json!({"issuer": "x"})];
    let more_paths = vec!["/livez".to_owned()];
    let plan_of = |config: &str| plan(&talos("1.13"), config);
    let first = plan_of(&own);
    assert_eq!(
        first.variant,
        Variant::File {
            more_paths: more_paths.clone(),
            jwt
        }
    );
    assert_eq!(
        first.notes,
        [
            replaces.clone(),
            Note::PathsCarried(more_paths),
            Note::JwtCarried(1)
        ]
    );

    let both = |content: &str| {
        let entry = format!(
            "    files:\n        - {{path: {AUTHENTICATION_FILE}, content: '{content}'}}\n"
        );
        changed(&own, "    files:\n", &entry)
    };
    let ours = format!(
        "{{anonymous: {{enabled: true, conditions: [{{path: {LOGIN}}}]}}, jwt: [{{issuer: x}}]}}"
    );
    let second = plan_of(&both(&ours));
    assert_eq!(
        second.variant,
        Variant::Flags {
            feature_gates: None
        }
    );
    assert_eq!(second.notes, [replaces]);
    let without_jwt = ours.replace("{issuer: x}", "");
    refused(
        &talos("1.13"),
        &both(&without_jwt),
        &[Refusal::FileLacksJwt(1)],
    );

    let empty = "anonymous-auth: \"\"";
    let open = with_own_file(LEGACY, &ours, &[empty]);
    refused(
        &talos("1.13"),
        &open,
        &[Refusal::OpenByOwnFile("/a.yaml".to_owned())],
    );
    let unknown = with_own_file(LEGACY, "{jwts: []}", &[]);
    let keys = vec!["jwts".to_owned()];
    refused(&talos("1.13"), &unknown, &[Refusal::UnknownKeys { keys }]);
}

#[test]
fn what_the_document_has_is_carried_into_the_patch() {
    let jwt = "    jwt:\n      - issuer: {url: https://a.example}\n";
    let config = changed(MULTI_DOC, "    jwt: []\n", jwt);
    let more = format!(
        "            - path: /livez\n            - path: /a\n            - path: {LOGIN}\n"
    );
    let config = changed(&config, "            - path: /livez\n", &more);
    let plan = plan(&wish(Patch::LeastPrivilege), &config);
    let more_paths = vec!["/a".to_owned()];
    let notes = [Note::PathsCarried(more_paths.clone()), Note::JwtCarried(1)];
    assert_eq!(plan.notes, notes);
    let jwt = vec![serde_json::json!({"issuer": {"url": "https://a.example"}})];
    assert_eq!(plan.variant, Variant::Document { more_paths, jwt });
}

#[test]
fn authorizers_that_talos_does_not_add_have_to_be_there() {
    for kind in ["Node", "RBAC"] {
        let config = changed(MULTI_DOC, &format!("type: {kind}"), "type: Webhook");
        refused(
            &wish(Patch::LeastPrivilege),
            &config,
            &[Refusal::NoAuthorizer(kind)],
        );
    }
}
