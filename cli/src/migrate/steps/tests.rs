use haulout_api::authenticator::{
    CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind,
};
use haulout_api::group::ApiGroupSuffix;

use super::*;
use crate::arguments::ClusterFlags;
use crate::migrate::example::{concierge, name, ours, state};
use crate::migrate::state::{Settings, Source};

fn tools() -> Tools {
    let flags = ClusterFlags {
        kubeconfig: None,
        context: None,
    };
    Tools::new(&flags, None)
}

/// The state after the switch.
fn switched() -> State {
    let mut state = state();
    state.login = ours();
    state.identity = Some(ours());
    state
}

/// Titles of the steps, up to the first full stop or comma.
fn titles(script: &str) -> Vec<&str> {
    let numbered = script
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once(". "));
    numbered
        .filter(|(number, _)| number.parse::<u8>().is_ok())
        .filter_map(|(_, title)| title.split(['.', ',', ':']).next())
        .collect()
}

/// The lines that are run, joined where they are continued.
fn commands(script: &str) -> Vec<String> {
    let joined = script.replace("\\\n ", "").replace("|\n ", "|");
    let lines = joined
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn position(commands: &[String], part: &str) -> usize {
    let found = commands.iter().position(|command| command.contains(part));
    found.unwrap_or_else(|| panic!("{part}: {commands:#?}"))
}

#[test]
fn the_way_there_has_all_steps_in_order() {
    let script = forth(&state(), &concierge(), &tools());
    let expected = [
        "Back up",
        "Put Haulout's CRDs",
        "Make the namespace",
        "Install Haulout beside the Concierge; logins go on through that",
        "Wait for it",
        "Stop the Concierge",
        "Log in",
        "Delete what is left of the Concierge",
        "Let Helm look after CRDs and APIServices too",
    ];
    assert_eq!(titles(&script), expected);
    let commands = commands(&script);
    let order = [
        "-o yaml > haulout-migration/crds.yaml",
        "apply --server-side --force-conflicts -f manifests/crds",
        "create namespace haulout-system",
        "haulout agent-values > haulout-migration/values.yaml",
        "${REGISTRY:?}",
        "--set crds.install=false --set apiServices.create=false",
        "rollout status daemonset/haulout-agent",
        "kubectl wait credentialissuers.config.concierge.pinniped.dev/haulout",
        "scale deployment/pinniped-concierge --replicas=0",
        "patch apiservice v1alpha1.login.concierge.pinniped.dev",
        "patch apiservice v1alpha1.identity.concierge.pinniped.dev",
        "delete --ignore-not-found",
        "app.kubernetes.io/managed-by=Helm",
        "helm upgrade haulout manifests/helm/haulout",
    ]
    .map(|part| position(&commands, part));
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_step_that_is_done_is_left_out() {
    let state = switched();
    let script = forth(&state, &concierge(), &tools());
    assert_eq!(titles(&script).len(), 2, "{script}");
    assert!(!script.contains("scale"), "{script}");

    let before = back(&crate::migrate::example::state(), &concierge(), &tools());
    assert_eq!(titles(&before), ["Remove Haulout"], "{before}");
}

#[test]
fn the_guide_shows_the_printed_steps() {
    let page = include_str!("../../../../docs/migration.md");
    let settings = Settings {
        server: Some("https://kubernetes.example.com".to_owned()),
        logs_names: true,
        ..Settings::default()
    };
    let concierge = Concierge {
        settings,
        ..concierge()
    };
    let script = forth(&state(), &concierge, &tools());
    let excerpts: Vec<_> = page
        .split("```")
        .filter_map(|block| block.strip_prefix("text\n"))
        .collect();
    assert_eq!(excerpts.len(), 2);
    for excerpt in excerpts {
        // Blocks belong to an item of a list.
        let lines = excerpt
            .lines()
            .map(|line| line.strip_prefix("   ").unwrap_or(line));
        let excerpt = lines.collect::<Vec<_>>().join("\n");
        let excerpt = excerpt.trim_end();
        assert!(script.contains(excerpt), "{excerpt}\n\nin\n\n{script}");
    }
}

/// One change of an APIService at a time would lead the API server to the new Service with the old CA.
#[test]
fn service_and_ca_change_in_one_patch_and_only_from_the_old_service() {
    let there = commands(&forth(&state(), &concierge(), &tools()));
    let and_back = commands(&back(&switched(), &concierge(), &tools()));
    let cases = [
        (
            there,
            "pinniped-concierge",
            json!({"namespace": "haulout-system", "name": "haulout-api", "port": 443}),
            r"CA=$(kubectl -n haulout-system get secret haulout-serving -o jsonpath='{.data.ca\.crt}')",
        ),
        (
            and_back,
            "haulout-system",
            json!({"namespace": "pinniped-concierge", "name": "pinniped-concierge-api", "port": 443}),
            "CA=$(kubectl -n pinniped-concierge get secret pinniped-concierge-api-tls-serving-certificate \
             -o jsonpath='{.data.caCertificate}')",
        ),
    ];
    for (commands, from, to, ca) in cases {
        assert!(
            commands.iter().any(|command| command == ca),
            "{commands:#?}"
        );
        let patches: Vec<_> = commands
            .iter()
            .filter(|command| command.contains(" patch "))
            .collect();
        assert_eq!(patches.len(), 2);
        for patch in patches {
            let (_, patch) = patch.split_once("-p  '").unwrap();
            let patch = patch
                .strip_suffix('\'')
                .unwrap()
                .replace(r#"'"${CA:?}"'"#, "Q0E=");
            let patch: Value = serde_json::from_str(&patch).unwrap();
            let expected = json!([
                {"op": "test", "path": "/spec/service/namespace", "value": from},
                {"op": "replace", "path": "/spec/service", "value": to},
                {"op": "add", "path": "/spec/caBundle", "value": "Q0E="},
            ]);
            assert_eq!(patch, expected);
        }
    }
}

/// As after a patch that failed.
#[test]
fn half_a_switch_is_finished_or_undone() {
    let mut state = state();
    state.login = ours();
    let there = forth(&state, &concierge(), &tools());
    assert_eq!(
        titles(&there).first(),
        Some(&"Stop the Concierge"),
        "{there}"
    );
    let and_back = back(&state, &concierge(), &tools());
    for (script, patched) in [(there, "identity"), (and_back, "login")] {
        let commands = commands(&script);
        let patches: Vec<_> = commands
            .iter()
            .filter(|command| command.contains(" patch "))
            .collect();
        let expected = format!("patch apiservice v1alpha1.{patched}.concierge.pinniped.dev");
        assert!(
            matches!(patches.as_slice(), [one] if one.contains(&expected)),
            "{patches:?}"
        );
    }
}

#[test]
fn only_what_is_listed_is_deleted() {
    let script = forth(&state(), &concierge(), &tools());
    let deletions: Vec<_> = commands(&script)
        .into_iter()
        .filter(|command| command.contains(" delete "))
        .collect();
    let expected = [
        "kubectl delete --ignore-not-found  clusterroles.rbac.authorization.k8s.io/pinniped-concierge-pre-authn-apis",
        "kubectl -n kube-system delete --ignore-not-found  \
         roles.rbac.authorization.k8s.io/pinniped-concierge-kube-system-pod-read",
        "kubectl -n pinniped-concierge delete --ignore-not-found  deployments.apps/pinniped-concierge  \
         services/pinniped-concierge-api",
    ];
    assert_eq!(deletions, expected);
}

#[test]
fn another_suffix_is_in_every_name() {
    let mut state = state();
    state.suffix = ApiGroupSuffix::parse("walrus.example.com").unwrap();
    for script in [
        forth(&state, &concierge(), &tools()),
        back(&state, &concierge(), &tools()),
    ] {
        let left = script.lines().filter(|line| line.contains("pinniped.dev"));
        assert_eq!(left.collect::<Vec<_>>().len(), 0, "{script}");
    }
    let script = forth(&state, &concierge(), &tools());
    assert!(
        script.contains(
            r"sed 's/pinniped\.dev/walrus.example.com/g' manifests/crds/*.yaml | kubectl apply"
        ),
        "{script}"
    );
    assert!(
        script.contains("apiGroupSuffix: walrus.example.com\n"),
        "{script}"
    );
}

#[test]
fn settings_become_values() {
    let settings = Settings {
        server: Some("https://k.example.com".to_owned()),
        logs_names: true,
        https_proxy: Some("http://proxy:3128".to_owned()),
        no_proxy: Some(".svc".to_owned()),
    };
    let read: Value = serde_saphyr::from_str(&values(&state(), &settings)).unwrap();
    let expected = json!({
        "apiGroupSuffix": "pinniped.dev",
        "advertise": {"server": "https://k.example.com"},
        "audit": {"logUsernamesAndGroups": "enabled"},
        "webhook": {"proxy": {"httpsProxy": "http://proxy:3128", "noProxy": ".svc"}},
    });
    assert_eq!(read, expected);
    assert_eq!(
        values(&state(), &Settings::default()),
        "apiGroupSuffix: pinniped.dev\n"
    );
}

#[test]
fn of_sources_only_the_named_keys_are_copied() {
    let source = |kind, key: &str| Source {
        of: "JWTAuthenticator corp".to_owned(),
        namespace: name("pinniped-concierge"),
        source: CertificateAuthorityDataSource {
            kind,
            name: "ca".to_owned(),
            key: key.to_owned(),
        },
        is_there: true,
    };
    let mut state = state();
    let (secret, config_map) = (
        CertificateAuthorityDataSourceKind::Secret,
        CertificateAuthorityDataSourceKind::ConfigMap,
    );
    state.sources = vec![
        source(secret, "a"),
        source(secret, "b"),
        source(secret, "a"),
        source(config_map, "c"),
    ];
    let commands = commands(&forth(&state, &concierge(), &tools()));
    let copies: Vec<_> = commands
        .iter()
        .filter(|command| command.contains("go-template"))
        .collect();
    let metadata = r#""metadata":{"name":"ca","namespace":"haulout-system"}"#;
    let expected = [
        format!(
            r#"kubectl -n pinniped-concierge get configmap ca -o go-template='{{"apiVersion":"v1","kind":"ConfigMap",{metadata},"data":{{"c":{{{{printf "%q" (index .data "c")}}}}}}}}' | kubectl apply --server-side -f -"#
        ),
        format!(
            r#"kubectl -n pinniped-concierge get secret ca -o go-template='{{"apiVersion":"v1","kind":"Secret",{metadata},"data":{{"a":"{{{{index .data "a"}}}}","b":"{{{{index .data "b"}}}}"}}}}' | kubectl apply --server-side -f -"#
        ),
    ];
    assert_eq!(copies, expected.iter().collect::<Vec<_>>());
}

/// Helm refuses to install a namespace that is there already, and the chart makes that of the agent.
#[test]
fn only_the_namespace_of_the_release_is_made() {
    let commands = commands(&forth(&state(), &concierge(), &tools()));
    let made: Vec<_> = commands
        .iter()
        .filter(|command| command.contains("create namespace"))
        .collect();
    assert_eq!(made, ["kubectl create namespace haulout-system"]);
    assert!(
        !commands
            .iter()
            .any(|command| command.contains("manifests/webhook"))
    );

    let mut installed = state();
    installed.namespaces = vec!["haulout-system", "haulout-agent"];
    installed.is_installed = true;
    let script = forth(&installed, &concierge(), &tools());
    assert!(!script.contains("create namespace"), "{script}");
}

#[test]
fn the_registry_is_a_value() {
    let commands = commands(&forth(&state(), &concierge(), &tools()));
    let writes = &commands[position(&commands, "REGISTRY")];
    let written = writes.replace(">> haulout-migration/values.yaml", "");
    let run = |registry: &str| {
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &written])
            .env("REGISTRY", registry)
            .output()
            .unwrap()
    };
    let values: Value =
        serde_saphyr::from_slice(&run("registry.example.com:5000/haulout").stdout).unwrap();
    let expected = json!({"image": {"registry": "registry.example.com:5000/haulout"}});
    assert_eq!(values, expected);
    assert!(!run("").status.success());
}

/// Helm refuses to look after an object without them, and another release after one that has them.
#[test]
fn the_marks_of_the_release_are_put_on_before_helm_needs_them_and_taken_off_after_it() {
    let there = commands(&forth(&state(), &concierge(), &tools()));
    let mut taken_over = switched();
    taken_over.is_taken_over = true;
    let and_back = commands(&back(&taken_over, &concierge(), &tools()));
    let [upgrade, uninstall] = [
        position(&there, "helm upgrade haulout"),
        position(&and_back, "helm uninstall"),
    ];
    let objects = "  apiservice/v1alpha1.login.concierge.pinniped.dev  \
        apiservice/v1alpha1.identity.concierge.pinniped.dev  \
        crd/jwtauthenticators.authentication.concierge.pinniped.dev  \
        crd/webhookauthenticators.authentication.concierge.pinniped.dev  \
        crd/credentialissuers.config.concierge.pinniped.dev  ";
    for (how, key, value) in [
        ("annotate", "meta.helm.sh/release-name", "haulout"),
        (
            "annotate",
            "meta.helm.sh/release-namespace",
            "haulout-system",
        ),
        ("label", "app.kubernetes.io/managed-by", "Helm"),
    ] {
        let put_on = position(&there, &format!("{key}={value}"));
        assert!(put_on < upgrade, "{there:#?}");
        let begins = format!("kubectl {how} --overwrite{objects}");
        assert!(there[put_on].starts_with(&begins), "{}", there[put_on]);
        let taken_off = position(&and_back, &format!("{key}-"));
        assert!(taken_off > uninstall, "{and_back:#?}");
        let begins = format!("kubectl {how}{objects}");
        assert!(
            and_back[taken_off].starts_with(&begins),
            "{}",
            and_back[taken_off]
        );
    }
}

/// They may be those of the Concierge's own release.
#[test]
fn other_marks_are_left_where_they_are() {
    let script = back(&switched(), &concierge(), &tools());
    for mark in ["meta.helm.sh", "app.kubernetes.io"] {
        assert!(!script.contains(mark), "{script}");
    }
}

#[test]
fn the_way_back_starts_as_many_as_there_were() {
    let state = switched();
    for (replicas, expected) in [(0, "--replicas=2"), (3, "--replicas=3")] {
        let concierge = Concierge {
            replicas,
            ..concierge()
        };
        let script = back(&state, &concierge, &tools());
        assert!(script.contains(expected), "{script}");
    }
}

#[test]
fn a_deleted_concierge_is_restored_first() {
    let script = restore(&tools());
    assert_eq!(
        commands(&script),
        [
            "kubectl create -f haulout-migration/objects",
            "haulout migrate --back"
        ]
    );
}

/// Commands that a shell cannot even read would be found by an administrator only half way.
#[test]
fn a_shell_reads_every_script() {
    let other = switched();
    let scripts = [
        forth(&state(), &concierge(), &tools()),
        forth(&other, &concierge(), &tools()),
        back(&other, &concierge(), &tools()),
        restore(&tools()),
    ];
    for script in scripts {
        let output = std::process::Command::new("sh")
            .args(["-n", "-c", &script])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// After the switch nothing else tells where the way back leads, so it is written down before.
#[test]
fn the_switch_records_the_concierge_first_and_the_way_back_forgets_it() {
    let there = commands(&forth(&state(), &concierge(), &tools()));
    let record = "kubectl annotate --overwrite apiservice v1alpha1.login.concierge.pinniped.dev  \
        haulout/concierge=pinniped-concierge/pinniped-concierge-api/pinniped-concierge";
    let order = [record, "--replicas=0", " patch apiservice "].map(|part| position(&there, part));
    assert!(order.is_sorted(), "{there:#?}");

    let mut half_way = state();
    half_way.login = ours();
    position(&commands(&forth(&half_way, &concierge(), &tools())), record);

    let and_back = commands(&back(&switched(), &concierge(), &tools()));
    assert!(position(&and_back, " haulout/concierge-") > position(&and_back, "helm uninstall"));
}

/// Names that [`Name`](crate::migrate::name::Name) lets pass need no quotes; every other text of the state does.
#[test]
fn no_text_of_the_cluster_is_run() {
    let folder = tempfile::tempdir().unwrap();
    for hostile in [
        "'; touch ran; '",
        "$(touch ran)",
        "`touch ran`",
        "x; touch ran; x",
        "x\ntouch ran\n",
        "x\nEOF\ntouch ran\n",
        "\"; touch ran; \"",
        "\"'\"; touch ran; \"'\"",
    ] {
        let text = || hostile.to_owned();
        let concierge = Concierge {
            settings: Settings {
                server: Some(text()),
                logs_names: true,
                https_proxy: Some(text()),
                no_proxy: Some(text()),
            },
            objects: vec![
                Object {
                    resource: text(),
                    namespace: Some(text()),
                    name: text(),
                },
                Object {
                    resource: text(),
                    namespace: None,
                    name: text(),
                },
            ],
            ..concierge()
        };
        let mut state = state();
        state.jwt[0].name = text();
        state.issuers[0].name = text();
        state.sources = [
            CertificateAuthorityDataSourceKind::Secret,
            CertificateAuthorityDataSourceKind::ConfigMap,
        ]
        .map(|kind| Source {
            of: text(),
            namespace: name("pinniped-concierge"),
            source: CertificateAuthorityDataSource {
                kind,
                name: text(),
                key: text(),
            },
            is_there: true,
        })
        .into();
        let mut switched = switched();
        switched.sources = state.sources.clone();
        let mut script = Script::new(hostile);
        script.step(hostile);
        let ca = (hostile, "ca");
        let to = json!({ "name": hostile });
        switch(
            vec!["x".to_owned()],
            hostile,
            "x",
            &to,
            ca,
            &tools(),
            &mut script,
        );
        for script in [
            script.into_text(),
            forth(&state, &concierge, &tools()),
            back(&switched, &concierge, &tools()),
        ] {
            let functions = "kubectl() { echo Q0E=; }; helm() { :; }; haulout() { :; }\n";
            std::process::Command::new("sh")
                .args(["-c", &format!("{functions}{script}")])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(!folder.path().join("ran").exists(), "{hostile}: {script}");
        }
    }
}
