//! The trace of a request, where traces are sent somewhere: it goes on from that of the caller (W3C Trace Context).
use crate::{access::Caller, error::Error, infra::telemetry::traces::TARGET};
use axum::extract::Request;
use opentelemetry::{
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TraceId},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of a request, disabled where none are sent.
pub(super) struct Trace {
    pub span: Span,
    /// As the log and error documents have it.
    pub id: Option<String>,
}

impl Trace {
    /// Of what could not be read as a request.
    pub fn none() -> Self {
        Self { span: Span::none(), id: None }
    }

    pub fn begin(request: &Request, route: Option<&str>, request_id: &str) -> Self {
        let method = request.method().as_str();
        let span = tracing::info_span!(
            target: TARGET,
            "request",
            otel.name = format!("{method} {}", route.unwrap_or("unmatched")),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            url.path = request.uri().path(),
            error.type = Empty,
            tenantry.request_id = request_id,
            tenantry.tenant_id = Empty,
        );
        if span.is_disabled() {
            return Self { span, id: None };
        }
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        let _ = span.set_parent(caller); // it has not begun yet
        let id = span.context().span().span_context().trace_id();
        Self { span, id: (id != TraceId::INVALID).then(|| id.to_string()) }
    }

    /// It was answered.
    pub fn end(&self, status: u16, who: Option<&Caller>, error: Option<&Error>) {
        if self.span.is_disabled() {
            return;
        }
        self.span.record("http.response.status_code", status);
        if let Some(who) = who {
            self.span.record("tenantry.tenant_id", tracing::field::display(who.tenant()));
        }
        if let Some(error) = error {
            self.span.record("error.type", error.code().name());
        }
        // what a client did wrong is no fault of the server
        if status >= 500 {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}
