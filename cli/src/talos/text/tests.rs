use proptest::prelude::*;

use super::super::note::Note;
use super::*;
use haulout_api::credential::login_path;

fn text(variant: Variant) -> String {
    let plan = Plan {
        variant,
        notes: Vec::new(),
    };
    render(&plan, &ApiGroupSuffix::default()).unwrap()
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn in_file(text: &str) -> Value {
    parsed(
        parsed(text)
            .pointer("/machine/files/0/content")
            .unwrap()
            .as_str()
            .unwrap(),
    )
}

#[test]
fn without_anything_to_fill_in_a_patch_is_its_file() {
    let (more_paths, jwt) = (Vec::new(), Vec::new());
    let document = Variant::Document { more_paths, jwt };
    let (more_paths, jwt) = (Vec::new(), Vec::new());
    let file = Variant::File { more_paths, jwt };
    let url = EXAMPLE_URL.to_owned();
    for (variant, file) in [
        (document, files::DOCUMENT),
        (file, files::FILE),
        (
            Variant::Flags {
                feature_gates: None,
            },
            files::FLAGS,
        ),
        (Variant::AnonymousAuth, files::ANONYMOUS_AUTH),
        (
            Variant::PsaExemption { is_document: false },
            files::PSA_EXEMPTION,
        ),
        (
            Variant::PsaExemption { is_document: true },
            files::PSA_EXEMPTION_DOCUMENT,
        ),
        (
            Variant::InstallExternal {
                is_document: false,
                url: url.clone(),
            },
            files::INSTALL_EXTERNAL,
        ),
        (
            Variant::InstallExternal {
                is_document: true,
                url,
            },
            files::INSTALL_EXTERNAL_DOCUMENT,
        ),
    ] {
        assert_eq!(text(variant), file);
    }
}

/// Everything is open if there is no condition; the kubelet's probes fail without the health paths; one wrong letter
/// closes the login.
#[test]
fn the_files_open_exactly_the_login() {
    let login = login_path(&ApiGroupSuffix::default());
    assert_eq!(
        parsed(files::DOCUMENT),
        json!({
            "apiVersion": "v1alpha1",
            "kind": "KubeAuthenticationConfig",
            "configuration": {
                "anonymous": {
                    "enabled": true,
                    "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}, {"path": login}],
                },
                "jwt": [],
            },
        })
    );
    assert_eq!(
        in_file(files::FILE),
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1beta1",
            "kind": "AuthenticationConfiguration",
            "anonymous": {"enabled": true, "conditions": [{"path": login}]},
            "jwt": [],
        })
    );
}

/// The API server runs as another user; what is not mounted is not there.
#[test]
fn the_file_is_where_the_flags_look_for_it() {
    use super::super::machine_config::{AUTHENTICATION_FILE, AUTHENTICATION_FOLDER};
    let file = parsed(files::FILE);
    let file = file.pointer("/machine/files/0").unwrap();
    assert_eq!(file["path"], AUTHENTICATION_FILE);
    assert_eq!(file["permissions"], 0o444);
    assert_eq!(file["op"], "create");
    assert!(AUTHENTICATION_FOLDER.starts_with("/var/"));
    assert!(AUTHENTICATION_FILE.starts_with(&format!("{AUTHENTICATION_FOLDER}/")));
    assert_eq!(
        parsed(files::FLAGS),
        json!({"cluster": {"apiServer": {
            "extraArgs": {"anonymous-auth": "", "authentication-config": AUTHENTICATION_FILE},
            "extraVolumes": [
                {"hostPath": AUTHENTICATION_FOLDER, "mountPath": AUTHENTICATION_FOLDER, "readonly": true},
            ],
        }}})
    );
}

