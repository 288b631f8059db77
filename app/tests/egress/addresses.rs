//! The ways to write an address that must not be reached, and the guard against a table of its own.
use super::{AMPLE, Names, Receiver, lenient, post, send_to, strict};
use ipnet::IpNet;
use proptest::{prelude::*, sample::select};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};
use tenantry::infra::egress::Undelivered;

/// Hosts of URLs that lead to this machine when nobody guards them: a receiver there is reached by each.
const TO_THIS_MACHINE: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0.0.0x1",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "①②⑦.⓪.⓪.①",
    "0.0.0.0",
    "0",
    "0x0",
    "00.0.0.0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0.0.0.1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:FFFF:127.0.0.1]",
];

/// Hosts of URLs that lead into other networks.
const ELSEWHERE: &[&str] = &[
    "0.1.2.3",
    "10.0.0.1",
    "012.0.0.1",
    "167772161",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.65535",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[::2]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::10.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:8.8.8.8]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::127.0.0.1]",
    "[64:ff9b:1:ffff::1]",
    "[100::1]",
    "[100:0:0:1::1]",
    "[2001::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[2001:1ff:ffff::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:808:808::1]",
    "[2620:4f:8000::1]",
    "[3fff::1]",
    "[3fff:fff::1]",
    "[4000::1]",
    "[5f00::1]",
    "[e000::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff05::2]",
    "[ff0e::1]",
];

/// Names that are refused unasked.
const LOCAL_NAMES: &[&str] = &[
    "localhost",
    "localhost.",
    "LOCALHOST",
    "ｌｏｃａｌｈｏｓｔ",
    "local%68ost",
    "app.localhost",
    "app.localhost.",
    "printer.local",
    "PRINTER.LOCAL.",
    "internal",
    "metadata.google.internal",
    "metadata.google.internal.",
    "db.corp.ＩＮＴＥＲＮＡＬ",
];

