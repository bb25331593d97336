use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;

use super::*;

fn ca() -> String {
    let validity = Validity {
        not_before: std::time::UNIX_EPOCH,
        not_after: std::time::UNIX_EPOCH + std::time::Duration::from_secs(60),
    };
    generate_authority("kubernetes", validity)
        .unwrap()
        .certificate_pem
}

fn data(key: &str, value: &str) -> Sighting {
    Sighting::Present([(key.to_owned(), value.to_owned())].into())
}

fn advertise(data: Option<&str>) -> Advertise {
    Advertise {
        server: "https://k.example.com".to_owned(),
        certificate_authority_data: data.map(str::to_owned),
    }
}

fn known(server: &str, data: &str) -> Endpoint {
    Endpoint::Known(TokenCredentialRequestApiInfo {
        server: server.to_owned(),
        certificate_authority_data: data.to_owned(),
    })
}

fn unknown(endpoint: Endpoint) -> String {
    match endpoint {
        Endpoint::Unknown(text) => text,
        other => panic!("{other:?}"),
    }
}

fn broken(endpoint: Endpoint) -> String {
    match endpoint {
        Endpoint::Broken(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_configured_comes_first() {
    let (whole, server) = (advertise(Some("Zm9v")), advertise(None));
    assert_eq!(Source::beside(Some(&whole)), None);
    assert_eq!(Source::beside(Some(&server)), Some(Source::RootCa));
    assert_eq!(Source::beside(None), Some(Source::ClusterInfo));
    // Nothing is watched then, and nothing waited for.
    assert_eq!(
        endpoint(Some(&whole), &Sighting::Awaited),
        known("https://k.example.com", "Zm9v")
    );
}

#[test]
fn a_configured_server_takes_the_clusters_own_ca() {
    let server = advertise(None);
    let of = |sighting| endpoint(Some(&server), &sighting);
    let ca = ca();
    assert_eq!(
        of(data("ca.crt", &ca)),
        known("https://k.example.com", &BASE64_STANDARD.encode(&ca))
    );
    assert_eq!(of(Sighting::Awaited), Endpoint::Awaited);
    for missing in [
        Sighting::Absent,
        Sighting::Unreadable("configmaps is forbidden".to_owned()),
    ] {
        let text = unknown(of(missing));
        assert!(
            text.contains("advertise.certificateAuthorityData"),
            "{text}"
        );
    }
    for bad in [
        data("other", &ca),
        data("ca.crt", ""),
        data("ca.crt", "text"),
    ] {
        let text = broken(of(bad));
        assert!(text.contains("kube-root-ca.crt"), "{text}");
    }
}

#[test]
fn cluster_info_tells_both() {
    let ca = BASE64_STANDARD.encode(ca());
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: ''\n  cluster: {{server: 'https://k:6443', certificate-authority-data: {ca}}}\n\
         - name: other\n  cluster: {{server: 'https://other', certificate-authority-data: {ca}}}\n"
    );
    assert_eq!(
        endpoint(None, &data("kubeconfig", &kubeconfig)),
        known("https://k:6443", &ca)
    );
}

#[test]
fn without_cluster_info_the_setting_is_named() {
    assert_eq!(endpoint(None, &Sighting::Awaited), Endpoint::Awaited);
    let absent = unknown(endpoint(None, &Sighting::Absent));
    assert!(absent.contains("advertise.server"), "{absent}");
    let fault = Sighting::Unreadable("configmaps \"cluster-info\" is forbidden".to_owned());
    let unreadable = unknown(endpoint(None, &fault));
    assert!(
        unreadable.starts_with(
            "failed to get kube-public/cluster-info configmap: configmaps \"cluster-info\" is forbidden; "
        ),
        "{unreadable}"
    );
    assert!(unreadable.contains("advertise.server"), "{unreadable}");
}

/// The beginnings are those of Pinniped's Concierge.
#[test]
fn a_broken_cluster_info_says_how() {
    let cluster = |fields: &str| format!("clusters: [{{name: '', cluster: {{{fields}}}}}]");
    let rows = [
        (data("other", ""), "missing \"kubeconfig\" key"),
        (
            data("kubeconfig", "['"),
            "key \"kubeconfig\" does not contain a valid kubeconfig",
        ),
        (
            data("kubeconfig", "clusters: []"),
            "kubeconfig in key \"kubeconfig\" does not contain any clusters",
        ),
        (
            data("kubeconfig", &cluster("")),
            "the first cluster of the kubeconfig has no server",
        ),
        (
            data("kubeconfig", &cluster("server: k.example.com")),
            "the first cluster of the kubeconfig has no server",
        ),
        (
            data("kubeconfig", &cluster("server: 'https://k'")),
            "the first cluster of the kubeconfig has no certificate-authority-data",
        ),
        (
            data(
                "kubeconfig",
                &cluster("server: 'https://k', certificate-authority-data: Zm9v"),
            ),
            "the first cluster of the kubeconfig has no certificate-authority-data",
        ),
    ];
    for (sighting, fault) in rows {
        let text = broken(endpoint(None, &sighting));
        let beginning = format!(
            "could not extract Kubernetes API endpoint info from kube-public/cluster-info configmap: {fault}"
        );
        assert!(text.starts_with(&beginning), "{text}");
        assert!(text.contains("advertise.server"), "{text}");
    }
}
