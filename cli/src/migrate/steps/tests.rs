mod carried;
mod marks;
mod shell;
mod switch;

use haulout_api::group::ApiGroupSuffix;

use super::*;
use crate::arguments::ClusterFlags;
use crate::migrate::example::{concierge, ours, state};
use crate::migrate::state::Settings;

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
