//! How often things may be done.
use super::reader::Reader;
use crate::{
    core::LimitSettings,
    infra::{
        plans::TenantLimit,
        rate_limit::{Quota, RateLimit},
    },
};

pub(super) fn limits(r: &mut Reader<'_>, demo: bool, production: bool) -> LimitSettings {
    let default = Quota::new(if demo { 100 } else { 10 }, 15 * 60);
    let auth = r.parsed("AUTH_RATE_LIMIT", RateLimit(Some(default)), str::parse);
    if production && auth.0.is_none() {
        r.fault("AUTH_RATE_LIMIT", "must not be off in production");
    }
    let tenant =
        r.parsed("TENANT_RATE_LIMIT", TenantLimit::ByPlan, |text| text.parse().map(TenantLimit::Fixed));
    let redis = r.url("REDIS_URL").and_then(|url| match url.parse() {
        Ok(url) => Some(url),
        Err(why) => {
            r.fault("REDIS_URL", why);
            None
        }
    });
    LimitSettings { auth, tenant, redis, redis_patience: LimitSettings::REDIS_PATIENCE }
}
