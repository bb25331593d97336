//! Addresses that lead elsewhere on another computer. No I/O.

use std::net::IpAddr;

/// Whether a URL's host is the computer itself that reads it.
pub(crate) fn is_local_host(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_computer_are_known() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "localhost",
            "a.localhost",
        ] {
            assert!(is_local_host(host), "{host}");
        }
        for host in [
            "192.0.2.1",
            "[2001:db8::1]",
            "localhost.example.com",
            "notlocalhost",
            "",
        ] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
