//! The server over real sockets: what clients can be slow at, have too many of, and get wrong.
mod bounds;
mod http1;
mod stopping;

use crate::support::{TestApp, wire::Wire};
use std::{net::TcpListener, time::Duration};
use tenantry::{
    Domain,
    error::Result,
    http::{Data, Public, Routes},
    infra::lifecycle::Stage,
    server::ServerSettings,
};
use tokio::task::JoinHandle;

async fn hangs(_: Public) -> Result<Data<String>> {
    std::future::pending().await
}

/// Has a route that never answers.
pub fn hanging() -> Domain {
    Domain::new("hanging").routes(Routes::new("hanging").get("/hangs", hangs, "Never answers"))
}

/// A product that listens.
struct Listening<'a> {
    app: &'a TestApp,
    port: u16,
    server: JoinHandle<usize>,
}

impl<'a> Listening<'a> {
    fn start(app: &'a TestApp, settings: ServerSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let server = tokio::spawn(app.app.server(&app.core, "Test API", settings).serve(listener));
        Self { app, port, server }
    }

    fn wire(&self) -> Wire {
        Wire::to(self.port)
    }

    /// What was counted under this name and with these labels.
    fn counted(&self, series: &str) -> f64 {
        let text = self.app.core.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Ends it; answers how many connections were cut off.
    async fn close(self) -> usize {
        self.app.core.lifecycle.enter(Stage::Closing);
        tokio::time::timeout(Duration::from_secs(30), self.server).await.unwrap().unwrap()
    }
}

/// As short as a busy machine can bear.
fn hasty() -> ServerSettings {
    ServerSettings {
        head_timeout: Duration::from_millis(500),
        keep_alive: Duration::from_millis(500),
        write_timeout: Duration::from_millis(500),
        ..ServerSettings::default()
    }
}
