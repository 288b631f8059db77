//! What is written down of every request: its one line in the log, its trace, and what is counted of it.
use super::{once::Replayed, trace::Trace};
use crate::{access::Caller, core::Core, error::Error};
use axum::{http::Method, response::Response};
use std::{net::IpAddr, time::Duration};
use tracing::Instrument;

/// What is known of a request besides its answer. What could not be read has no method.
pub(super) struct Asked {
    pub method: Option<Method>,
    pub route: Option<String>,
    pub id: String,
    pub client: Option<IpAddr>,
    /// Whether it is one of the API.
    pub versioned: bool,
    pub trace: Trace,
}

impl Asked {
    /// Works on it. Every line that the log gets meanwhile has its id.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        let line = tracing::error_span!(
            target: "tenantry::request", "request", request_id = self.id, trace_id = self.trace.id
        );
        work.instrument(line).instrument(self.trace.span.clone()).await
    }

    /// It was answered.
    pub fn note(
        &self,
        core: &Core,
        response: &Response,
        who: Option<&Caller>,
        took: Duration,
        error: Option<&Error>,
    ) {
        log(self, response, who, took, error);
        let status = response.status().as_u16();
        core.requests.count(self.route.as_deref(), self.method.as_ref(), status, took);
        self.trace.end(status, who, error);
    }
}

fn log(asked: &Asked, response: &Response, who: Option<&Caller>, took: Duration, error: Option<&Error>) {
    let Asked { method, route, id, client, trace, .. } = asked;
    let trace_id = trace.id.as_deref();
    let (method, route) = (method.as_ref().map(Method::as_str), route.as_deref());
    let client = client.map(tracing::field::display);
    let status = response.status().as_u16();
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (session, key) = match who {
        Some(Caller::Person(session)) => (Some(session), None),
        Some(Caller::ApiKey(key)) => (None, Some(key)),
        None => (None, None),
    };
    let (tenant, user, session, api_key) = (
        who.map(|w| tracing::field::display(w.tenant())),
        session.map(|s| tracing::field::display(s.user)),
        session.map(|s| tracing::field::display(s.id)),
        key.map(|k| tracing::field::display(k.id)),
    );
    let replayed = response.extensions().get::<Replayed>().map(|_| true);
    let code = error.map(|e| e.code().name());
    let cause = error.and_then(Error::cause_chain);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "tenantry::request", request_id = id, trace_id, method, route, client, status, duration_us = took, tenant, user,
                session, api_key, replayed, code, cause, "request"
            )
        };
    }
    if status >= 500 { line!(error) } else { line!(info) }
}
