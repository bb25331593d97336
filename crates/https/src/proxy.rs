//! Which calls go through a proxy, by the rules and the code by which the client itself decides.

use std::fmt;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// The rules of `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, each also in lower case.
#[derive(Debug)]
pub struct ProxyRules {
    matcher: Matcher,
    /// The variable that names the proxy; empty where none does.
    variable: &'static str,
    is_unusable: bool,
}

/// A proxy, without a user and password, and the variable that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    url: String,
    variable: &'static str,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} ({})", self.url, self.variable)
    }
}

/// No proxy can be found in a variable. Its value is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the variable {0} is not the URL of an HTTP proxy, for example http://proxy.example.com:3128"
)]
pub struct ProxyError(&'static str);

impl ProxyRules {
    /// The rules of this process, as the client reads them when it is made.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The rules that `variable` gives by name. A name in upper case counts before the same in lower case, even if it is
    /// empty.
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            let mut set = names
                .into_iter()
                .filter_map(|name| Some((name, variable(name)?)));
            set.next().unwrap_or_default()
        };
        let (https_name, https) = first(["HTTPS_PROXY", "https_proxy"]);
        let (all_name, all) = first(["ALL_PROXY", "all_proxy"]);
        let (_, exempt) = first(["NO_PROXY", "no_proxy"]);
        let (name, proxy) = match https.as_str() {
            "" => (all_name, all),
            _ => (https_name, https),
        };
        let is_unusable = !proxy.is_empty() && !is_http_proxy(&proxy);
        // One that cannot be used stands between us and the same servers as one that can.
        let proxy = match is_unusable {
            true => "http://unusable.invalid".to_owned(),
            false => proxy,
        };
        Self {
            matcher: Matcher::builder().https(proxy).no(exempt).build(),
            variable: name,
            is_unusable,
        }
    }

    /// Whether a proxy stands between us and `url`.
    ///
    /// # Errors
    /// As [`Self::proxy_to`].
    pub fn apply_to(&self, url: &Url) -> Result<bool, ProxyError> {
        Ok(self.proxy_to(url)?.is_some())
    }

    /// The proxy between us and `url`; none where the client would call directly.
    ///
    /// # Errors
    /// A proxy is configured in a way that the client cannot use, and `url` is not exempt from it.
    pub fn proxy_to(&self, url: &Url) -> Result<Option<Proxy>, ProxyError> {
        match self.applying_to(url) {
            Some(_) if self.is_unusable => Err(ProxyError(self.variable)),
            proxy => Ok(proxy),
        }
    }

    fn applying_to(&self, url: &Url) -> Option<Proxy> {
        let target = url.as_str().parse().ok()?;
        let proxy = self.matcher.intercept(&target)?;
        let uri = proxy.uri();
        // A password may have an `@` of its own.
        let authority = uri.authority()?.as_str();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        Some(Proxy {
            url: format!("{}://{host}", uri.scheme_str().unwrap_or("http")),
            variable: self.variable,
        })
    }
}

/// The matcher takes no notice of what it cannot read, and reads URLs of SOCKS proxies, which the client has no code for.
fn is_http_proxy(proxy: &str) -> bool {
    let matcher = Matcher::builder().https(proxy).build();
    matcher
        .intercept(&Uri::from_static("https://example.com/"))
        .is_some_and(|proxy| matches!(proxy.uri().scheme_str(), Some("http" | "https")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(set: &[(&'static str, &str)]) -> ProxyRules {
        ProxyRules::from_variables(|name| {
            let (_, value) = set.iter().find(|(set, _)| *set == name)?;
            Some((*value).to_owned())
        })
    }

    fn parsed(url: &str) -> Url {
        Url::parse(url).unwrap()
    }

    fn judge(set: &[(&'static str, &str)], url: &str) -> Result<bool, ProxyError> {
        rules(set).apply_to(&parsed(url))
    }

    #[test]
    fn what_is_no_http_proxy_is_found() {
        let url = "https://example.com/";
        for usable in [
            "http://proxy:3128",
            "https://user:password@proxy",
            "proxy:3128",
            "proxy",
        ] {
            assert_eq!(judge(&[("HTTPS_PROXY", usable)], url), Ok(true), "{usable}");
        }
        for unusable in [
            "socks5://proxy:1080",
            "ftp://proxy",
            "http://",
            "a b",
            "http://[::",
        ] {
            assert_eq!(
                judge(&[("https_proxy", unusable)], url),
                Err(ProxyError("https_proxy")),
                "{unusable}"
            );
        }
    }

    #[test]
    fn the_variable_that_counts_is_judged() {
        let (bad, good) = ("a b", "proxy");
        for (set, verdict) in [
            (vec![], Ok(false)),
            (vec![("HTTP_PROXY", bad)], Ok(false)),
            (vec![("ALL_PROXY", good)], Ok(true)),
            (vec![("ALL_PROXY", bad)], Err(ProxyError("ALL_PROXY"))),
            (
                vec![("HTTPS_PROXY", ""), ("all_proxy", bad)],
                Err(ProxyError("all_proxy")),
            ),
            (vec![("HTTPS_PROXY", good), ("ALL_PROXY", bad)], Ok(true)),
            (vec![("HTTPS_PROXY", good), ("https_proxy", bad)], Ok(true)),
            (vec![("HTTPS_PROXY", ""), ("https_proxy", good)], Ok(false)),
        ] {
            assert_eq!(judge(&set, "https://example.com/"), verdict, "{set:?}");
        }
    }

    #[test]
    fn hosts_are_exempt_one_by_one() {
        let set = [
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("NO_PROXY", "internal.example.com,10.0.0.0/8,fd00::/8"),
        ];
        for (url, applies) in [
            ("https://example.com/review", true),
            ("https://internal.example.com:8443/", false),
            ("https://a.internal.example.com/", false),
            ("https://10.1.2.3/", false),
            ("https://11.1.2.3/", true),
            ("https://[fd00::1]:8443/", false),
            ("https://[2001:db8::1]/", true),
        ] {
            assert_eq!(judge(&set, url), Ok(applies), "{url}");
        }
        for proxy in ["proxy", "socks5://proxy"] {
            for exempt in ["*", "example.com"] {
                let set = [("HTTPS_PROXY", proxy), ("no_proxy", exempt)];
                assert_eq!(judge(&set, "https://example.com/"), Ok(false), "{set:?}");
            }
        }
    }

    #[test]
    fn a_proxy_is_told_without_its_password() {
        let url = parsed("https://example.com/");
        for (set, expected) in [
            (vec![], None),
            (
                vec![("HTTPS_PROXY", "http://us:hunter2@proxy:3128/x")],
                Some("the proxy http://proxy:3128 (HTTPS_PROXY)"),
            ),
            (
                vec![("all_proxy", "us:hunter@2@proxy:3128")],
                Some("the proxy http://proxy:3128 (all_proxy)"),
            ),
            (
                vec![("HTTPS_PROXY", "proxy"), ("NO_PROXY", "example.com")],
                None,
            ),
        ] {
            let told = rules(&set).proxy_to(&url).unwrap();
            let told = told.map(|proxy| proxy.to_string());
            assert_eq!(told.as_deref(), expected, "{set:?}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named_and_not_repeated() {
        let set = [("HTTPS_PROXY", "socks5://us:hunter2@proxy")];
        let error = judge(&set, "https://example.com/").unwrap_err();
        let text = format!("{error} {:?}", rules(&set));
        assert!(
            text.starts_with("the variable HTTPS_PROXY is not"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}
