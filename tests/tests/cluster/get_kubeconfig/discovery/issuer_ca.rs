//! The CA of the issuer's certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ISSUER, SUFFIX, Site, good};

/// `spec.tls` that leads to a key of an object.
fn source(kind: &str, name: &str, key: &str) -> Value {
    json!({"certificateAuthorityDataSource": {"kind": kind, "name": name, "key": key}})
}

pub(super) async fn c108_each_lack_of_the_issuers_ca_has_a_text_of_its_own(site: &Site) {
    let pem = site.supervisor.ca_pem();
    site.apply(
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "of-the-service"}}),
    )
    .await;
    let object = |kind: &str, field: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": "issuer-ca", "namespace": "of-the-service"},
            field: data,
        })
    };
    let data = json!({"good": pem, "empty": "", "bad": "hunter2"});
    site.apply(&object("Secret", "stringData", data.clone()))
        .await;
    site.apply(&object("ConfigMap", "data", data)).await;
    let failure = async |tls: &Value, expected: &str| {
        site.authenticator("pinniped.dev", "this-cluster", tls)
            .await;
        let outcome = site.run(&[ISSUER]).await;
        outcome
            .assert_fails("tried to autodiscover --oidc-ca-bundle, but JWTAuthenticator company");
        outcome.assert_fails(expected);
        site.delete(&["jwtauthenticator", "company"]).await;
    };
    let secret = source("Secret", "issuer-ca", "good");
    failure(
        &secret,
        "there is no APIService v1alpha1.login.concierge.pinniped.dev",
    )
    .await;
    site.api_service("pinniped.dev", &Value::Null).await;
    failure(&secret, "leads to no Service").await;
    site.delete(&["apiservice", "v1alpha1.login.concierge.pinniped.dev"])
        .await;
    for suffix in ["pinniped.dev", SUFFIX] {
        let service = json!({"name": "haulout-api", "namespace": "of-the-service", "port": 443});
        site.api_service(suffix, &service).await;
    }
    for kind in ["Secret", "ConfigMap"] {
        for (name, key, expected) in [
            ("x", "good", format!("there is no {kind} of-the-service/x")),
            (
                "issuer-ca",
                "x",
                format!("{kind} of-the-service/issuer-ca has no key \"x\""),
            ),
            (
                "issuer-ca",
                "empty",
                format!("{kind} of-the-service/issuer-ca has nothing under \"empty\""),
            ),
            (
                "issuer-ca",
                "bad",
                format!("what {kind} of-the-service/issuer-ca has under \"bad\" cannot be used"),
            ),
        ] {
            failure(&source(kind, name, key), &expected).await;
        }
    }
    for data in ["*", "Zm9v"] {
        let tls = json!({"certificateAuthorityData": data});
        failure(&tls, "spec.tls.certificateAuthorityData is invalid").await;
    }
}

/// With the objects of above.
pub(super) async fn c108_the_issuers_ca_comes_from_where_the_authenticator_says(site: &Site) {
    let ca_flag = format!(
        "--ca-bundle-data={}",
        STANDARD.encode(site.supervisor.ca_pem())
    );
    for suffix in ["pinniped.dev", SUFFIX] {
        if suffix == SUFFIX {
            site.install(suffix).await;
            site.issuer("first", suffix, &json!([good()])).await;
        }
        let suffix_flag = format!("--concierge-api-group-suffix={suffix}");
        for tls in [
            site.inline_ca(),
            source("Secret", "issuer-ca", "good"),
            source("ConfigMap", "issuer-ca", "good"),
        ] {
            site.authenticator(suffix, "this-cluster", &tls).await;
            let made = site
                .run(&[
                    ISSUER,
                    &suffix_flag,
                    "--upstream-identity-provider-type=ldap",
                ])
                .await;
            let arguments = made.arguments();
            for flag in [
                suffix_flag.as_str(),
                &format!("--issuer={}", site.supervisor.url()),
                &ca_flag,
                "--request-audience=this-cluster",
                "--upstream-identity-provider-name=my-ldap",
                "--upstream-identity-provider-flow=cli_password",
            ] {
                assert!(
                    arguments.iter().any(|found| found == flag),
                    "{flag}: {arguments:?}"
                );
            }
            let resource = format!("jwtauthenticators.authentication.concierge.{suffix}");
            site.delete(&[&resource, "company"]).await;
        }
    }
}

/// Who may not read the object is told which.
pub(super) async fn c108_rights_that_are_missing_are_named(site: &Site) {
    let secret = source("Secret", "issuer-ca", "good");
    site.authenticator("pinniped.dev", "this-cluster", &secret)
        .await;
    let resources = "credentialissuers.config.concierge.pinniped.dev,jwtauthenticators.authentication.concierge.pinniped.dev";
    let limited = site.limited_to("reader", resources).await;
    let unread = limited
        .run(&[ISSUER, "--concierge-authenticator-type=jwt"])
        .await;
    unread.assert_fails("could not read APIService v1alpha1.login.concierge.pinniped.dev");
}

impl Site {
    /// Registers the login API with this Service behind it.
    async fn api_service(&self, suffix: &str, service: &Value) {
        let group = format!("login.concierge.{suffix}");
        let mut object = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1alpha1.{group}")},
            "spec": {"group": group, "version": "v1alpha1", "groupPriorityMinimum": 9900, "versionPriority": 15},
        });
        if !service.is_null() {
            object["spec"]["service"] = service.clone();
            object["spec"]["insecureSkipTLSVerify"] = json!(true);
        }
        self.apply(&object).await;
    }
}
