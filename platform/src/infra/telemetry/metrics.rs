//! What is counted, as Prometheus reads it: every metric by its name, kept in memory and written out when asked for.
//! Whatever sets or counts one says so where it happens, by the macros of the crate `metrics`.
use crate::error::{Error, Result};
use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// How it is now.
    Gauge,
    /// How often something took how long.
    Histogram,
}

/// A metric, as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says, with its labels.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

/// How long a request took.
pub(crate) const REQUEST_DURATION: &str = "tenantry_http_request_duration_seconds";

/// Every metric there is. A test compares it with what is counted, with the dashboard, and with docs/operations.md.
pub const METRICS: &[Metric] = &[
    metric("tenantry_http_requests_total", Kind::Counter, "Requests answered, by method, route and status"),
    metric(REQUEST_DURATION, Kind::Histogram, "Seconds from a request to its answer, by method and route"),
    metric("tenantry_http_requests_in_flight", Kind::Gauge, "Requests of the API that are being worked on"),
    metric(
        "tenantry_http_requests_shed_total",
        Kind::Counter,
        "Requests refused because too many were in flight",
    ),
    metric("tenantry_http_connections", Kind::Gauge, "Connections that are open"),
    metric("tenantry_http_connections_total", Kind::Counter, "Connections accepted"),
    metric(
        "tenantry_http_connections_cut_total",
        Kind::Counter,
        "Connections cut off, by reason: silent, slow_head, not_reading",
    ),
    metric("tenantry_db_pool_most", Kind::Gauge, "Connections to the database that there may be"),
    metric("tenantry_db_pool_open", Kind::Gauge, "Connections to the database that there are"),
    metric("tenantry_db_pool_idle", Kind::Gauge, "Of those, how many nobody uses"),
    metric("tenantry_db_pool_waiting", Kind::Gauge, "Requests that wait for a connection to the database"),
    metric("tenantry_system_scope_total", Kind::Counter, "Transactions without a signed-in user, by reason"),
    metric(
        "tenantry_rate_limit_decisions_total",
        Kind::Counter,
        "What limits decided, by policy and decision: allowed, limited",
    ),
    metric("tenantry_redis_up", Kind::Gauge, "Whether limits are counted in Redis; absent without REDIS_URL"),
    metric("tenantry_jobs", Kind::Gauge, "Jobs, by kind and state: waiting, dead; counted every minute"),
    metric(
        "tenantry_jobs_total",
        Kind::Counter,
        "Attempts at jobs, by kind and outcome: done, retried, dead, overtaken",
    ),
    metric(
        "tenantry_webhook_attempts_total",
        Kind::Counter,
        "Attempts at deliveries, by outcome: succeeded, failed, timeout, blocked, overtaken",
    ),
    metric(
        "tenantry_webhook_deliveries",
        Kind::Gauge,
        "Deliveries that are not through, by status: pending, failed; counted every minute",
    ),
    metric(
        "tenantry_webhook_oldest_pending_seconds",
        Kind::Gauge,
        "How long the delivery has been due that has waited longest; looked at every minute",
    ),
    metric(
        "tenantry_stripe_calls_total",
        Kind::Counter,
        "Attempts at calls of Stripe, by outcome: answered, failed",
    ),
    metric("tenantry_build_info", Kind::Gauge, "1, with the version"),
    metric("process_cpu_seconds_total", Kind::Gauge, "Seconds of processor time used"),
    metric("process_resident_memory_bytes", Kind::Gauge, "Memory in use"),
    metric("process_open_fds", Kind::Gauge, "File descriptors in use"),
    metric("process_max_fds", Kind::Gauge, "File descriptors that there may be"),
    metric("process_start_time_seconds", Kind::Gauge, "When the process was started, in seconds since 1970"),
];

/// Of a histogram, in seconds: from what memory answers to the longest that a request may take by default.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How often what was measured is put into its buckets, whether anybody asks for it or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// What this process has counted.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Counts from now on. What was counted before is lost, so this comes first. A process has one.
    pub fn start() -> Result<Self> {
        static STARTED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let started = STARTED.get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Full(REQUEST_DURATION.to_owned()), &BUCKETS);
            let handle = builder.and_then(PrometheusBuilder::install_recorder).ok();
            METRICS.iter().for_each(Metric::describe);
            gauge!("tenantry_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
            #[expect(clippy::disallowed_methods, reason = "a fact of the process, not of its work")]
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            gauge!("process_start_time_seconds").set(now);
            handle
        });
        let handle =
            started.clone().ok_or_else(|| Error::internal("another recorder of metrics is installed"))?;
        Ok(Self(handle))
    }

    /// In the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Keeps what was measured small, for ever.
    pub async fn keep(&self) {
        let mut due = tokio::time::interval(UPKEEP);
        loop {
            due.tick().await;
            self.0.run_upkeep();
        }
    }
}

impl Metric {
    fn describe(&self) {
        let Self { name, kind, help } = *self;
        match kind {
            Kind::Counter => describe_counter!(name, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram => describe_histogram!(name, Unit::Seconds, help),
        }
    }
}
