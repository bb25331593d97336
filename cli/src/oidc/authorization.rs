//! The authorization request: RFC 6749, 4.1.1, with PKCE (RFC 7636, `S256`), state and nonce.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::hex::hex;

/// Random bytes that one attempt needs.
pub(crate) const RANDOM_BYTES: usize = 64;

/// What ties an answer to the request that it answers. `Debug` shows nothing of it.
pub(crate) struct Attempt {
    state: String,
    nonce: String,
    verifier: SecretString,
    issuer: Option<ExpectedIssuer>,
}

/// Whom the answer has to come from (RFC 9207).
pub(crate) struct ExpectedIssuer {
    pub(crate) issuer: String,
    /// Whether it always says who it is.
    pub(crate) is_declared: bool,
    /// Whether users are sent to a server that is not known to be its own.
    pub(crate) has_foreign_page: bool,
}

impl Attempt {
    pub(crate) fn new(random: &[u8; RANDOM_BYTES]) -> Self {
        let (state, rest) = random.split_at(16);
        let (nonce, verifier) = rest.split_at(16);
        Self {
            state: hex(state),
            nonce: hex(nonce),
            verifier: hex(verifier).into(),
            issuer: None,
        }
    }

    /// The same, for an answer that says that it is of this issuer, or, unless it has declared that it does so, says nothing.
    pub(crate) fn at(self, issuer: ExpectedIssuer) -> Self {
        Self {
            issuer: Some(issuer),
            ..self
        }
    }

    /// Whether a code is taken that comes without the rest of its answer, and so without `iss`.
    pub(crate) fn takes_bare_codes(&self) -> bool {
        let issuer = self.issuer.as_ref();
        issuer.is_none_or(|issuer| !issuer.has_foreign_page)
    }

    /// Whether an answer with this `iss` is one of the issuer that was asked. A user may have been led to another one, that hands
    /// him on to ours and wants to see the code.
    pub(crate) fn is_issuer(&self, iss: Option<&str>) -> bool {
        match (&self.issuer, iss) {
            (None, _) => true,
            (Some(expected), Some(iss)) => expected.issuer == iss,
            (Some(expected), None) => !expected.is_declared,
        }
    }

    pub(crate) fn is_state(&self, state: &str) -> bool {
        verify_slices_are_equal(self.state.as_bytes(), state.as_bytes()).is_ok()
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(crate) fn verifier(&self) -> &SecretString {
        &self.verifier
    }

    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.expose_secret().as_bytes()))
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// Of clients that have one; sent to the token endpoint only.
    pub(crate) secret: Option<SecretString>,
    /// Sorted.
    pub(crate) scopes: Vec<String>,
    /// Further parameters of the authorization request, in order.
    pub(crate) extra_parameters: Vec<(String, String)>,
}

/// An identity provider of a Pinniped Supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamProvider {
    pub(crate) name: String,
    pub(crate) type_: String,
}

