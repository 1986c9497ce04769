//! The addresses that may be connected to: public ones, and that of the operator's `base_url`.
//!
//! The resolver checks them, so the address that is checked is the one that is used: a name whose address changes in
//! between (DNS rebinding) isn't connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The error for a name without a public address.
#[derive(Debug, thiserror::Error)]
#[error("it has no public address")]
pub(crate) struct NoPublicAddress;

/// Resolves names with the system's resolver, and drops addresses that aren't public.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// The host of a `base_url`, whose addresses may be private.
    pub(crate) trusted: Option<String>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.trusted.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            match usable(found, trusted) {
                Ok(usable) => Ok(Box::new(usable.into_iter()) as Addrs),
                Err(none) => Err(Box::new(none) as Box<dyn std::error::Error + Send + Sync>),
            }
        })
    }
}

/// The addresses of a name that may be connected to, by one answer of the resolver: nothing is asked again.
fn usable(found: impl Iterator<Item = SocketAddr>, trusted: bool) -> Result<Vec<SocketAddr>, NoPublicAddress> {
    let usable: Vec<SocketAddr> = found.filter(|address| trusted || is_public(address.ip())).collect();
    if usable.is_empty() { Err(NoPublicAddress) } else { Ok(usable) }
}

/// Whether an address is globally reachable, by the IANA registries of special-purpose addresses.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0 // this network
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 169 && b == 254) // link-local, and cloud metadata
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2)) // protocol assignments, documentation
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)) // benchmarks
        || (a == 198 && b == 51 && c == 100) // documentation
        || (a == 203 && b == 0 && c == 113) // documentation
        || (a == 168 && b == 63 && c == 129) // Azure's host agent (168.63.129.16) has a public address
        || a >= 224; // multicast, reserved, broadcast
    !special
}

/// Global unicast (2000::/3) without the ranges that embed IPv4 addresses or tunnels.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let global = (s[0] & 0xe000) == 0x2000; // excludes ::, ::1, mapped, compatible, 64:ff9b::, fc00::, fe80::, ff00::
    // Protocol assignments, Teredo, benchmarks; documentation.
    let special = (s[0] == 0x2001 && (s[1] < 0x0200 || s[1] == 0x0db8))
        || s[0] == 0x2002 // 6to4
        || (s[0] == 0x3fff && s[1] < 0x1000); // documentation
    global && !special
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn private_and_special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.1",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for text in ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "192.1.0.1", "2606:4700::1111", "2a00:1450::1"]
        {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_name_that_rebinds_is_connected_to_at_its_public_addresses_only() {
        let found =
            |texts: &[&str]| texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect::<Vec<_>>();
        let both = found(&["169.254.169.254", "8.8.8.8", "::1", "2606:4700::1111", "192.168.0.1"]);
        assert_eq!(usable(both.into_iter(), false).unwrap(), found(&["8.8.8.8", "2606:4700::1111"]));
        // The second answer of a resolver that rebinds.
        assert!(usable(found(&["127.0.0.1"]).into_iter(), false).is_err());
        assert!(usable(found(&["127.0.0.1"]).into_iter(), true).is_ok());
    }

    #[tokio::test]
    async fn only_the_trusted_name_may_be_private() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert!(Resolver { trusted: None }.resolve(name("localhost")).await.is_err());
        assert!(Resolver { trusted: Some("other".into()) }.resolve(name("localhost")).await.is_err());
        assert!(Resolver { trusted: Some("localhost".into()) }.resolve(name("localhost")).await.is_ok());
    }
}
