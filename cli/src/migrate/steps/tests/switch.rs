//! From one Service to the other.

use super::*;

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
