//! Whose request this is, by address: one function for limits, sessions, audit and the log.
use axum::http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv6Net};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads CIDR blocks and single addresses; every item that is neither is told.
    pub fn read<T: AsRef<str>>(items: &[T]) -> Result<Self, Vec<String>> {
        let (good, bad): (Vec<_>, Vec<_>) =
            items.iter().map(|item| block(item.as_ref())).partition(Result::is_ok);
        if bad.is_empty() {
            Ok(Self(good.into_iter().flatten().collect()))
        } else {
            Err(bad.into_iter().filter_map(Result::err).collect())
        }
    }

    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(&address))
    }
}

/// IPv4 in its IPv6 form is taken for what it is, as addresses are.
fn block(text: &str) -> Result<IpNet, String> {
    let block = IpNet::from_str(text)
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text} is neither an address nor a block such as 10.0.0.0/8 or fd00::/8"))?;
    match block {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => {
            let v4 = mapped.network().to_ipv4_mapped();
            let folded = v4.and_then(|v4| IpNet::new(v4.into(), mapped.prefix_len() - 96).ok());
            Ok(folded.unwrap_or(block))
        }
        _ => Ok(block),
    }
}

/// The client's address: the peer's, unless the peer is trusted. Then all lines of `X-Forwarded-For` are one list, which
/// is walked from the right for as long as the hop is trusted. The first that is not is the client; what no address is
/// ends the walk at the last good hop.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
    let hops: Vec<_> = lines.flat_map(|line| line.split(',')).collect();
    for hop in hops.into_iter().rev() {
        if !trusted.include(client) {
            break;
        }
        let Some(address) = hop_address(hop.trim()) else {
            break;
        };
        client = address.to_canonical();
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn hop_address(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    plain.or_else(with_port).or_else(in_brackets)
}

/// What is counted for an address: itself, and of IPv6 its /64, which is what one client has.
pub(crate) fn counted_as(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            Ipv6Net::new(v6, 64).map_or_else(|_| v6.to_string(), |block| block.trunc().to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    /// Behind proxies in 10.0.0.0/8 and fd00::/8.
    fn client(peer: &str, lines: &[&[u8]]) -> String {
        let trusted = TrustedProxies::read(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        let forged: [&[&[u8]]; 3] = [&[], &[b"203.0.113.9"], &[b"10.0.0.1", b"203.0.113.9, 10.0.0.2"]];
        for lines in forged {
            assert_eq!(client("198.51.100.1", lines), "198.51.100.1");
        }
        assert_eq!(client("::ffff:198.51.100.1", &[b"203.0.113.9"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        let cases: &[(&[&[u8]], &str)] = &[
            (&[b"203.0.113.9"], "203.0.113.9"),
            (&[b"1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (&[b"1.1.1.1", b"203.0.113.9 ,\t10.0.0.2", b" 192.0.2.7"], "203.0.113.9"),
            (&[b"1.1.1.1,203.0.113.9:4711,10.0.0.2:80"], "203.0.113.9"),
            (&[b"[2001:db8::1]:4711, [fd00::1]"], "2001:db8::1"),
            (&[b"2001:db8::1,fd00::1,::ffff:10.1.1.1"], "2001:db8::1"),
            (&[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ];
        for peer in ["10.0.0.1", "::ffff:10.0.0.1", "fd00::5", "192.0.2.7"] {
            for (lines, expected) in cases {
                assert_eq!(client(peer, lines), *expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_good_hop() {
        let cases: &[(&[&[u8]], &str)] = &[
            (&[b"203.0.113.9, unknown"], "10.0.0.1"),
            (&[b"203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            (&[b"203.0.113.9,,10.0.0.2"], "10.0.0.2"),
            (&[b""], "10.0.0.1"),
            (&[b"203.0.113.9", b"\xff"], "10.0.0.1"),
            (&[b"203.0.113.9, 10.0.0.2:99999"], "10.0.0.1"),
            (&[b"203.0.113.9, 010.0.0.2"], "10.0.0.1"),
            (&[b"203.0.113.9, [10.0.0.2]"], "10.0.0.1"),
            (&[b"203.0.113.9; 10.0.0.2"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            assert_eq!(client("10.0.0.1", lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn ipv6_is_counted_by_its_64_and_mapped_addresses_are_folded() {
        let counted = |text: &str| counted_as(text.parse().unwrap());
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(counted("2001:db8:1:2::"), counted("2001:db8:1:2:ffff::1"));
        assert_ne!(counted("2001:db8:1:2::"), counted("2001:db8:1:3::"));
        assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
    }

    #[test]
    fn blocks_are_read_or_told() {
        assert_eq!(
            TrustedProxies::read(&["::ffff:10.0.0.0/104"]).unwrap().0,
            [IpNet::from_str("10.0.0.0/8").unwrap()]
        );
        let wrong = TrustedProxies::read(&["10.0.0.0/33", "10.0.0.1", "*", "proxy.internal"]).unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }
}
