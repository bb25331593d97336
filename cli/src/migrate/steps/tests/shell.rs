//! What a shell makes of the steps.

use haulout_api::authenticator::{
    CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind,
};

use super::*;
use crate::migrate::example::name;
use crate::migrate::state::Source;

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

/// All ways, where every text of the cluster that is no [`Name`](crate::migrate::name::Name) is this.
fn scripts_with(text: &str) -> [String; 3] {
    let text = || text.to_owned();
    let object = |namespace| Object {
        resource: text(),
        namespace,
        name: text(),
    };
    let concierge = Concierge {
        settings: Settings {
            server: Some(text()),
            logs_names: true,
            https_proxy: Some(text()),
            no_proxy: Some(text()),
        },
        objects: vec![object(Some(text())), object(None)],
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
    let mut script = Script::new(&text());
    script.step(&text());
    let (names, to) = (vec!["x".to_owned()], json!({ "name": text() }));
    let ca = (&*text(), "ca");
    switch(names, &text(), "x", &to, ca, &tools(), &mut script);
    [
        script.into_text(),
        forth(&state, &concierge, &tools()),
        back(&switched, &concierge, &tools()),
    ]
}

/// Names that [`Name`](crate::migrate::name::Name) lets pass need no quotes; every other text of the state does.
#[test]
fn no_text_of_the_cluster_is_run() {
    let functions = "kubectl() { echo Q0E=; }; helm() { :; }; haulout() { :; }";
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
        for script in scripts_with(hostile) {
            let folder = tempfile::tempdir().unwrap();
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("{functions}\n{script}\ntouch end")])
                .env("REGISTRY", "registry.example.com")
                .current_dir(folder.path())
                .output()
                .unwrap();
            let is_there = |name: &str| folder.path().join(name).exists();
            assert!(!is_there("ran"), "{hostile}: {script}");
            // A shell that leaves before the end has not shown what the rest does.
            assert!(is_there("end"), "{hostile}: {output:?}: {script}");
        }
    }
}
