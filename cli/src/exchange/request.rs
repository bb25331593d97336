//! What is sent, and where.

use haulout_api::credential::{KIND, login_path};
use haulout_api::group::{ApiGroupSuffix, VERSION};
use reqwest::Url;
use serde::Serialize;

use crate::authenticator_kind::AuthenticatorKind;

/// A `TokenCredentialRequest` that is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    kind: &'static str,
    api_version: String,
    metadata: Empty,
    spec: Spec<'a>,
    status: Empty,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    authenticator: Authenticator<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authenticator<'a> {
    api_group: String,
    kind: &'static str,
    name: &'a str,
}

impl<'a> Request<'a> {
    /// A request to exchange `token` by the authenticator of this kind and name.
    pub(crate) fn new(
        suffix: &ApiGroupSuffix,
        kind: AuthenticatorKind,
        name: &'a str,
        token: &'a str,
    ) -> Self {
        Self {
            kind: KIND,
            api_version: format!("{}/{VERSION}", suffix.login_group()),
            metadata: Empty {},
            spec: Spec {
                token,
                authenticator: Authenticator {
                    api_group: suffix.authentication_group(),
                    kind: kind.kind(),
                    name,
                },
            },
            status: Empty {},
        }
    }
}

/// Where logins go, below the path of `endpoint`.
pub(crate) fn url(endpoint: &Url, suffix: &ApiGroupSuffix) -> Url {
    let mut url = endpoint.clone();
    let base = endpoint.path().trim_end_matches('/');
    url.set_path(&format!("{base}{}", login_path(suffix)));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_appended_to_the_endpoint() {
        let suffix = ApiGroupSuffix::parse("pinniped.dev").unwrap();
        let cases = [
            (
                "https://k.example.com",
                "https://k.example.com/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
            ),
            (
                "https://k:6443/",
                "https://k:6443/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
            ),
            (
                "https://r/k8s/c-1/",
                "https://r/k8s/c-1/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
            ),
        ];
        for (endpoint, expected) in cases {
            assert_eq!(
                url(&Url::parse(endpoint).unwrap(), &suffix).as_str(),
                expected
            );
        }
    }
}
