//! What is counted of requests. The handles of a route are made at its first request and kept, so that counting one is
//! a few additions. Labels are bounded: a route is a template, and what is none of ours has one name.
use crate::infra::telemetry::metrics::REQUEST_DURATION;
use ::metrics::{Counter, Histogram, counter, histogram};
use axum::http::Method;
use std::{collections::HashMap, sync::OnceLock, time::Duration};

/// Methods with a name of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"];
/// All others.
const OTHER_METHOD: &str = "other";
/// The route of what there is no route for.
const NO_ROUTE: &str = "unmatched";

/// What the service answers, in order; whatever else there should be is counted too, a little slower.
const STATUSES: [u16; 22] = [
    200, 201, 202, 204, 304, 307, 400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 422, 429, 431, 500, 502,
    503,
];

/// The counters of all routes.
pub struct RequestMetrics {
    routes: HashMap<String, Methods>,
    no_route: Methods,
}

/// A place for each method, and the last for all others.
#[derive(Default)]
struct Methods([OnceLock<Box<Handles>>; METHODS.len() + 1]);

struct Handles {
    duration: Histogram,
    by_status: [OnceLock<Counter>; STATUSES.len()],
}

impl RequestMetrics {
    /// For these templates.
    pub(crate) fn new(routes: impl Iterator<Item = String>) -> Self {
        Self {
            routes: routes.map(|route| (route, Methods::default())).collect(),
            no_route: Methods::default(),
        }
    }

    /// One more request.
    pub(crate) fn count(&self, route: Option<&str>, method: Option<&Method>, status: u16, took: Duration) {
        let known = route.and_then(|route| self.routes.get_key_value(route));
        let (route, methods) =
            known.map_or((NO_ROUTE, &self.no_route), |(route, methods)| (route.as_str(), methods));
        let index = method.and_then(|method| METHODS.iter().position(|name| *name == method.as_str()));
        let method = index.map_or(OTHER_METHOD, |index| METHODS[index]);
        let handles =
            methods.0[index.unwrap_or(METHODS.len())].get_or_init(|| Box::new(Handles::new(route, method)));
        handles.duration.record(took);
        let counter = |status: u16| {
            let status = status.to_string();
            counter!("tenantry_http_requests_total", "method" => method, "route" => route.to_owned(), "status" => status)
        };
        match STATUSES.binary_search(&status) {
            Ok(index) => handles.by_status[index].get_or_init(|| counter(status)).increment(1),
            Err(_) => counter(status).increment(1),
        }
    }
}

impl Handles {
    fn new(route: &str, method: &'static str) -> Self {
        Self {
            duration: histogram!(REQUEST_DURATION, "method" => method, "route" => route.to_owned()),
            by_status: [const { OnceLock::new() }; STATUSES.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Code, infra::telemetry::Metrics};

    #[test]
    fn every_status_of_the_service_has_its_place() {
        assert!(STATUSES.is_sorted());
        for code in Code::ALL {
            assert!(STATUSES.binary_search(&code.status().as_u16()).is_ok(), "{code:?}");
        }
    }

    #[test]
    fn labels_are_bounded_whatever_is_asked_for() {
        let metrics = Metrics::start().unwrap();
        let counted = RequestMetrics::new(["/a/{id}".to_owned()].into_iter());
        for _ in 0..2 {
            counted.count(Some("/a/{id}"), Some(&Method::GET), 200, Duration::from_millis(3));
        }
        counted.count(Some("/a/{id}"), Some(&Method::GET), 418, Duration::from_millis(3));
        let brew = Method::from_bytes(b"BREW").unwrap();
        counted.count(Some("/nobody/knows"), Some(&brew), 404, Duration::ZERO);
        counted.count(None, Some(&Method::GET), 404, Duration::ZERO);
        let text = metrics.render();
        for line in [
            r#"tenantry_http_requests_total{method="GET",route="/a/{id}",status="200"} 2"#,
            r#"tenantry_http_requests_total{method="GET",route="/a/{id}",status="418"} 1"#,
            r#"tenantry_http_requests_total{method="other",route="unmatched",status="404"} 1"#,
            r#"tenantry_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
            r#"tenantry_http_request_duration_seconds_bucket{method="GET",route="/a/{id}",le="0.0025"} 0"#,
            r#"tenantry_http_request_duration_seconds_bucket{method="GET",route="/a/{id}",le="0.005"} 3"#,
            "# HELP tenantry_http_requests_total Requests answered, by method, route and status",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
