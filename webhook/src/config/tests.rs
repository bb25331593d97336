use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::issuer::ImpersonationProxyMode;
use haulout_operate::rate::Rate;
use haulout_pki::bundle::CertificateBundle;

use super::*;
use crate::signer::fake_agent::TestNetwork;
use crate::trusted_proxies::TrustedProxies;

const GOOD: &str = "
agent:
  addresses: [127.0.0.1:9443]
  tls: {certFile: /a, keyFile: /b, caFile: /c}
";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("webhook.yaml"))
}

fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Faults { faults, .. }) => {
            faults.iter().map(|f| f.field.to_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.suffix.as_str(), "pinniped.dev");
    assert_eq!(config.listen, "[::]:10250".parse().unwrap());
    assert_eq!(config.metrics_listen, None);
    assert_eq!(config.namespace, "haulout-system");
    assert_eq!(config.certificate_lifetime_seconds, 300);
    assert_eq!(
        config.limits,
        Limits {
            per_address: Rate::new(50, 1_000),
            total: Rate::new(3_000, 6_000),
        }
    );
    assert_eq!(config.personal_info, PersonalInfo::Redacted);
    assert_eq!(config.lease_name, "haulout-webhook");
    assert_eq!(config.serving_certificate.secret_name, "haulout-serving");
    assert_eq!(config.advertise, None);
    assert_eq!(config.direct_endpoint, None);
    assert_eq!(config.credential_issuer.name, "haulout");
    assert_eq!(config.credential_issuer.spec, None);
    assert_eq!(
        config.agents,
        Agents::Addresses(vec!["127.0.0.1:9443".to_owned()])
    );
}