/// Of the public internet, also just beside what is not.
const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "[2000::]",
    "[2001:200::]",
    "[2001:db7:ffff::1]",
    "[2001:db9::]",
    "[2001:4860:4860::8888]",
    "[2003::]",
    "[2606:4700::1111]",
    "[3ffe:ffff::1]",
    "[3fff:1000::]",
    "example.com",
    "example.com.",
    "localhost.example.com",
    "notlocalhost.example",
    "internal.example.com",
    "bücher.example",
    "a",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_an_address_that_is_not_public_is_a_target_nor_connected_to() {
    assert!(TO_THIS_MACHINE.len() + ELSEWHERE.len() >= 40);
    let receiver = Receiver::silent("[::]:0").await;
    let (strict, lenient) = (strict(Names::default()), lenient(Names::default()));
    for host in TO_THIS_MACHINE.iter().chain(ELSEWHERE) {
        let url = format!("https://{host}:{}/", receiver.port);
        assert_eq!(strict.target(&url).unwrap_err(), "must be on the public internet", "{host}");
        // a target from a time when it was allowed
        let target = lenient.target(&url).unwrap();
        let sent = strict.send(post(&target, AMPLE)).await;
        assert!(matches!(sent, Err(Undelivered::Blocked(_))), "{host}: {sent:?}");
    }
    assert_eq!(receiver.connections().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_these_forms_lead_to_this_machine() {
    let receiver = Receiver::start("[::]:0", |closed| async move {
        drop(closed);
        Ok(())
    })
    .await;
    let lenient = lenient(Names::default());
    for (before, host) in TO_THIS_MACHINE.iter().enumerate() {
        let sent = send_to(&lenient, &format!("http://{host}:{}/", receiver.port), AMPLE).await;
        assert!(matches!(sent, Err(Undelivered::Failed(_))), "{host}: {sent:?}");
        assert_eq!(receiver.connections().await, before + 1, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_such_an_address_is_blocked_alone_and_among_others() {
    let receiver = Receiver::silent("[::]:0").await;
    let addresses = TO_THIS_MACHINE.iter().chain(ELSEWHERE).filter_map(|host| {
        let url = url::Url::parse(&format!("https://{host}/")).unwrap();
        url.host_str().unwrap().trim_matches(['[', ']']).parse::<IpAddr>().ok()
    });
    let addresses: Vec<_> = addresses.map(|ip| ip.to_string()).collect();
    assert_eq!(addresses.len(), TO_THIS_MACHINE.len() + ELSEWHERE.len());
    for address in &addresses {
        for found in [&[address.as_str()][..], &[NOWHERE, address], &[address, NOWHERE]] {
            let strict = strict(Names::of("hooks.example", found));
            let sent = send_to(&strict, &format!("https://hooks.example:{}/", receiver.port), AMPLE).await;
            assert!(matches!(sent, Err(Undelivered::Blocked(_))), "{found:?}: {sent:?}");
        }
    }
    assert_eq!(receiver.connections().await, 0);
}

/// Public in form, but of a part of 2000::/3 that nobody has been given: what is sent there is lost at once.
pub(super) const NOWHERE: &str = "2000::1";

#[tokio::test(flavor = "multi_thread")]
async fn local_names_are_refused_without_being_resolved() {
    let names = Names::default();
    let (strict, lenient) = (strict(names.clone()), lenient(names.clone()));
    for host in LOCAL_NAMES {
        let url = format!("https://{host}/");
        assert_eq!(strict.target(&url).unwrap_err(), "must be on the public internet", "{host}");
        let sent = strict.send(post(&lenient.target(&url).unwrap(), AMPLE)).await;
        assert!(matches!(sent, Err(Undelivered::Blocked(_))), "{host}: {sent:?}");
    }
    assert_eq!(names.asked(), 0);
}

#[test]
fn what_is_public_is_a_target() {
    for host in PUBLIC {
        assert!(strict(Names::default()).target(&format!("https://{host}/hook?a=b")).is_ok(), "{host}");
    }
}

/// IANA's registries of special-purpose addresses of 2026, multicast and reserved space, and what clouds have beside
/// them; of IPv6 what lies within 2000::/3.
static SPECIAL: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let blocks = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 \
        192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 \
        198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 \
        2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20";
    blocks.split_whitespace().map(|block| block.parse().unwrap()).collect()
});

fn expected(ip: IpAddr) -> bool {
    let unicast: IpNet = "2000::/3".parse().unwrap();
    (ip.is_ipv4() || unicast.contains(&ip)) && !SPECIAL.iter().any(|block| block.contains(&ip))
}

fn passes(ip: IpAddr) -> bool {
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    strict(Names::default()).target(&format!("https://{host}/")).is_ok()
}

/// Anywhere, and close to the borders of the blocks on both sides.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let near = (select(SPECIAL.clone()), any::<bool>(), -2..=2_i64).prop_map(|(block, first, step)| {
        match if first { block.network() } else { block.broadcast() } {
            IpAddr::V4(ip) => IpAddr::V4(ip.to_bits().wrapping_add_signed(step as i32).into()),
            IpAddr::V6(ip) => IpAddr::V6(ip.to_bits().wrapping_add_signed(step.into()).into()),
        }
    });
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        (any::<u128>(), 0x2000..=0x3fff_u128)
            .prop_map(|(low, top)| IpAddr::V6(Ipv6Addr::from_bits(low >> 16 | top << 112))),
        (any::<u32>(), select(vec!["::", "::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0"]))
            .prop_map(|(low, prefix): (_, &str)| {
                let prefix: Ipv6Addr = prefix.parse().unwrap();
                IpAddr::V6(Ipv6Addr::from_bits(prefix.to_bits() | u128::from(low)))
            }),
        near,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_address_passes_if_and_only_if_the_other_table_says_so(ip in addresses()) {
        prop_assert_eq!(passes(ip), expected(ip), "{}", ip);
    }
}
