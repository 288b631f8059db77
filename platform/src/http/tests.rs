//! Whatever strangers send to the parsers of headers, cursors and tokens: never a panic, and never more than was given.
use super::{
    TrustedProxies, client_address::client_address, cursor::CursorKey, etag::names, json::media_type, query,
};
use crate::infra::{secret, token::TenantToken};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest},
    prop_oneof,
    sample::{Index, select},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// Bytes that a header may hold: visible ASCII mostly, tabs, blanks, and what is no ASCII.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x20..0x7f_u8, 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    vec(byte, 0..60)
}

/// A text that was right, with some of its characters replaced, taken out or put in.
fn mutant(right: String) -> impl Strategy<Value = String> {
    let change =
        (any::<Index>(), select(vec!["A", "b", "-", "_", "=", ".", " ", "%", "\0", "é", "", "rt_"]), 0..3_u8);
    vec(change, 1..4).prop_map(move |changes| {
        let mut characters: Vec<String> = right.chars().map(String::from).collect();
        for (at, with, how) in changes {
            let at = at.index(characters.len());
            match how {
                0 => characters[at] = with.to_owned(),
                1 => characters.insert(at, with.to_owned()),
                _ => characters.truncate(at),
            }
            if characters.is_empty() {
                break;
            }
        }
        characters.concat()
    })
}

/// Text of any kind, bytes in base64url, and mutants of what was right.
fn token_like(right: String) -> impl Strategy<Value = String> {
    prop_oneof![
        1 => any::<String>(),
        1 => vec(any::<u8>(), 0..80).prop_map(|bytes| secret::encode(&bytes)),
        1 => vec(any::<u8>(), 48..=48).prop_map(|bytes| format!("rt_{}", secret::encode(&bytes))),
        4 => mutant(right),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(Ipv4Addr::from(bytes))),
        any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::from([10, b, c, d])),
        any::<[u8; 16]>().prop_map(|bytes| IpAddr::from(Ipv6Addr::from(bytes))),
        any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(Ipv4Addr::from(bytes).to_ipv6_mapped())),
    ]
}

/// A hop as proxies write it, or anything else.
fn hop() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => address().prop_map(|address| address.to_string().into_bytes()),
        1 => (address(), any::<u16>()).prop_map(|(address, port)| std::net::SocketAddr::new(address, port).to_string().into_bytes()),
        1 => header_bytes(),
    ]
}

fn forwarded(hops: &[Vec<u8>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in hops {
        headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

proptest! {
    #[test]
    fn only_a_cursor_that_was_issued_opens(text in token_like(cursor())) {
        let (key, tenant) = place();
        let opened = key.open(tenant, "orders", &text);
        prop_assert_eq!(opened.is_some(), text == cursor());
    }

    #[test]
    fn a_token_that_is_read_is_written_the_same(text in token_like(format!("rt_{}", secret::encode(&[7; 48])))) {
        if let Some(token) = TenantToken::read("rt_", &text) {
            prop_assert_eq!(token.text(), text);
        }
    }

    /// What a client writes in front of what proxies write changes nothing.
    #[test]
    fn nobody_chooses_their_address(
        peer in address(), told in vec(header_bytes(), 0..4), client in address(), proxies in vec(any::<[u8; 3]>(), 0..4)
    ) {
        let trusted = TrustedProxies::read(&["10.0.0.0/8"]).unwrap();
        let is_proxy = |address: IpAddr| matches!(address.to_canonical(), IpAddr::V4(v4) if v4.octets()[0] == 10);
        if !is_proxy(peer) {
            prop_assert_eq!(client_address(peer, &forwarded(&told), &trusted), peer.to_canonical());
        }
        if !is_proxy(client) {
            let of_proxies = proxies.iter().map(|[b, c, d]| format!("10.{b}.{c}.{d}").into_bytes());
            let hops: Vec<_> = told.into_iter().chain([client.to_string().into_bytes()]).chain(of_proxies).collect();
            let found = client_address(IpAddr::from([10, 0, 0, 1]), &forwarded(&hops), &trusted);
            prop_assert_eq!(found, client.to_canonical());
        }
    }

    /// The client is the peer, or somebody who stands in the list.
    #[test]
    fn an_address_comes_from_somewhere(peer in address(), hops in vec(hop(), 0..5), all in any::<bool>()) {
        let trusted = TrustedProxies::read(if all { &["0.0.0.0/0", "::/0"][..] } else { &["10.0.0.0/8"] }).unwrap();
        let found = client_address(peer, &forwarded(&hops), &trusted);
        let lines = hops.iter().filter_map(|line| std::str::from_utf8(line).ok());
        let mut words = lines.flat_map(|line| line.split([',', ' ', '\t']));
        let named = words.any(|word| {
            let plain = word.parse::<IpAddr>().or_else(|_| word.trim_matches(['[', ']']).parse());
            let with_port = || word.parse::<std::net::SocketAddr>().map(|address| address.ip());
            plain.or_else(|_| with_port()).is_ok_and(|address| address.to_canonical() == found)
        });
        prop_assert!(found == peer.to_canonical() || named, "{found}");
    }

    #[test]
    fn a_list_of_tags_names_the_version_that_stands_in_it(
        parts in vec("[ -~]{0,12}", 0..5), version in any::<i64>(), at in any::<Index>(), weak in any::<bool>()
    ) {
        let others = parts.join(",");
        prop_assert!(names(&others, version, true) || !names(&others, version, false), "strong is stricter");
        let stars = others.split(',').any(|one| one.trim().trim_start_matches("W/") == "*");
        let own = others.contains(&format!("\"{version}\""));
        prop_assert!(stars || own || !names(&others, version, true), "{others}");
        let mut with = parts;
        with.insert(at.index(with.len() + 1), format!("{}\"{version}\"", if weak { "W/" } else { "" }));
        prop_assert!(names(&with.join(" , "), version, true));
        prop_assert!(weak || names(&with.join(","), version, false));
    }

    #[test]
    fn only_json_is_taken_for_json(kind in prop_oneof![header_bytes(), json_like()]) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_bytes(&kind).unwrap());
        let text = String::from_utf8_lossy(&kind).to_ascii_lowercase();
        let is_json = text.split(';').next().unwrap().trim() == "application/json";
        prop_assert!(is_json || media_type(&headers).is_err(), "{text}");
        let charset = text.split(';').nth(1).and_then(|parameter| parameter.trim().strip_prefix("charset="));
        let is_utf8 = charset.is_none_or(|charset| charset.trim_matches('"') == "utf-8");
        prop_assert!(is_utf8 || media_type(&headers).is_err(), "{text}");
    }

    #[test]
    fn a_route_without_parameters_takes_none(text in any::<String>()) {
        let any = url::form_urlencoded::parse(text.as_bytes()).next().is_some();
        prop_assert_eq!(query::refuse(&text).is_err(), any);
    }
}

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "application/json",
        "Application/JSON",
        ";",
        " ",
        "charset=",
        "utf-8",
        "UTF-8",
        "utf-16",
        "\"",
        ",",
    ];
    vec(select(pieces), 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Where the cursor below was issued.
fn place() -> (CursorKey, Uuid) {
    (CursorKey::new("a secret of some length"), Uuid::from_u128(1))
}

fn cursor() -> String {
    let (key, tenant) = place();
    key.seal(tenant, "orders", Uuid::from_u128(3))
}