#[test]
fn the_documented_file_holds_every_field_and_its_default() {
    let page = include_str!("../../../docs/configuration.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (documented, _) = rest.split_once("```").unwrap();
    let documented = parse(documented).unwrap();
    let defaults = parse(GOOD).unwrap();
    let same = Config {
        metrics_listen: documented.metrics_listen,
        pod_name: documented.pod_name.clone(),
        agents: documented.agents.clone(),
        agent_tls: documented.agent_tls.clone(),
        direct_endpoint: documented.direct_endpoint.clone(),
        ..defaults
    };
    assert_eq!(format!("{documented:?}"), format!("{same:?}"));
    let url = "directEndpoint: {externalUrl: 'https://login.example.com'}";
    let shortest = parse(&format!("{GOOD}{url}")).unwrap();
    assert_eq!(documented.direct_endpoint, shortest.direct_endpoint);
}

#[test]
fn every_field_can_be_set() {
    let config = parse(
        "
apiGroupSuffix: example.com
listen: 127.0.0.1:1234
metricsListen: '[::1]:8080'
namespace: ns
podName: pod-1
labels: {team: a, example.com/x: b_1}
servingCertificate: {secretName: s, service: svc, caLifetimeSeconds: 4000, leafLifetimeSeconds: 1000}
agent:
  service: {namespace: haulout-agent, name: haulout-agent}
  tls: {certFile: /a, keyFile: /b, caFile: /c}
advertise: {server: 'https://k.example.com:6443'}
credentialIssuer:
  name: ci
  spec: {impersonationProxy: {mode: auto, externalEndpoint: '', service: {type: None, annotations: {a: b}}}}
certificates: {defaultLifetimeSeconds: 600}
limits: {perAddressPerSecond: 5, perAddressBurst: 10, totalPerSecond: 0, totalBurst: 0}
audit: {logUsernamesAndGroups: enabled}
log: {level: debug, format: text}
leaderElection: {leaseName: lease}
",
    )
    .unwrap();
    assert_eq!(config.personal_info, PersonalInfo::Logged);
    assert_eq!(config.certificate_lifetime_seconds, 600);
    assert_eq!(
        config.limits,
        Limits {
            per_address: Rate::new(5, 10),
            total: None,
        }
    );
    assert_eq!(config.labels.len(), 2);
    assert!(matches!(config.agents, Agents::Service { .. }));
    assert!(config.agent_tls.is_some());
    let advertise = config.advertise.unwrap();
    assert_eq!(advertise.server, "https://k.example.com:6443");
    assert_eq!(advertise.certificate_authority_data, None);
    assert_eq!(config.credential_issuer.name, "ci");
    let proxy = config.credential_issuer.spec.unwrap().impersonation_proxy;
    assert_eq!(proxy.mode, ImpersonationProxyMode::Auto);
    assert_eq!(proxy.service.annotations["a"], "b");
}

#[test]
fn an_advertised_ca_is_certificates_in_base64() {
    let with = |data: &str| {
        format!("{GOOD}advertise: {{server: 'https://k', certificateAuthorityData: {data}}}\n")
    };
    let network = TestNetwork::new();
    let data = BASE64_STANDARD.encode(network.ca_pem());
    let advertise = parse(&with(&data)).unwrap().advertise.unwrap();
    assert_eq!(advertise.certificate_authority_data, Some(data));
    for bad in ["'no base64'", "bm8gUEVN"] {
        assert_eq!(faults(&with(bad)), ["advertise.certificateAuthorityData"]);
    }
}

fn direct(fields: &str) -> String {
    format!("{GOOD}directEndpoint: {{{fields}}}\n")
}

#[test]
fn a_direct_endpoint_needs_no_more_than_its_url() {
    let network = TestNetwork::new();
    let data = BASE64_STANDARD.encode(network.ca_pem());
    let direct = |fields: &str| parse(&direct(fields)).unwrap().direct_endpoint.unwrap();
    let plain = direct("externalUrl: 'https://Login.example.com:8443/haulout'");
    assert_eq!(
        plain,
        DirectEndpoint {
            listen: "[::]:8443".parse().unwrap(),
            external_url: "https://Login.example.com:8443/haulout".to_owned(),
            host: "login.example.com".to_owned(),
            authority: AdvertisedAuthority::OfCertificate,
            tls_secret_name: None,
            trusted_proxies: TrustedProxies::default(),
        }
    );
    let full = direct(&format!(
        "listen: '127.0.0.1:1', externalUrl: 'https://[2001:db8::1]', tlsSecretName: login-tls, \
         certificateAuthorityData: {data}, trustedProxies: [10.0.0.0/8, '2001:db8::/32']"
    ));
    assert_eq!(full.listen, "127.0.0.1:1".parse().unwrap());
    assert_eq!(full.host, "2001:db8::1");
    let roots = CertificateBundle::parse_pem(network.ca_pem().as_bytes()).unwrap();
    assert_eq!(full.authority, AdvertisedAuthority::Given(roots));
    assert_eq!(full.tls_secret_name.as_deref(), Some("login-tls"));
    assert_ne!(full.trusted_proxies, TrustedProxies::default());
    let public = direct("externalUrl: 'https://192.0.2.1', certificateAuthorityData: public");
    assert_eq!(public.authority, AdvertisedAuthority::Public);
    assert_eq!(public.host, "192.0.2.1");
}

#[test]
fn each_fault_of_a_direct_endpoint_is_told() {
    assert_eq!(faults(&direct("")), ["directEndpoint.externalUrl"]);
    for url in [
        "http://a.example.com",
        "a.example.com",
        "https://",
        "https://a?b",
        "https://u@a",
    ] {
        let text = direct(&format!("externalUrl: '{url}'"));
        assert_eq!(faults(&text), ["directEndpoint.externalUrl"], "{url}");
    }
    let all = direct(
        "listen: x, externalUrl: 'ftp://a', certificateAuthorityData: '%', tlsSecretName: A_b, \
         trustedProxies: [a, '10.0.0.0/8', '0.0.0.0/0']",
    );
    let expected = [
        "listen",
        "externalUrl",
        "certificateAuthorityData",
        "tlsSecretName",
        "trustedProxies",
        "trustedProxies",
    ];
    assert_eq!(
        faults(&all),
        expected.map(|field| format!("directEndpoint.{field}"))
    );
}

#[test]
fn a_service_alone_needs_no_files() {
    let config = parse("agent: {service: {namespace: a, name: b}}").unwrap();
    assert_eq!(config.agent_tls, None);
    let service = Agents::Service {
        namespace: "a".to_owned(),
        name: "b".to_owned(),
    };
    assert_eq!(config.agents, service);
}

#[test]
fn each_fault_names_its_field() {
    let cases = [
        ("apiGroupSuffix: nodot", "apiGroupSuffix"),
        ("apiGroupSuffix: .a.b", "apiGroupSuffix"),
        ("listen: localhost", "listen"),
        ("listen: ':10250'", "listen"),
        ("metricsListen: x", "metricsListen"),
        ("namespace: a.b", "namespace"),
        ("namespace: ''", "namespace"),
        ("labels: {'-x': y}", "labels"),
        ("labels: {x: 'a b'}", "labels"),
        ("labels: {'-/x': y}", "labels"),
        (
            "servingCertificate: {secretName: A}",
            "servingCertificate.secretName",
        ),
        (
            "servingCertificate: {service: a.b}",
            "servingCertificate.service",
        ),
        (
            "servingCertificate: {leafLifetimeSeconds: 299}",
            "servingCertificate.leafLifetimeSeconds",
        ),
        (
            "servingCertificate: {leafLifetimeSeconds: 300, caLifetimeSeconds: 1199}",
            "servingCertificate.caLifetimeSeconds",
        ),
        (
            "certificates: {defaultLifetimeSeconds: 0}",
            "certificates.defaultLifetimeSeconds",
        ),
        (
            "certificates: {defaultLifetimeSeconds: 86401}",
            "certificates.defaultLifetimeSeconds",
        ),
        ("advertise: {server: k.example.com}", "advertise.server"),
        ("advertise: {server: 'http://k'}", "advertise.server"),
        ("advertise: {server: 'https://a:b@k'}", "advertise.server"),
        ("advertise: {server: 'https://k?a'}", "advertise.server"),
        ("advertise: {server: 'HTTPS://k'}", "advertise.server"),
        (
            "advertise: {certificateAuthorityData: Zm9v}",
            "advertise.server",
        ),
        ("credentialIssuer: {name: A_B}", "credentialIssuer.name"),
        ("credentialIssuer: {spec: {}}", "credentialIssuer.spec"),
        (
            "credentialIssuer: {spec: {impersonationProxy: {mode: some}}}",
            "credentialIssuer.spec",
        ),
        (
            "credentialIssuer: {spec: {impersonationProxy: {mode: auto, endpoint: e}}}",
            "credentialIssuer.spec",
        ),
        ("limits: {perAddressBurst: 0}", "limits.perAddressBurst"),
        ("limits: {totalBurst: 0}", "limits.totalBurst"),
        (
            "audit: {logUsernamesAndGroups: maybe}",
            "audit.logUsernamesAndGroups",
        ),
        (
            "leaderElection: {leaseName: A_B}",
            "leaderElection.leaseName",
        ),
    ];
    for (text, field) in cases {
        assert_eq!(faults(&format!("{GOOD}{text}\n")), [field], "{text}");
    }
}

#[test]
fn each_fault_of_the_agent_names_its_field() {
    let tls = "tls: {certFile: /a, keyFile: /b, caFile: /c}";
    let cases = [
        (format!("agent: {{{tls}}}"), vec!["agent"]),
        (
            format!("agent: {{addresses: [nohost], {tls}}}"),
            vec!["agent.addresses"],
        ),
        (
            format!("agent: {{addresses: ['h:0'], {tls}}}"),
            vec!["agent.addresses"],
        ),
        (
            format!("agent: {{addresses: ['h:1'], service: {{namespace: a, name: b}}, {tls}}}"),
            vec!["agent"],
        ),
        (
            format!("agent: {{service: {{namespace: A, name: b.c}}, {tls}}}"),
            vec!["agent.service.namespace", "agent.service.name"],
        ),
        (
            "agent: {addresses: ['h:1']}".to_owned(),
            vec![
                "agent.tls.certFile",
                "agent.tls.keyFile",
                "agent.tls.caFile",
            ],
        ),
        ("agent: {}".to_owned(), vec!["agent"]),
        (
            "agent: {service: {namespace: a, name: b}, tls: {keyFile: /b}}".to_owned(),
            vec!["agent.tls.certFile", "agent.tls.caFile"],
        ),
    ];
    for (text, fields) in cases {
        assert_eq!(faults(&text), fields, "{text}");
    }
}

#[test]
fn all_faults_are_told_at_once_each_with_the_file() {
    let text = "
listen: x
namespace: A
labels: {a: '-', '-b': '', c: d, '-e': '+'}
agent: {addresses: [one, 'a:1', two]}
";
    let error = parse(text).unwrap_err().to_string();
    let beginnings = [
        "listen: \"x\" is no address",
        "namespace: \"A\"",
        "labels: \"-b\" is no label key",
        "labels: \"-e\" is no label key",
        "labels: the value \"+\" of \"-e\"",
        "labels: the value \"-\" of \"a\"",
        "agent.addresses: \"one\"",
        "agent.addresses: \"two\"",
        "agent.tls.certFile",
        "agent.tls.keyFile",
        "agent.tls.caFile",
    ];
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), beginnings.len(), "{error}");
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(
            line.starts_with(&format!("webhook.yaml: {beginning}")),
            "{line}"
        );
    }
}

#[test]
fn unknown_fields_and_wrong_types_are_named() {
    for (text, needle) in [
        ("lisen: x", "lisen"),
        ("agent: {adresses: []}", "adresses"),
        ("certificates: {defaultLifetimeSeconds: soon}", "soon"),
        ("limits: {totalPerSecond: -1}", "totalPerSecond"),
        ("log: {level: loud}", "loud"),
        ("- a", "webhook.yaml"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            matches!(error, ConfigError::Parse { .. }),
            "{text}: {error:?}"
        );
        let line = error.to_string();
        assert!(line.contains(needle) && line.contains("line "), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
