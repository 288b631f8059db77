//! The only HTTP client to addresses that are not ours. Tenants name where webhooks go, so the network behind the
//! service must not be reached by them (OWASP: server-side request forgery): a URL is parsed once, its name is resolved
//! once an attempt, every address is checked, and the checked ones alone are connected to. Redirects are answers like
//! others, proxies of the environment are not known, and nothing outlives its attempt, neither a connection nor a cookie.
mod address;
mod exchange;
mod resolve;
mod target;

pub use resolve::Resolve;
pub use target::Target;

use crate::{data::tls, error};
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};
use resolve::SystemResolver;
use rustls::RootCertStore;
use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};
use tokio_rustls::TlsConnector;
use tracing::Instrument;
use url::Host;

/// What tenants may name.
#[derive(Clone, Copy, Debug)]
pub struct EgressSettings {
    /// `WEBHOOK_ALLOW_PRIVATE_TARGETS`: addresses of any network, any port, and http.
    pub allow_private: bool,
}

/// The client; cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Parts>);

struct Parts {
    settings: EgressSettings,
    resolver: Box<dyn Resolve>,
    tls: TlsConnector,
}

/// A request.
pub struct Outgoing<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// What it is.
    pub method: Method,
    /// Beside `Host`, `User-Agent`, `Connection` and the length, which are set here.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Sent as it is.
    pub body: Bytes,
    /// The time for all of it: resolving, connecting, TLS, sending, and reading the answer to its end.
    pub deadline: Duration,
    /// So much of the answer's body is read.
    pub most_bytes: usize,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Incoming {
    /// Its status; of a redirect too.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub body: Bytes,
    /// Whether there was more than `most_bytes`.
    pub cut: bool,
}

/// Why there is no answer, in words for whoever named the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// It leads where it must not; nothing was connected to.
    Blocked(String),
    /// The deadline passed.
    TimedOut,
    /// No name, no connection, no TLS, or no HTTP.
    Failed(String),
}

impl Egress {
    /// With the system's resolver and its trusted certificates.
    pub fn start(settings: EgressSettings) -> error::Result<Self> {
        let roots = tls::system_roots();
        if roots.is_empty() {
            tracing::warn!(
                "no trusted certificates were found on this system, so no https address can be sent to: install \
                 ca-certificates, or name a file in SSL_CERT_FILE"
            );
        }
        Self::start_with(settings, Box::new(SystemResolver::default()), roots)
    }

    /// With others, for tests.
    pub fn start_with(
        settings: EgressSettings,
        resolver: Box<dyn Resolve>,
        roots: RootCertStore,
    ) -> error::Result<Self> {
        let mut config = tls::client(roots)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(Parts { settings, resolver, tls: Arc::new(config).into() })))
    }

    /// A URL that a tenant gives; `Err` is what is wrong with it, in words for a 422.
    pub fn target(&self, url: &str) -> Result<Target, Cow<'static, str>> {
        let target = Target::parse(url)?;
        match self.refusal(&target) {
            Some(why) => Err(why.into()),
            None => Ok(target),
        }
    }

    /// Sends it and reads the answer.
    pub async fn send(&self, request: Outgoing<'_>) -> Result<Incoming, Undelivered> {
        let span = tracing::info_span!(
            target: "tenantry::trace", "egress", otel.name = %request.method, otel.kind = "client",
            http.request.method = %request.method, server.address = %request.target.host,
            http.response.status_code = tracing::field::Empty,
        );
        let answer = self.send_untraced(request).instrument(span.clone()).await;
        if let Ok(answer) = &answer {
            span.record("http.response.status_code", answer.status.as_u16());
        }
        answer
    }

    /// The same for what sends traces: those of that would have no end.
    pub(super) async fn send_untraced(&self, request: Outgoing<'_>) -> Result<Incoming, Undelivered> {
        let deadline = request.deadline;
        let attempt = async {
            let addresses = self.addresses(request.target).await?;
            exchange::exchange(addresses, &self.0.tls, request).await
        };
        tokio::time::timeout(deadline, attempt).await.unwrap_or(Err(Undelivered::TimedOut))
    }

    fn refusal(&self, target: &Target) -> Option<&'static str> {
        if self.trusts(target) { None } else { target.refusal() }
    }

    fn trusts(&self, target: &Target) -> bool {
        target.configured || self.0.settings.allow_private
    }

    /// Where it leads now. A target is checked again: it may be from a time when more was allowed.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Undelivered> {
        if let Some(why) = self.refusal(target) {
            return Err(Undelivered::Blocked(format!("the URL {why}")));
        }
        let name = match &target.host {
            Host::Ipv4(ip) => return Ok(vec![IpAddr::V4(*ip)]),
            Host::Ipv6(ip) => return Ok(vec![IpAddr::V6(*ip)]),
            Host::Domain(name) => name,
        };
        let found = self.0.resolver.resolve(name).await.unwrap_or_default();
        if found.is_empty() {
            return Err(Undelivered::Failed("the name of the host cannot be resolved".to_owned()));
        }
        // one that is not public condemns them all: which of them is tried must not be a matter of luck
        if !self.trusts(target) && !found.iter().copied().all(address::is_public) {
            // the address is not told: names of the network behind the service are none of the tenant's business
            let why = "the name of the host leads to an address that is not on the public internet";
            return Err(Undelivered::Blocked(why.to_owned()));
        }
        Ok(found)
    }
}