#[test]
fn what_was_in_the_document_stays_in_it() {
    let jwt = vec![
        json!({
            "issuer": {"url": "https://a.example.com", "audiences": ["x: y", "#z", "null", "0x1"],
                "certificateAuthority": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "claimMappings": {"username": {"expression": "'a:' + claims.sub"}},
            "userValidationRules": [{"expression": "!user.username.startsWith('system:')", "message": "no\ttabs \"quoted\""}],
        }),
        json!({"issuer": {"url": "https://login.concierge.pinniped.dev"}}),
    ];
    let more_paths = vec!["/openid/v1/jwks".to_owned(), "/a: #b".to_owned()];
    let login = login_path(&ApiGroupSuffix::default());
    let paths = |configuration: &Value| {
        let conditions = configuration["anonymous"]["conditions"].as_array();
        let paths = conditions
            .unwrap()
            .iter()
            .map(|condition| condition["path"].clone());
        paths.collect::<Vec<_>>()
    };
    let document = Variant::Document {
        more_paths: more_paths.clone(),
        jwt: jwt.clone(),
    };
    let configuration = &parsed(&text(document))["configuration"];
    assert_eq!(configuration["jwt"], json!(jwt));
    let expected = [
        "/livez",
        "/readyz",
        "/healthz",
        "/openid/v1/jwks",
        "/a: #b",
        &login,
    ];
    assert_eq!(paths(configuration), expected);
    let file = Variant::File {
        more_paths,
        jwt: jwt.clone(),
    };
    let file = in_file(&text(file));
    assert_eq!(file["jwt"], json!(jwt));
    assert_eq!(paths(&file), ["/openid/v1/jwks", "/a: #b", &login]);
}

#[test]
fn another_suffix_is_everywhere_but_in_what_is_the_users() {
    let suffix = ApiGroupSuffix::parse("sso.example.com").unwrap();
    let jwt = vec![json!({"issuer": {"url": "https://login.concierge.pinniped.dev"}})];
    let variant = Variant::Document {
        more_paths: Vec::new(),
        jwt,
    };
    let plan = Plan {
        variant,
        notes: Vec::new(),
    };
    let text = render(&plan, &suffix).unwrap();
    let login = login_path(&suffix);
    assert_eq!(
        login,
        "/apis/login.concierge.sso.example.com/v1alpha1/tokencredentialrequests"
    );
    assert_eq!(text.matches(&login).count(), 2, "{text}");
    assert_eq!(text.matches("pinniped.dev").count(), 1, "{text}");
    for variant in [
        Variant::File {
            more_paths: Vec::new(),
            jwt: Vec::new(),
        },
        Variant::Flags {
            feature_gates: None,
        },
        Variant::AnonymousAuth,
    ] {
        let plan = Plan {
            variant,
            notes: Vec::new(),
        };
        let text = render(&plan, &suffix).unwrap();
        assert!(
            text.contains(&login) && !text.contains("pinniped.dev"),
            "{text}"
        );
    }
}

#[test]
fn feature_gates_stand_beside_the_flags() {
    let gates = Some("A=true,B=false".to_owned());
    let patch = parsed(&text(Variant::Flags {
        feature_gates: gates,
    }));
    let api_server = &patch["cluster"]["apiServer"];
    assert_eq!(api_server["extraArgs"]["feature-gates"], "A=true,B=false");
    assert_eq!(api_server["extraArgs"]["anonymous-auth"], "");
    assert_eq!(api_server["extraVolumes"].as_array().unwrap().len(), 1);
}

#[test]
fn cluster_info_is_a_config_map_with_a_kubeconfig() {
    for (is_document, contents) in [
        (false, "/cluster/inlineManifests/0/contents"),
        (true, "/manifest"),
    ] {
        let text = text(Variant::ClusterInfo {
            is_document,
            server: "https://[2001:db8::1]:6443".to_owned(),
            certificate_authority_data: "QUFBQQ==".to_owned(),
        });
        assert!(!text.contains("server: $"), "{text}");
        let patch = parsed(&text);
        let config_map = parsed(patch.pointer(contents).unwrap().as_str().unwrap());
        assert_eq!(
            config_map["metadata"],
            json!({"name": "cluster-info", "namespace": "kube-public"})
        );
        assert_eq!(
            parsed(config_map["data"]["kubeconfig"].as_str().unwrap()),
            json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "", "cluster": {
                    "server": "https://[2001:db8::1]:6443",
                    "certificate-authority-data": "QUFBQQ==",
                }}],
            })
        );
    }
}

#[test]
fn a_manifest_is_in_the_machine_config_as_it_was() {
    let manifest = include_str!("../../../../manifests/install-talos.yaml");
    let patch = parsed(&text(Variant::InstallInline {
        manifest: manifest.to_owned(),
    }));
    let entry = patch.pointer("/cluster/inlineManifests/0").unwrap();
    assert_eq!(entry["name"], "haulout");
    // A block of YAML ends in one line break.
    assert!(entry["contents"].as_str().unwrap().trim_end() == manifest.trim_end());
}

#[test]
fn a_url_takes_the_place_of_the_example() {
    let url = "https://a.example/b.yaml?c=d".to_owned();
    for (is_document, pointer, expected) in [
        (false, "", json!({"cluster": {"extraManifests": [url]}})),
        (true, "/url", json!(url)),
    ] {
        let url = url.clone();
        let text = text(Variant::InstallExternal { is_document, url });
        assert_eq!(parsed(&text).pointer(pointer), Some(&expected));
        // In the comments too.
        assert!(!text.contains(EXAMPLE_URL), "{text}");
    }
}

#[test]
fn notes_are_comments_that_nothing_in_them_ends() {
    let plan = Plan {
        variant: Variant::AnonymousAuth,
        notes: vec![
            Note::PathsCarried(vec!["/a\nb: c\u{2028}d\u{85}e\r\u{1b}[2J".to_owned()]),
            Note::WasOpen,
        ],
    };
    let text = render(&plan, &ApiGroupSuffix::default()).unwrap();
    let (notes, file) = text.split_once("#\n#").unwrap();
    assert!(files::ANONYMOUS_AUTH.starts_with(&format!("#{}", file.lines().next().unwrap())));
    assert_eq!(notes.lines().count(), 2, "{notes}");
    for line in notes.lines() {
        assert!(
            line.starts_with("# ") && line.chars().count() <= WIDTH,
            "{line}"
        );
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{2028}'),
            "{line:?}"
        );
    }
    assert_eq!(parsed(&text), parsed(files::ANONYMOUS_AUTH));
}

proptest! {
    /// What stands in the user's own configuration comes out of the patch as it was.
    #[test]
    fn whatever_is_carried_comes_back_whole(path in any::<String>(), key in any::<String>(), value in any::<String>()) {
        let jwt = vec![json!({"issuer": {"audiences": [value]}, key: {"a": value}})];
        let more_paths = vec![path.clone()];
        let document = Variant::Document { more_paths: more_paths.clone(), jwt: jwt.clone() };
        let document = parsed(&text(document));
        let file = in_file(&text(Variant::File { more_paths, jwt: jwt.clone() }));
        for (configuration, index) in [(&document["configuration"], 3), (&file, 0)] {
            prop_assert_eq!(&configuration["jwt"], &json!(jwt));
            prop_assert_eq!(&configuration["anonymous"]["conditions"][index]["path"], &path);
        }
    }
}
