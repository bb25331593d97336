//! Who a request comes from, where proxies stand before the direct endpoint.

use std::net::IpAddr;

use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Takes addresses and networks, such as `192.0.2.1` and `2001:db8::/64`.
    ///
    /// # Errors
    /// One line for each text that is neither, or that is everybody.
    pub fn parse(texts: &[String]) -> Result<Self, Vec<String>> {
        let (mut networks, mut faults) = (Vec::new(), Vec::new());
        for text in texts {
            match network(text) {
                Ok(network) => networks.push(network),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            Ok(Self(networks))
        } else {
            Err(faults)
        }
    }

    /// The address of the client: the peer, unless that is a trusted proxy; then the first address
    /// before it that is none. `forwarded` is what proxies have said, the nearest first. What is no
    /// address ends the search: then nothing is known but the peer.
    pub fn client(
        &self,
        peer: IpAddr,
        forwarded: impl IntoIterator<Item = Option<IpAddr>>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in forwarded {
            if !self.trust(client) {
                break;
            }
            match hop {
                Some(address) => client = address.to_canonical(),
                None => return peer.to_canonical(),
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!("\"{text}\" is neither an address nor a network, for example 192.0.2.0/24")
        })?,
    };
    if let IpNet::V6(network) = network
        && network.addr().to_ipv4_mapped().is_some()
    {
        return Err(format!(
            "\"{text}\" is a network of IPv4 in IPv6; write it as one of IPv4, for example 192.0.2.0/24"
        ));
    }
    if network.prefix_len() == 0 {
        return Err(format!(
            "\"{text}\" is everybody, and anybody could claim any address; name the proxies alone"
        ));
    }
    if network.trunc() != network {
        return Err(format!(
            "\"{text}\" has bits beside its network; write {}, or the address alone",
            network.trunc()
        ));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(texts: &[&str]) -> Result<TrustedProxies, Vec<String>> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        TrustedProxies::parse(&texts)
    }

    #[test]
    fn the_client_is_the_first_who_is_no_trusted_proxy() {
        let none: &[&str] = &[];
        let nginx: &[&str] = &["10.0.0.0/24", "2001:db8:1::/64", "203.0.113.9"];
        // Trusted; the peer; what is forwarded, the nearest first; the client.
        let rows: [(&[&str], &str, &[&str], &str); 14] = [
            (none, "192.0.2.1", &[], "192.0.2.1"),
            (none, "192.0.2.1", &["198.51.100.1"], "192.0.2.1"),
            (none, "10.0.0.1", &["198.51.100.1"], "10.0.0.1"),
            (nginx, "192.0.2.1", &["198.51.100.1"], "192.0.2.1"),
            (nginx, "10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            (nginx, "::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            (nginx, "10.0.1.1", &["198.51.100.1"], "10.0.1.1"),
            (nginx, "2001:db8:1::5", &["2001:db8:9::1"], "2001:db8:9::1"),
            // What the client has sent itself stands behind its own address.
            (
                nginx,
                "10.0.0.1",
                &["198.51.100.1", "192.0.2.7"],
                "198.51.100.1",
            ),
            (
                nginx,
                "10.0.0.1",
                &["198.51.100.1", "10.0.0.2"],
                "198.51.100.1",
            ),
            // A chain of proxies.
            (
                nginx,
                "10.0.0.1",
                &[
                    "203.0.113.9",
                    "::ffff:10.0.0.2",
                    "198.51.100.1",
                    "192.0.2.7",
                ],
                "198.51.100.1",
            ),
            // Nobody but proxies: the farthest of them.
            (nginx, "10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            (nginx, "10.0.0.1", &[], "10.0.0.1"),
            // No address.
            (
                nginx,
                "10.0.0.1",
                &["10.0.0.2", "unknown", "198.51.100.1"],
                "10.0.0.1",
            ),
        ];
        for (trusted, peer, forwarded, expected) in rows {
            let hops = forwarded.iter().map(|text| text.parse().ok());
            let client = proxies(trusted)
                .unwrap()
                .client(peer.parse().unwrap(), hops);
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(client, expected, "{trusted:?}, {peer}, {forwarded:?}");
        }
    }

    #[test]
    fn each_text_that_cannot_be_used_is_named() {
        let faults = proxies(&[
            "10.0.0.1",
            "proxy.example.com",
            "10.0.0.0/33",
            "10.0.0.5/24",
            "0.0.0.0/0",
            "::/0",
            "::ffff:10.0.0.0/104",
            "",
        ]);
        let faults = faults.unwrap_err();
        let expected = [
            "\"proxy.example.com\" is neither",
            "\"10.0.0.0/33\" is neither",
            "\"10.0.0.5/24\" has bits beside its network; write 10.0.0.0/24,",
            "\"0.0.0.0/0\" is everybody",
            "\"::/0\" is everybody",
            "\"::ffff:10.0.0.0/104\" is a network of IPv4 in IPv6",
            "\"\" is neither",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}
