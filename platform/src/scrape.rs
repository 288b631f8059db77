//! `/metrics`: beside the API where nobody from outside gets there, or on an address of its own (`METRICS_ADDR`), where
//! `/health` is answered too, for a process that serves nothing else.
use crate::{core::Core, infra::telemetry::process};
use ::metrics::gauge;
use axum::{
    Router,
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};

/// Where it is.
pub(crate) const PATH: &str = "/metrics";

/// Its media type, with the version of the format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is answered on an address of its own.
pub(crate) fn service(core: &Core) -> Router {
    let alive = get(|| async { r#"{"status":"ok"}"# });
    routes(Router::new()).route("/health", alive).with_state(core.clone())
}

/// Adds it to the API.
pub(crate) fn routes(router: Router<Core>) -> Router<Core> {
    router.route(PATH, get(scrape))
}

async fn scrape(State(core): State<Core>) -> impl IntoResponse {
    observe(&core);
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, PROMETHEUS_TEXT), (header::CACHE_CONTROL, "no-store")];
    (headers, core.metrics.render())
}

/// What is not counted as it happens is looked at when it is asked for.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn observe(core: &Core) {
    gauge!("tenantry_http_requests_in_flight").set(core.admission.in_flight() as f64);
    let pool = core.db.pool();
    gauge!("tenantry_db_pool_most").set(pool.most as f64);
    gauge!("tenantry_db_pool_open").set(pool.open as f64);
    gauge!("tenantry_db_pool_idle").set(pool.idle as f64);
    gauge!("tenantry_db_pool_waiting").set(pool.waiting as f64);
    if let Some(up) = core.limiter.redis_is_up() {
        gauge!("tenantry_redis_up").set(f64::from(u8::from(up)));
    }
    process::observe();
}
