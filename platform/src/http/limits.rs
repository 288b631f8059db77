//! What is limited, by what, and how clients are told: `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers)
//! and, with a 429, `Retry-After`. How it is counted says `infra/rate_limit`.
use super::{
    client_address::counted_as,
    describe::{DescribeInput, Doc},
    public::ClientAddress,
};
use crate::{
    core::Core,
    error::{Code, Error, Result},
    infra::{
        plans::Plan,
        rate_limit::{Key, Quota, Standing, Step},
    },
    values::Email,
};
use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use std::{
    convert::Infallible,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};
use uuid::Uuid;

/// Failed sign-ins of one account, from whatever address.
const ACCOUNT: Quota = Quota::new(100, 60 * 60);
/// API keys from one client address that are none: each costs a look at the database.
const UNKNOWN_KEYS: Quota = Quota::per_minute(600);
/// Refreshes of one session.
const SESSION: Quota = Quota::new(60, 15 * 60);

/// The names of the policies, as clients see them.
const BY_ADDRESS: &str = "auth";
const BY_ACCOUNT: &str = "account";
const BY_SESSION: &str = "session";
const BY_UNKNOWN_KEYS: &str = "unknown-keys";
const BY_TENANT: &str = "tenant";

/// How this request stands with each limit that it met. The outermost layer tells the client.
#[derive(Clone, Default)]
pub(crate) struct Standings(Arc<Mutex<Vec<(&'static str, Standing)>>>);

impl Standings {
    fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    fn note(&self, policy: &'static str, standing: Standing) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|(name, _)| *name == policy) {
            Some((_, known)) => *known = standing,
            None => all.push((policy, standing)),
        }
    }

    /// The tenant's plan was read: what was counted before it was known is told by it.
    pub(crate) fn learn(&self, core: &Core, plan: Plan) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(quota), Some((_, standing))) =
            (core.limits.tenant.quota(Some(plan)), all.iter_mut().find(|(name, _)| *name == BY_TENANT))
        {
            standing.quota = quota;
        }
    }

    /// Writes the headers, where there is anything to tell.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut policies, mut standings) = (String::new(), String::new());
        for (name, standing) in all.iter() {
            let comma = if policies.is_empty() { "" } else { ", " };
            let Standing { quota, .. } = standing;
            let _ = write!(policies, "{comma}\"{name}\";q={};w={}", quota.count(), quota.seconds());
            let _ =
                write!(standings, "{comma}\"{name}\";r={};t={}", standing.remaining(), standing.full_in());
        }
        for (header, value) in [("ratelimit-policy", policies), ("ratelimit", standings)] {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::try_from(value)) {
                headers.insert(HeaderName::from_static(header), value);
            }
        }
    }
}

/// 429 with `Retry-After`.
fn refused(standing: Standing) -> Error {
    let seconds = standing.retry_after();
    let unit = if seconds == 1 { "second" } else { "seconds" };
    Error::new(Code::RateLimited, format!("Too many requests: try again in {seconds} {unit}"))
        .retry_after(seconds)
}

/// One request of a tenant, counted before the database is asked. The plan is that of the tenant's last request at this
/// node; while there is none, the largest holds, so that nobody is refused for what is not known yet.
pub(crate) async fn limit_tenant(core: &Core, parts: &Parts, tenant: Uuid) -> Result<Standings> {
    let standings = Standings::of(parts);
    if let Some(quota) = core.limits.tenant.quota(core.plans.of(tenant)) {
        let key = Key::new(BY_TENANT, &[&tenant.to_string()]);
        let standing = core.limiter.step(&key, quota, Step::Take).await;
        standings.note(BY_TENANT, standing);
        if !standing.room {
            return Err(refused(standing));
        }
    }
    Ok(standings)
}

/// What limits sign-ins and all that could be tried out. `AUTH_RATE_LIMIT=off` turns all of it off.
pub struct Throttle {
    core: Core,
    standings: Standings,
    address: String,
    by_address: Key,
}

impl Throttle {
    pub(crate) fn of(parts: &Parts, core: &Core) -> Self {
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let address = parts.extensions.get::<ClientAddress>();
        let address = address.map_or_else(|| "unknown".to_owned(), |address| counted_as(address.0));
        Self {
            core: core.clone(),
            standings: Standings::of(parts),
            by_address: Key::new(BY_ADDRESS, &[route, &address]),
            address,
        }
    }

    /// Whether anything is limited.
    pub fn is_on(&self) -> bool {
        self.core.limits.auth.0.is_some()
    }

