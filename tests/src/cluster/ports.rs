//! Free ports on loopback.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Finds `N` different free ports. They are released again, so another program may take one before its user does.
///
/// # Errors
/// No port is free.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    // All are held until the last is found, or two could be the same.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Whether a start failed because another program took a port in between; another try with other ports helps.
pub(super) fn is_clash(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
        || format!("{error:#}").contains("Address already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        let mut ports = free_ports::<20>().unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
        assert!(!ports.contains(&0));
    }
}
