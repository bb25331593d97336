//! Whose requests are counted together.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Extensions;

use crate::front_proxy::Caller;
use crate::listener::PeerAddress;

/// One who makes requests, as far as addresses tell; an extension of each request that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address.
    V4(Ipv4Addr),
    /// The first 64 bits of an address: one subscriber has at least these.
    V6Network([u16; 4]),
    /// Everybody whose address is not known.
    Unknown,
}

impl Source {
    /// Whose request this is, as whoever let it in has found out and put into the extensions.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::Unknown)
    }

    /// Whose request `caller`'s is: his who called the front proxy, or else who called us.
    pub fn of_caller(caller: &Caller, peer: Option<PeerAddress>) -> Self {
        let address = if caller.is_vouched_for {
            caller.client_address
        } else {
            peer.map(|peer| peer.0.ip())
        };
        address.map_or(Self::Unknown, Self::from)
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6Network([a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6Network([a, b, c, d]) => {
                let network = Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0);
                write!(f, "{network}/64")
            }
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subscriber_are_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        let cases = [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ];
        for (one, other, same) in cases {
            assert_eq!(source(one) == source(other), same, "{one}, {other}");
        }
        for (address, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(source(address).to_string(), shown);
        }
        assert_eq!(Source::Unknown.to_string(), "unknown");
    }

    #[test]
    fn the_front_proxy_is_asked_first_and_only_when_it_is_one() {
        let forwarded = Source::V4(Ipv4Addr::new(192, 0, 2, 1));
        let peer = Source::V4(Ipv4Addr::new(10, 0, 0, 1));
        let vouched = |client_address| Caller {
            is_vouched_for: true,
            client_address,
            ..Caller::anonymous()
        };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let cases = [
            (vouched(Some(address)), true, forwarded),
            (vouched(None), true, Source::Unknown),
            (Caller::anonymous(), true, peer),
            (Caller::anonymous(), false, Source::Unknown),
        ];
        for (caller, has_peer, expected) in cases {
            let peer = has_peer.then(|| PeerAddress("10.0.0.1:1234".parse().unwrap()));
            let found = Source::of_caller(&caller, peer);
            assert_eq!(found, expected, "{caller:?}, {has_peer}");
        }
    }
}
