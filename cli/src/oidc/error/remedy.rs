//! What whoever logs in can do about a failure.

use haulout_https::CallFault;
use http::StatusCode;
use rustls::CertificateError;

use super::Step;
use crate::transport::TransportFault;

/// Several commands get here, and their flags for it have several names.
const IS_ISSUER: &str = "is that the URL of an OIDC issuer?";

/// Where the issuer is at fault at each login.
pub(super) const MEND: &str = "the issuer's administrator has to mend it";
/// Where it may have been this login alone.
pub(super) const AGAIN: &str = "log in again; if it stays so, tell the issuer's administrator";

/// Where no whole answer came.
pub(super) fn of_fault(fault: &CallFault) -> &'static str {
    match fault {
        CallFault::Transport(error) => of_transport(&TransportFault::of(error)),
        CallFault::TimedOut(_) => of_transport(&TransportFault::TimedOut),
        CallFault::TooLong(_) => IS_ISSUER,
    }
}

fn of_transport(fault: &TransportFault) -> &'static str {
    match fault {
        TransportFault::Certificate(reason) => of_certificate(reason),
        TransportFault::TlsVersion => "the issuer has to speak TLS 1.2 or later",
        TransportFault::TimedOut
        | TransportFault::ConnectionRefused
        | TransportFault::NoTls
        | TransportFault::Other => {
            "check the issuer's URL and your network, and HTTPS_PROXY where there is a proxy"
        }
    }
}

fn of_certificate(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "check the date and time of this computer, or have the issuer's certificate renewed"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "check the issuer's URL: the certificate is for another name"
        }
        _ => {
            "name the CA of the issuer's certificate by --ca-bundle, or --oidc-ca-bundle of `get kubeconfig`"
        }
    }
}

/// Where an answer is not what the step wants.
pub(super) fn of_document(step: Step) -> &'static str {
    match step {
        Step::Discovery => IS_ISSUER,
        _ => "its administrator has to know",
    }
}

/// Where the issuer did not say what was wrong.
pub(super) fn of_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "try again in a moment",
        status if status.is_server_error() => {
            "try again, and if it stays so, tell its administrator"
        }
        status if status.is_redirection() => {
            "redirects are not followed: the issuer's URL has to be the final address"
        }
        _ => IS_ISSUER,
    }
}

/// Where it did, by a code (RFC 6749, 5.2, and RFC 8693, 2.2.2); with a semicolon before it.
pub(super) fn of_code(code: &str) -> &'static str {
    match code {
        "invalid_client" | "unauthorized_client" => "; check --client-id and --client-secret-env",
        "invalid_scope" => "; check --scopes",
        "invalid_target" => "; check --request-audience",
        "invalid_grant" => "; try again",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use haulout_jwt::keys::KeySetError;
    use haulout_jwt::verify::TokenError;

    use super::*;
    use crate::oidc::OidcError;

    /// Whether the text itself has to say what to do. A variant that is new is named here, and then in the table below.
    fn has_remedy(error: &OidcError) -> bool {
        match error {
            OidcError::OtherIssuer { .. }
            | OidcError::ResponseModes
            | OidcError::ForeignIdentityProviders { .. }
            | OidcError::ForeignAuthorizationEndpoint { .. }
            | OidcError::EndpointParameter { .. }
            | OidcError::Missing { .. }
            | OidcError::Unexpected { .. }
            | OidcError::Proxy { .. }
            | OidcError::Call { .. }
            | OidcError::Status { .. }
            | OidcError::Document { .. }
            | OidcError::Keys(_)
            | OidcError::IdToken(_)
            | OidcError::Clock(_)
            | OidcError::Nonce
            | OidcError::AccessTokenHash
            | OidcError::State
            | OidcError::BareCode
            | OidcError::AnswerOfAnother
            | OidcError::NotRedirected(_)
            | OidcError::NoPasswordFlow
            | OidcError::RedirectedElsewhere
            | OidcError::NoDeviceEndpoint
            | OidcError::ForeignDeviceEndpoint { .. }
            | OidcError::DeviceCodeExpired => true,
            // The rule is the remedy, the issuer's own words tell it, or the cause does.
            OidcError::NoUrl { .. }
            | OidcError::NotHttps { .. }
            | OidcError::NoHeader
            | OidcError::Refused { .. }
            | OidcError::Denied(_)
            | OidcError::Client(_)
            | OidcError::Choice(_) => false,
        }
    }

    #[test]
    fn each_text_says_what_to_do() {
        let text = || "x".to_owned();
        let step = Step::Password;
        for error in [
            OidcError::OtherIssuer {
                asked: text(),
                found: text(),
            },
            OidcError::ResponseModes,
            OidcError::ForeignIdentityProviders {
                issuer: text(),
                url: text(),
            },
            OidcError::ForeignAuthorizationEndpoint {
                issuer: text(),
                endpoint: text(),
                token_endpoint: text(),
            },
            OidcError::EndpointParameter { name: "state" },
            OidcError::Missing {
                step,
                field: "code",
            },
            OidcError::Unexpected {
                step,
                field: "token_type",
                found: text(),
                expected: "N_A",
            },
            OidcError::Status {
                step,
                url: text(),
                status: StatusCode::NOT_FOUND,
                audit_id: None,
            },
            OidcError::Document {
                step,
                url: text(),
                cause: serde_json::from_str::<u64>("x").unwrap_err(),
            },
            OidcError::Keys(KeySetError::TooMany(1000)),
            OidcError::IdToken(TokenError::NotJwt),
            OidcError::Clock(TokenError::ClockUnset),
            OidcError::Nonce,
            OidcError::AccessTokenHash,
            OidcError::State,
            OidcError::BareCode,
            OidcError::AnswerOfAnother,
            OidcError::NotRedirected(StatusCode::OK),
            OidcError::NoPasswordFlow,
            OidcError::RedirectedElsewhere,
            OidcError::NoDeviceEndpoint,
            OidcError::ForeignDeviceEndpoint {
                device: text(),
                token: text(),
            },
            OidcError::DeviceCodeExpired,
        ] {
            let text = error.to_string();
            assert!(has_remedy(&error) && text.contains("; "), "{text}");
        }
    }

    #[test]
    fn each_failure_has_something_to_do_about_it() {
        for (reason, expected) in [
            (CertificateError::UnknownIssuer, "--ca-bundle"),
            (CertificateError::BadSignature, "--ca-bundle"),
            (CertificateError::Expired, "date and time"),
            (CertificateError::NotValidYet, "date and time"),
            (CertificateError::NotValidForName, "another name"),
        ] {
            let advice = of_transport(&TransportFault::Certificate(reason));
            assert!(advice.contains(expected), "{advice}");
        }
        for (status, expected) in [
            (404, "is that the URL"),
            (302, "final address"),
            (429, "in a moment"),
            (503, "try again, and if"),
        ] {
            let advice = of_status(StatusCode::from_u16(status).unwrap());
            assert!(advice.contains(expected), "{advice}");
        }
        for (code, expected) in [
            ("invalid_client", "--client-id"),
            ("invalid_scope", "--scopes"),
            ("invalid_target", "--request-audience"),
        ] {
            assert!(of_code(code).contains(expected));
        }
        assert_eq!(of_code("else"), "");
    }
}
