//! Listens, and speaks HTTP/1.1 on what it accepts, with a deadline on everything that a client can be slow at and a
//! bound on everything that it can have many of. What is answered is the service's business. Bodies are read by the
//! handlers, within the time of a request (`http/frame.rs`).
//!
//! Connections are counted by their tasks. Each has a [`Watch`](watch::Watch), which knows what it waits for.
mod accept;
mod bare;
mod connection;
mod head;
mod stream;
mod watch;

use crate::{
    error::Error,
    infra::lifecycle::{Lifecycle, Stage},
};
use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use watch::Deadlines;

/// The bounds of connections.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The most connections at a time; further ones wait in the system's queue.
    pub most_connections: usize,
    /// How long a new connection may be silent, and how long the head of a request may take from its first byte.
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub keep_alive: Duration,
    /// How long a write may wait for a client that does not read.
    pub write_timeout: Duration,
    /// Between being told to stop and accepting nothing more.
    pub shutdown_delay: Duration,
    /// How long what is in flight may take to finish after that.
    pub shutdown_grace: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            most_connections: 10_000,
            head_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(10),
            shutdown_delay: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// A whole answer to what never became a request: its error document, its headers, its line in the log.
pub type Refuse = Arc<dyn Fn(Error, SocketAddr) -> Response<Bytes> + Send + Sync>;

/// What is served, and how.
pub struct Server<S> {
    /// Answers requests.
    pub service: S,
    /// Answers what is none.
    pub refuse: Refuse,
    /// The bounds.
    pub settings: ServerSettings,
    /// When it ends.
    pub lifecycle: Lifecycle,
}

/// A service that answers every request.
pub trait Answers:
    tower::Service<Request, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answers for S where
    S: tower::Service<Request, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// What all connections of a listener share.
struct Front<S> {
    service: S,
    refuse: Refuse,
    deadlines: Deadlines,
    lifecycle: Lifecycle,
    /// There are as many connections as there may be, or nearly.
    crowded: AtomicBool,
}

impl<S: Answers> Server<S> {
    /// Serves until the end. Answers how many connections were cut off because they had not ended in time.
    pub async fn serve(self, listener: TcpListener) -> usize {
        let Self { service, refuse, settings, lifecycle } = self;
        let deadlines = Deadlines {
            head: settings.head_timeout,
            keep_alive: settings.keep_alive,
            write: settings.write_timeout,
        };
        let crowded = AtomicBool::new(false);
        let front = Arc::new(Front { service, refuse, deadlines, lifecycle, crowded });
        accept::run(listener, front, &settings).await
    }
}

impl<S> Front<S> {
    /// Whether an answer is the last of its connection: while it is stopped, whoever kept it would find it closed in a
    /// moment; while it is crowded, others wait for its place.
    fn is_last_answer(&self) -> bool {
        self.lifecycle.stage() > Stage::Serving || self.crowded.load(Relaxed)
    }
}
