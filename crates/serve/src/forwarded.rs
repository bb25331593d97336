//! `X-Forwarded-For`: for whom proxies say that they speak.

use std::net::{IpAddr, SocketAddrV4};

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses in `X-Forwarded-For`, the nearest first; `None` for what is no address. Each proxy
/// adds the peer that it sees at the end, so what a client sends itself comes last here.
pub fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers
        .get_all(FORWARDED_FOR)
        .into_iter()
        .rev()
        .flat_map(|value| value.to_str().unwrap_or_default().rsplit(','))
        .map(|entry| address(entry.trim()))
}

/// An address as proxies write it: alone, or with a port; IPv6 also in brackets and with a zone.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let host = bracketed.map_or(text, |(host, _port)| host);
    let host = host.split_once('%').map_or(host, |(host, _zone)| host);
    let with_port = || Some(IpAddr::V4(*text.parse::<SocketAddrV4>().ok()?.ip()));
    host.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first_whichever_line_it_stands_on() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers).count(), 0);
        for line in [
            "192.0.2.1, unknown",
            "",
            "192.0.2.3:4711,[2001:db8::4%eth0]:443",
        ] {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let expected = [
            Some("2001:db8::4"),
            Some("192.0.2.3"),
            None,
            None,
            Some("192.0.2.1"),
        ];
        let expected = expected.map(|text| text.map(|text| text.parse::<IpAddr>().unwrap()));
        let found: Vec<_> = forwarded_for(&headers).collect();
        assert_eq!(found, expected);
    }
}
