//! Where a link leads, for whoever is to open it.

use haulout_https::foreign;
use url::Url;

/// Tells it. Some issuers have their page on another server than their own; others would have somebody confirm at the page of
/// an issuer that he trusts what is of use to them.
pub(super) fn whither(link: &Url, issuer: &str) -> String {
    let is_own = Url::parse(issuer).is_ok_and(|issuer| issuer.origin() == link.origin());
    let issuer = foreign(issuer);
    match is_own {
        true => format!("It leads to the issuer {issuer}"),
        false => {
            let page = link.origin().ascii_serialization();
            format!(
                "This page is at {page}; whoever confirms there gives the issuer {issuer} his login"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_elsewhere_is_not_said_to_be_the_issuers() {
        const ISSUER: &str = "https://login.example.com/realms/staff";
        for (link, expected) in [
            (
                "https://login.example.com/device?code=x",
                "It leads to the issuer https://login.example.com/realms/staff",
            ),
            (
                "https://other.example.org/device",
                "This page is at https://other.example.org; whoever confirms there gives the issuer \
                 https://login.example.com/realms/staff his login",
            ),
            (
                "https://login.example.com:8443/",
                "This page is at https://login.example.com:8443; whoever confirms there gives the issuer \
                 https://login.example.com/realms/staff his login",
            ),
        ] {
            assert_eq!(whither(&Url::parse(link).unwrap(), ISSUER), expected);
        }
    }
}
