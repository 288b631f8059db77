//! The bounds of connections, and how it stops.
use super::reader::Reader;
use crate::server::ServerSettings;
use std::{net::SocketAddr, time::Duration};

pub(super) fn server(r: &mut Reader<'_>) -> ServerSettings {
    let millis = Duration::from_millis;
    ServerSettings {
        most_connections: r.number("MAX_CONNECTIONS", 10_000, 1, 1_000_000),
        keep_alive: millis(r.number("KEEP_ALIVE_TIMEOUT_MS", 75_000, 1000, 3_600_000)),
        shutdown_delay: millis(r.number("SHUTDOWN_DELAY_MS", 1000, 0, 300_000)),
        shutdown_grace: millis(r.number("SHUTDOWN_GRACE_MS", 10_000, 0, 600_000)),
        ..ServerSettings::default()
    }
}

/// How many requests are worked on at a time.
pub(super) fn most_in_flight(r: &mut Reader<'_>) -> usize {
    r.number("MAX_REQUESTS_IN_FLIGHT", 1000, 1, 1_000_000)
}

/// Where what was counted is told, if not beside the API.
pub(super) fn metrics_address(r: &mut Reader<'_>) -> Option<SocketAddr> {
    let text = r.text("METRICS_ADDR", "");
    if text.is_empty() {
        return None;
    }
    let address = text.parse();
    if address.is_err() {
        r.fault(
            "METRICS_ADDR",
            format!("must be an address and a port such as 127.0.0.1:9090, not {text:?}"),
        );
    }
    address.ok()
}
