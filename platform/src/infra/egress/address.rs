//! Which addresses are of the public internet: the ranges of IANA's special-purpose registries (RFC 6890) are not, and
//! of IPv6 only what has been given out for global unicast (2000::/3) is.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

type Block4 = (Ipv4Addr, u32);
type Block6 = (Ipv6Addr, u32);

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u32) -> Block4 {
    (Ipv4Addr::new(a, b, c, d), length)
}

/// The first three groups of the prefix.
const fn v6(a: u16, b: u16, c: u16, length: u32) -> Block6 {
    (Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

const NOT_PUBLIC_4: [Block4; 17] = [
    v4(0, 0, 0, 0, 8),        // this network: Linux takes 0.0.0.0 for itself
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // shared, behind a carrier's NAT; clouds have metadata and resolvers here
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // the host of a virtual machine in Azure: public in form alone
    v4(169, 254, 0, 0, 16),   // link-local, metadata of most clouds
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments; Oracle's metadata
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // AS112
    v4(192, 52, 193, 0, 24),  // relays of multicast
    v4(192, 88, 99, 0, 24),   // relays of 6to4
    v4(192, 168, 0, 0, 16),   // private
    v4(192, 175, 48, 0, 24),  // AS112
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
];

/// From here on: multicast (224.0.0.0/4), reserved (240.0.0.0/4) and broadcast.
const FIRST_MULTICAST_4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 0);

/// What has been given out for global unicast. Outside of it are loopback, IPv4 in IPv6 (mapped, compatible, NAT64 in
/// 64:ff9b::/96 and 64:ff9b:1::/48), unique-local, link-local, site-local, multicast and what nobody has.
const GLOBAL_UNICAST_6: Block6 = v6(0x2000, 0, 0, 3);

const NOT_PUBLIC_6: [Block6; 5] = [
    v6(0x2001, 0, 0, 23),         // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0xdb8, 0, 32),     // documentation
    v6(0x2002, 0, 0, 16),         // 6to4: an IPv4 address within
    v6(0x2620, 0x4f, 0x8000, 48), // AS112
    v6(0x3fff, 0, 0, 20),         // documentation
];

/// Whether an address is one that strangers may be sent to.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip < FIRST_MULTICAST_4 && !NOT_PUBLIC_4.iter().any(|block| within4(ip, *block)),
        IpAddr::V6(ip) => {
            within6(ip, GLOBAL_UNICAST_6) && !NOT_PUBLIC_6.iter().any(|block| within6(ip, *block))
        }
    }
}

fn within4(ip: Ipv4Addr, (start, length): Block4) -> bool {
    (ip.to_bits() ^ start.to_bits()) >> (Ipv4Addr::BITS - length) == 0
}

fn within6(ip: Ipv6Addr, (start, length): Block6) -> bool {
    (ip.to_bits() ^ start.to_bits()) >> (Ipv6Addr::BITS - length) == 0
}
