//! Where logins go, and where everything else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{ENV, ISSUER, Site, good, strategy};

pub(super) async fn frontends_lead_to_their_endpoints(site: &Site) {
    let ca = STANDARD.encode(site.supervisor.ca_pem());
    let info = json!({"endpoint": "https://proxy.example.com", "certificateAuthorityData": ca});
    let proxy = json!({"type": "ImpersonationProxy", "impersonationProxyInfo": info});
    let direct = json!({"endpoint": "https://login.example.com"});
    let direct = json!({"type": "DirectEndpoint", "directEndpointInfo": direct});
    let strategies = json!([
        good(),
        strategy("ImpersonationProxy", "Success", "Listening", "up", &proxy),
        strategy("DirectEndpoint", "Success", "Listening", "up", &direct),
    ]);
    site.issuer("first", "pinniped.dev", &strategies).await;
    let api_server = site.cluster.server();
    let own_ca = std::fs::read(site.cluster.ca_certificate()).unwrap();
    let own_ca = STANDARD.encode(own_ca);
    for (mode, endpoint, login_ca, server, server_ca) in [
        (
            "TokenCredentialRequestAPI",
            api_server,
            Some(&own_ca),
            api_server,
            &own_ca,
        ),
        (
            "ImpersonationProxy",
            "https://proxy.example.com",
            Some(&ca),
            "https://proxy.example.com",
            &ca,
        ),
        (
            "Direct",
            "https://login.example.com",
            None,
            api_server,
            &own_ca,
        ),
    ] {
        let mode = format!("--concierge-mode={mode}");
        let made = site.run(&[ENV, ISSUER, &mode, "--skip-validation"]).await;
        let arguments = made.arguments();
        assert!(
            arguments.contains(&format!("--concierge-endpoint={endpoint}")),
            "{arguments:?}"
        );
        let found = arguments
            .iter()
            .find_map(|flag| flag.strip_prefix("--concierge-ca-bundle-data="));
        assert_eq!(found, login_ca.map(String::as_str), "{mode}");
        let kubeconfig = made.kubeconfig();
        let cluster = kubeconfig.pointer("/clusters/0/cluster").unwrap();
        let expected = json!({"server": server, "certificate-authority-data": server_ca});
        assert_eq!(cluster, &expected, "{mode}");
    }
}

/// With the three strategies of above.
pub(super) async fn what_is_given_wins_and_what_nobody_reaches_is_told(site: &Site) {
    let ca = STANDARD.encode(site.supervisor.ca_pem());
    let ca_flag = format!("--concierge-ca-bundle-data={ca}");
    // Before anything is printed.
    let flags = [
        ENV,
        ISSUER,
        "--concierge-mode=impersonationproxy",
        "--timeout=5s",
    ];
    let unreached = site.run(&flags).await;
    unreached.assert_fails("could not validate the kubeconfig: the cluster does not answer at https://proxy.example.com");
    assert!(
        unreached.stderr.contains("does not answer yet"),
        "{}",
        unreached.stderr
    );

    let flags = [ENV, ISSUER, "--concierge-endpoint=http://k.example.com"];
    let refused = site.run(&flags).await;
    refused.assert_fails("invalid Concierge parameters: invalid endpoint scheme \"http\"");

    let file = site.cluster.folder().join("proxy-ca.crt");
    std::fs::write(&file, site.supervisor.ca_pem()).unwrap();
    let bundle = format!("--concierge-ca-bundle={}", file.display());
    let given = [
        "--concierge-endpoint=https://other.example.com",
        &bundle,
        "--skip-validation",
    ];
    let made = site.run(&[&[ENV, ISSUER], &given[..]].concat()).await;
    assert!(made.arguments().contains(&ca_flag), "{}", made.stdout);
    let kubeconfig = made.kubeconfig();
    let cluster = kubeconfig.pointer("/clusters/0/cluster").unwrap();
    let expected = json!({"server": "https://other.example.com", "certificate-authority-data": ca});
    assert_eq!(cluster, &expected);
    site.issuer("first", "pinniped.dev", &json!([good()])).await;
}
