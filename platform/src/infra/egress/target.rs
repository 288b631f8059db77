//! Where a request may go, as far as the URL alone can tell. What a name leads to is found out at each attempt.
use super::address::is_public;
use axum::http::{HeaderValue, uri::PathAndQuery};
use std::{borrow::Cow, fmt, net::IpAddr};
use url::{Host, Position, Url};

/// The longest URL, in bytes.
const LONGEST: usize = 2048;

/// A URL that was checked, and parsed this once.
#[derive(Clone)]
pub struct Target {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// As the `Host` header has it.
    pub(super) authority: HeaderValue,
    /// As the request line has it.
    pub(super) path: PathAndQuery,
    /// The operator named it.
    pub(super) configured: bool,
    url: Url,
}

impl Target {
    /// An address that the operator configures: any host and port, private ones too, over http or https.
    pub fn configured(url: &str) -> Result<Self, Cow<'static, str>> {
        Ok(Self { configured: true, ..Self::parse(url)? })
    }

    /// The URL in its normal form: what is asked for in the end, and what is worth storing.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Holds for every target, whoever names it.
    pub(super) fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.len() > LONGEST {
            return Err(format!("must be at most {LONGEST} bytes long").into());
        }
        // the parser drops some of these and so would accept what others read otherwise
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("must not contain spaces or control characters".into());
        }
        let url = Url::parse(text).map_err(|_| "not a URL")?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("must begin with https://".into()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or a password".into());
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment (#)".into());
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("has no valid port")?;
        let host = url.host().ok_or("not a URL")?.to_owned();
        let authority = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]);
        let path = url[Position::BeforePath..Position::AfterQuery].parse();
        Ok(Self {
            host,
            port,
            tls,
            authority: authority.map_err(|_| "not a URL")?,
            path: path.map_err(|_| "not a URL")?,
            configured: false,
            url,
        })
    }

    /// What keeps it from being a target of strangers, in words for them.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        if !self.tls {
            return Some("must begin with https://");
        }
        if !matches!(self.port, 80 | 443 | 8000..) {
            return Some("must use port 443, 80 or one from 8000 to 65535");
        }
        let public = match &self.host {
            Host::Domain(name) => !is_local(name),
            Host::Ipv4(ip) => is_public(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => is_public(IpAddr::V6(*ip)),
        };
        (!public).then_some("must be on the public internet")
    }
}

/// Names that lead nowhere but into a machine or its network (RFC 6761, RFC 6762, ICANN's `internal`).
fn is_local(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    ["localhost", "local", "internal"].iter().any(|local| last.eq_ignore_ascii_case(local))
}

impl fmt::Debug for Target {
    /// Without path and query, where people put what they keep secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", &self.url[..Position::BeforePath])
    }
}
