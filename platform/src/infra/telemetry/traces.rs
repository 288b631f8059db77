//! Traces, sent to an OpenTelemetry collector over OTLP (HTTP with protobuf) where one is named. Spans of [`TARGET`]
//! are what is sent; nothing else is, and without a collector they are not made. A collector that is slow or away costs
//! what is lost, and nobody waits: spans go through a bounded queue to a thread of its own.
use crate::{
    error::{Error, Result},
    infra::egress::{Egress, EgressSettings, Outgoing, Target, Undelivered},
};
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Request, Response},
};
use futures_util::future::BoxFuture;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, time::timeout};

/// What spans are of that belong to traces. The log has none of them.
pub(crate) const TARGET: &str = "tenantry::trace";

/// How long sending a batch may take.
const SENDING: Duration = Duration::from_secs(5);
/// How long what is left may take at the end.
const LAST: Duration = Duration::from_secs(3);
/// Between two lines in the log that say the same.
const SILENCE: Duration = Duration::from_secs(60);
/// Of an answer of the collector; nothing in it is needed.
const MOST_BYTES: usize = 16 * 1024;

/// Where traces go, and which.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector: where it takes traces.
    pub endpoint: Target,
    /// What it wants to be told, such as a key.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What this service is called there.
    pub service: String,
    /// Of traces that begin here, from 0 to 1. For others the caller decides.
    pub ratio: f64,
}

/// Traces under way.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends them from now on, by tasks of this runtime.
    pub fn start(settings: TraceSettings, runtime: Handle) -> Result<Self> {
        let url = settings.endpoint.as_str().to_owned();
        let collector = Collector {
            settings: settings.clone(),
            egress: Egress::start(EgressSettings { allow_private: false })?,
            runtime,
            said_at: Mutex::default(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(url)
            .with_timeout(SENDING)
            .with_retry_policy(RetryPolicy::disabled())
            .with_http_client(collector)
            .build()
            .map_err(Error::internal)?;
        let resource = Resource::builder_empty()
            .with_service_name(settings.service)
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        Ok(Self(provider))
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.0.tracer("tenantry")
    }

    /// Sends what is left, and gives up soon.
    pub async fn end(self) {
        let flush = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST));
        let _ = timeout(LAST + Duration::from_secs(1), flush).await; // what is lost is lost
    }
}

/// Speaks with the collector. The exporter calls it on a thread without a runtime.
struct Collector {
    settings: TraceSettings,
    egress: Egress,
    runtime: Handle,
    said_at: Mutex<Option<Instant>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({:?})", self.settings.endpoint)
    }
}

impl HttpClient for Collector {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> BoxFuture<'sending, std::result::Result<Response<Bytes>, HttpError>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(async move {
            let sent = self.send(request).await;
            let why = match &sent {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("it answered {}", answer.status())),
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                self.say(&why);
            }
            sent
        })
    }
}

impl Collector {
    async fn send(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut headers: Vec<_> =
            head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        // the exporter reads some variables by itself
        let own = self.settings.headers.iter().filter(|(name, _)| !head.headers.contains_key(name));
        headers.extend(own.cloned());
        let (egress, target) = (self.egress.clone(), self.settings.endpoint.clone());
        #[expect(clippy::disallowed_methods, reason = "one at a time, bounded in time, and waited for")]
        let answer = self.runtime.spawn(async move {
            let outgoing = Outgoing {
                target: &target,
                method: head.method,
                headers,
                body,
                deadline: SENDING,
                most_bytes: MOST_BYTES,
            };
            egress.send_untraced(outgoing).await
        });
        let answer = answer.await?.map_err(|why| match why {
            Undelivered::TimedOut => format!("no answer within {SENDING:?}"),
            Undelivered::Blocked(why) | Undelivered::Failed(why) => why,
        })?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        Ok(response)
    }

    /// Not within a minute of the last time.
    fn say(&self, why: &str) {
        let mut said_at = self.said_at.lock().unwrap_or_else(PoisonError::into_inner);
        if said_at.is_none_or(|at| at.elapsed() >= SILENCE) {
            *said_at = Some(Instant::now());
            let collector = &self.settings.endpoint;
            tracing::warn!(why, ?collector, "traces cannot be sent, and some are lost; requests are served");
        }
    }
}