    async fn by_address(&self, step: Step) -> Result<()> {
        let Some(quota) = self.core.limits.auth.0 else {
            return Ok(());
        };
        let standing = self.core.limiter.step(&self.by_address, quota, step).await;
        self.standings.note(BY_ADDRESS, standing);
        if standing.room || matches!(step, Step::Count | Step::GiveBack) {
            Ok(())
        } else {
            Err(refused(standing))
        }
    }

    /// A step that the client is told of where it is refused alone: how others stand is nobody's business.
    async fn quietly(&self, policy: &'static str, key: &Key, quota: Quota, step: Step) -> Result<()> {
        let standing = self.core.limiter.step(key, quota, step).await;
        if standing.room || step == Step::GiveBack {
            return Ok(());
        }
        self.standings.note(policy, standing);
        Err(refused(standing))
    }

    /// Does what compares a password of this account. It counts while it runs, so that many at once are limited too, and
    /// on if it failed by this code; anything else is given back. 429 if too many have failed.
    pub async fn attempt<T>(
        &self,
        tenant_slug: &str,
        email: &str,
        failure: Code,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let email = Email::new(email).map(Email::into_string).unwrap_or_default();
        self.counting_failures(BY_ACCOUNT, &[tenant_slug, &email], ACCOUNT, failure, work).await
    }

    /// Looks an API key up that this node does not know. It counts for the client's address while that runs, and on if
    /// there is no such key. 429 if there were too many.
    pub(crate) async fn unknown_key<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.counting_failures(BY_UNKNOWN_KEYS, &[&self.address], UNKNOWN_KEYS, Code::Unauthorized, work)
            .await
    }

    async fn counting_failures<T>(
        &self,
        policy: &'static str,
        by: &[&str],
        quota: Quota,
        failure: Code,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if !self.is_on() {
            return work.await;
        }
        let key = Key::new(policy, by);
        self.quietly(policy, &key, quota, Step::Take).await?;
        let outcome = work.await;
        if !matches!(&outcome, Err(error) if error.code() == failure) {
            self.quietly(policy, &key, quota, Step::GiveBack).await?;
        }
        outcome
    }

    /// The same for somebody who is signed in: the address is limited by what failed, and not by what went well.
    pub async fn attempt_signed_in<T>(
        &self,
        tenant_slug: &str,
        email: &str,
        failure: Code,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.by_address(Step::Take).await?;
        let outcome = self.attempt(tenant_slug, email, failure, work).await;
        if !matches!(&outcome, Err(error) if error.code() == failure) {
            self.by_address(Step::GiveBack).await?;
        }
        outcome
    }

    /// One more refresh of this session; 429 if there were too many.
    pub async fn session(&self, session: Uuid) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let key = Key::new(BY_SESSION, &[&session.to_string()]);
        let standing = self.core.limiter.step(&key, SESSION, Step::Take).await;
        self.standings.note(BY_SESSION, standing);
        if standing.room { Ok(()) } else { Err(refused(standing)) }
    }

    /// What was asked for failed: that counts for the address.
    pub async fn failed(&self) -> Result<()> {
        self.by_address(Step::Count).await
    }
}

impl FromRequestParts<Core> for Throttle {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, core: &Core) -> std::result::Result<Self, Infallible> {
        Ok(Self::of(parts, core))
    }
}

impl DescribeInput for Throttle {
    fn describe(doc: &mut Doc) {
        doc.is_limited();
    }
}

/// Stands where [`Public`](super::Public) would: for anyone, each client address so often, before the body is looked
/// into.
pub struct Limited(pub Throttle);

impl FromRequestParts<Core> for Limited {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, core: &Core) -> Result<Self> {
        let throttle = Throttle::of(parts, core);
        throttle.by_address(Step::Take).await?;
        Ok(Self(throttle))
    }
}

impl DescribeInput for Limited {
    fn describe(doc: &mut Doc) {
        doc.is_limited();
    }
}

/// For anyone, and what fails ([`Throttle::failed`]) so often from each client address.
pub struct FailuresLimited(pub Throttle);

impl FromRequestParts<Core> for FailuresLimited {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, core: &Core) -> Result<Self> {
        let throttle = Throttle::of(parts, core);
        throttle.by_address(Step::Look).await?;
        Ok(Self(throttle))
    }
}

impl DescribeInput for FailuresLimited {
    fn describe(doc: &mut Doc) {
        doc.is_limited();
    }
}