/// What the URL sets, of whatever login.
pub(super) const PARAMETERS: [&str; 12] = [
    "access_type",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "pinniped_idp_name",
    "pinniped_idp_type",
    "redirect_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// The URL at which the user logs in.
pub(crate) fn authorize_url(
    endpoint: &Url,
    client: &Client,
    attempt: &Attempt,
    redirect_uri: &str,
    form_post: bool,
    upstream: Option<&UpstreamProvider>,
) -> Url {
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("access_type", "offline")
        .append_pair("client_id", &client.id)
        .append_pair("code_challenge", &attempt.challenge())
        .append_pair("code_challenge_method", "S256")
        .append_pair("nonce", &attempt.nonce)
        .append_pair("redirect_uri", redirect_uri);
    if form_post {
        query.append_pair("response_mode", "form_post");
    }
    query
        .append_pair("response_type", "code")
        .append_pair("scope", &client.scopes.join(" "))
        .append_pair("state", &attempt.state);
    if let Some(UpstreamProvider { name, type_ }) = upstream {
        query
            .append_pair("pinniped_idp_name", name)
            .append_pair("pinniped_idp_type", type_);
    }
    query.extend_pairs(&client.extra_parameters);
    drop(query);
    url
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn client() -> Client {
        Client {
            id: "pinniped-cli".to_owned(),
            secret: Some("very-secret".into()),
            scopes: ["openid", "profile"].map(str::to_owned).into(),
            extra_parameters: vec![("prompt".to_owned(), "select_account".to_owned())],
        }
    }

    fn parameters(url: &Url) -> BTreeMap<String, String> {
        url.query_pairs().into_owned().collect()
    }

    #[test]
    fn request_has_what_the_answer_is_checked_by() {
        let attempt = Attempt::new(&[7; RANDOM_BYTES]);
        let endpoint = Url::parse("https://login.example.com/authorize?tenant=a").unwrap();
        let redirect_uri = "http://127.0.0.1:4711/callback";
        let url = authorize_url(&endpoint, &client(), &attempt, redirect_uri, false, None);
        // The challenge of 32 bytes 0x07 in hexadecimal, by openssl.
        let expected = [
            ("access_type", "offline"),
            ("client_id", "pinniped-cli"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("nonce", "07070707070707070707070707070707"),
            ("prompt", "select_account"),
            ("redirect_uri", redirect_uri),
            ("response_type", "code"),
            ("scope", "openid profile"),
            ("state", "07070707070707070707070707070707"),
            ("tenant", "a"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parameters(&url), BTreeMap::from(expected));
        assert_eq!(attempt.verifier().expose_secret(), "07".repeat(32));
        assert!(!url.as_str().contains("very-secret"));
    }
    const CHALLENGE: &str = "GWfA_a7QuPJhjTsfSp-FQe0xVQWswm9aQfOC2ovdmVQ";

    #[test]
    fn form_post_and_provider_are_asked_for() {
        let attempt = Attempt::new(&[7; RANDOM_BYTES]);
        let endpoint = Url::parse("https://login.example.com/authorize").unwrap();
        let upstream = UpstreamProvider {
            name: "my ldap 🦭".to_owned(),
            type_: "ldap".to_owned(),
        };
        let url = authorize_url(&endpoint, &client(), &attempt, "r", true, Some(&upstream));
        let parameters = parameters(&url);
        assert_eq!(parameters["response_mode"], "form_post");
        assert_eq!(parameters["pinniped_idp_name"], "my ldap 🦭");
        assert_eq!(parameters["pinniped_idp_type"], "ldap");
        let set = parameters.keys().filter(|name| *name != "prompt");
        assert!(set.eq(PARAMETERS));
    }

    #[test]
    fn each_part_is_of_bytes_of_its_own() {
        let bytes: Vec<u8> = (0..64).collect();
        let attempt = Attempt::new(bytes.as_slice().try_into().unwrap());
        assert!(attempt.is_state("000102030405060708090a0b0c0d0e0f"));
        assert_eq!(attempt.nonce(), "101112131415161718191a1b1c1d1e1f");
        assert!(attempt.verifier().expose_secret().starts_with("202122"));
        for other in ["", "000102030405060708090a0b0c0d0e0", "0001"] {
            assert!(!attempt.is_state(other), "{other}");
        }
        assert_eq!(format!("{attempt:?}"), "Attempt");
    }

    #[test]
    fn an_answer_of_another_issuer_is_known() {
        let ours = "https://login.example.com";
        for (is_declared, iss, expected) in [
            (false, None, true),
            (false, Some(ours), true),
            (false, Some("https://other.example.com"), false),
            (false, Some(""), false),
            (true, None, false),
            (true, Some(ours), true),
            (true, Some("https://login.example.com/"), false),
        ] {
            let attempt = Attempt::new(&[7; RANDOM_BYTES]).at(ExpectedIssuer {
                issuer: ours.to_owned(),
                is_declared,
                has_foreign_page: false,
            });
            assert_eq!(attempt.is_issuer(iss), expected, "{is_declared} {iss:?}");
        }
    }
}
