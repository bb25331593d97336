//! The key of a cache entry: a hash over everything that decides what the credential is.

use std::borrow::Cow;
use std::ffi::OsString;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::hex::sha256_hex;

/// Key of `login static`: lower-case hexadecimal SHA-256 over arguments, token and cluster.
pub(crate) fn static_login_key(
    arguments: &[OsString],
    token: &str,
    cluster: Option<&RawValue>,
) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        args: Vec<Cow<'a, str>>,
        token: &'a str,
        cluster: Option<&'a RawValue>,
    }
    hash(&Inputs {
        args: texts(arguments),
        token,
        cluster,
    })
}

/// Key of `login oidc`: the same over arguments and cluster.
pub(crate) fn login_key(
    arguments: &[OsString],
    cluster: Option<&RawValue>,
) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        args: Vec<Cow<'a, str>>,
        cluster: Option<&'a RawValue>,
    }
    hash(&Inputs {
        args: texts(arguments),
        cluster,
    })
}

/// Without what changes only how much is told: whoever looks what is going on finds the same credential.
fn texts(arguments: &[OsString]) -> Vec<Cow<'_, str>> {
    let texts = arguments.iter().map(|argument| argument.to_string_lossy());
    texts
        .filter(|text| !matches!(&**text, "-v" | "--verbose"))
        .collect()
}

/// Hash of `inputs` as Go's JSON encoder prints them: HTML characters escaped, a newline at the end.
fn hash(inputs: &impl Serialize) -> serde_json::Result<String> {
    let mut json = serde_json::to_string(inputs)?;
    // Outside of strings, JSON has none of these.
    for (plain, escaped) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        if json.contains(plain) {
            json = json.replace(plain, escaped);
        }
    }
    json.push('\n');
    Ok(sha256_hex(&json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c121_hash_is_that_of_pinnipeds_cli() {
        let nothing: Option<()> = None;
        assert_eq!(
            hash(&nothing).unwrap(),
            "38e0b9de817f645c4bec37c0d4a3e58baecccb040f5718dc069a72c7385a0bed"
        );
        assert_eq!(
            hash(&["k1", "k2"]).unwrap(),
            "625bb1f93dc90a1bda400fdaceb8c96328e567a0c6aaf81e7fccc68958b4565d"
        );
    }

    #[test]
    fn html_characters_are_escaped_as_go_does() {
        assert_eq!(
            hash(&"<&>\u{2028}").unwrap(),
            sha256_hex("\"\\u003c\\u0026\\u003e\\u2028\"\n")
        );
    }

    #[test]
    fn whatever_decides_the_credential_changes_the_key() {
        let cluster = RawValue::from_string(r#"{"server":"https://k"}"#.to_owned()).unwrap();
        let arguments = ["login".into(), "static".into()];
        let keys = [
            static_login_key(&arguments, "token", None).unwrap(),
            static_login_key(&arguments, "other", None).unwrap(),
            static_login_key(&arguments[..1], "token", None).unwrap(),
            static_login_key(&arguments, "token", Some(&cluster)).unwrap(),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(i + 1).all(|other| other != one));
        }
        assert_eq!(
            keys[3],
            sha256_hex(
                "{\"args\":[\"login\",\"static\"],\"token\":\"token\",\"cluster\":{\"server\":\"https://k\"}}\n"
            )
        );
        assert_eq!(
            login_key(&arguments, None).unwrap(),
            sha256_hex("{\"args\":[\"login\",\"static\"],\"cluster\":null}\n")
        );
    }
}
