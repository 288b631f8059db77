//! Where it listens, and which pages and proxies it believes.
use super::reader::Reader;
use crate::http::TrustedProxies;
use std::net::IpAddr;

/// Where it listens, and how the world calls it.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// `HOST`.
    pub host: IpAddr,
    /// `PORT`; 0 takes a free one.
    pub port: u16,
    /// `PUBLIC_URL`.
    pub public_url: String,
}

pub(super) fn listen(r: &mut Reader<'_>, demo: bool) -> ListenSettings {
    let address = |text: &str| match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => text.parse().map_err(|_| format!("must be an IP address, not {text:?}")),
    };
    let host = r.parsed("HOST", IpAddr::from([127, 0, 0, 1]), address);
    let public = r.flag("DEMO_ALLOW_PUBLIC", false);
    if demo && !host.is_loopback() && !public {
        r.fault(
            "HOST",
            format!("{host} is open to others, and the demo's passwords are known to all: set DATABASE_URL, or DEMO_ALLOW_PUBLIC=true if you mean it"),
        );
    }
    let port = r.number("PORT", 8000, 0, u16::MAX);
    let public_url =
        r.parsed("PUBLIC_URL", "http://localhost:8000".to_owned(), |text| match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(text.trim_end_matches('/').to_owned())
            }
            _ => Err(format!("must be an http or https address, not {text:?}")),
        });
    ListenSettings { host, port, public_url }
}

pub(super) fn origins(r: &mut Reader<'_>, production: bool) -> Vec<String> {
    let origins = r.list("ALLOWED_ORIGINS", "http://localhost:3000");
    for origin in &origins {
        let plain = url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if origin.contains('*') {
            let why = if production {
                "wildcards are refused in production"
            } else {
                "wildcards are not supported"
            };
            r.fault("ALLOWED_ORIGINS", format!("{origin}: {why}, name each origin"));
        } else if !plain {
            r.fault("ALLOWED_ORIGINS", format!("{origin} is not an origin such as https://app.example.com"));
        }
    }
    origins
}

pub(super) fn trusted_proxies(r: &mut Reader<'_>) -> TrustedProxies {
    let blocks = r.list("TRUSTED_PROXIES", "");
    TrustedProxies::read(&blocks).unwrap_or_else(|faults| {
        faults.iter().for_each(|why| r.fault("TRUSTED_PROXIES", why));
        TrustedProxies::default()
    })
}
