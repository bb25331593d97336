//! Which page an issuer may send those to who log in.

use url::Url;

use crate::oidc::OidcError;
use crate::oidc::authorization::PARAMETERS;

/// Whether `endpoint` is good for a login at `issuer`, whose answers say of whom they are if it `names_itself`.
///
/// One that sends users to another issuer's page, and has the code of there sent to its own token endpoint, would be given what
/// redeems it. An answer that has to say of whom it is tells.
pub(super) fn check(
    endpoint: &Url,
    issuer: &str,
    token_endpoint: &Url,
    names_itself: bool,
) -> Result<(), OidcError> {
    if !names_itself && is_foreign(endpoint, issuer, token_endpoint) {
        let name = |url: &Url| url.origin().ascii_serialization();
        return Err(OidcError::ForeignAuthorizationEndpoint {
            issuer: issuer.to_owned(),
            endpoint: name(endpoint),
            token_endpoint: name(token_endpoint),
        });
    }
    let is_ours = |name: &&str| endpoint.query_pairs().any(|(key, _)| key == *name);
    match PARAMETERS.into_iter().find(is_ours) {
        Some(name) => Err(OidcError::EndpointParameter { name }),
        None => Ok(()),
    }
}

/// Whether it is of another server than the issuer, and than that which redeems its code.
pub(super) fn is_foreign(endpoint: &Url, issuer: &str, token_endpoint: &Url) -> bool {
    let is_there = |url: &Url| url.origin() == endpoint.origin();
    let is_issuers = Url::parse(issuer).is_ok_and(|issuer| is_there(&issuer));
    !is_issuers && !is_there(token_endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.example.com/realms/staff";

    fn judge(endpoint: &str, token_endpoint: &str, names_itself: bool) -> Result<(), String> {
        let [endpoint, token_endpoint] =
            [endpoint, token_endpoint].map(|url| Url::parse(url).unwrap());
        check(&endpoint, ISSUER, &token_endpoint, names_itself).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_is_of_the_issuer_or_where_its_code_is_redeemed() {
        const OWN_TOKEN: &str = "https://login.example.com/token";
        for (endpoint, token, names_itself, is_good) in [
            (
                "https://login.example.com/authorize",
                OWN_TOKEN,
                false,
                true,
            ),
            (
                "https://login.example.com:443/authorize",
                OWN_TOKEN,
                false,
                true,
            ),
            // As at Google.
            (
                "https://login.example.com/authorize",
                "https://oauth2.example.com/token",
                false,
                true,
            ),
            // As at Cognito.
            (
                "https://pool.example.org/authorize",
                "https://pool.example.org/token",
                false,
                true,
            ),
            (
                "https://other.example.org/authorize",
                OWN_TOKEN,
                false,
                false,
            ),
            ("https://other.example.org/authorize", OWN_TOKEN, true, true),
            (
                "https://login.example.com:8443/authorize",
                OWN_TOKEN,
                false,
                false,
            ),
            (
                "https://login.example.com.evil.example/a",
                OWN_TOKEN,
                false,
                false,
            ),
        ] {
            let judged = judge(endpoint, token, names_itself);
            assert_eq!(judged.is_ok(), is_good, "{endpoint} {token}: {judged:?}");
        }
        let text = judge("https://other.example.org/a", OWN_TOKEN, false).unwrap_err();
        for part in [ISSUER, "https://other.example.org", "check --issuer"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn no_endpoint_has_a_parameter_that_a_login_sets() {
        let endpoint = "https://login.example.com/authorize";
        for (query, is_good) in [
            ("", true),
            ("?tenant=a&p=policy", true),
            ("?states=x", true),
        ]
        .map(|(query, is_good)| (query.to_owned(), is_good))
        .into_iter()
        .chain(PARAMETERS.map(|name| (format!("?tenant=a&{name}=x"), false)))
        .chain([("?%73tate=x".to_owned(), false)])
        {
            for names_itself in [true, false] {
                let judged = judge(&format!("{endpoint}{query}"), endpoint, names_itself);
                assert_eq!(judged.is_ok(), is_good, "{query}: {judged:?}");
            }
        }
    }
}
