//! Accepting: never more than there may be, and on after whatever goes wrong.
use super::{Answers, Front, ServerSettings, connection, watch::Watch};
use crate::infra::lifecycle::Stage;
use futures_util::FutureExt;
use metrics::{Counter, Gauge};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, interval, sleep_until, timeout},
};

/// After an error that is not of one connection, such as a lack of file descriptors.
const REST: Duration = Duration::from_millis(200);
/// Between two lines in the log that say the same.
const SILENCE: Duration = Duration::from_secs(60);
/// While there are too many connections, those that have waited for so long for a request make room.
const IDLE_ENOUGH: Duration = Duration::from_secs(1);
/// How often they are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What was accepted and has not ended.
struct Connections<S> {
    front: Arc<Front<S>>,
    most: usize,
    tasks: JoinSet<()>,
    watches: HashMap<Id, (AbortHandle, Arc<Watch>)>,
    open: Gauge,
    accepted: Counter,
    /// Accepting rests until then.
    resting: Option<Instant>,
    said_at: Option<Instant>,
    looked_at: Option<Instant>,
}

/// Accepts until told that nothing new is; answers how many connections were cut off in the end.
pub(super) async fn run<S: Answers>(
    listener: TcpListener,
    front: Arc<Front<S>>,
    settings: &ServerSettings,
) -> usize {
    let lifecycle = front.lifecycle.clone();
    let mut connections = Connections {
        front,
        most: settings.most_connections,
        tasks: JoinSet::new(),
        watches: HashMap::new(),
        open: metrics::gauge!("tenantry_http_connections"),
        accepted: metrics::counter!("tenantry_http_connections_total"),
        resting: None,
        said_at: None,
        looked_at: None,
    };
    let mut closing = std::pin::pin!(lifecycle.reached(Stage::Closing));
    loop {
        let full = connections.is_full();
        if full {
            connections.make_room();
        }
        let wake = connections.resting.unwrap_or_else(|| Instant::now() + LOOK_EVERY);
        tokio::select! {
            () = &mut closing => break,
            Some(ended) = connections.tasks.join_next_with_id() => connections.ended(ended),
            accepted = listener.accept(), if !full && connections.resting.is_none() => {
                connections.accepted(accepted);
            }
            () = sleep_until(wake), if full || connections.resting.is_some() => connections.resting = None,
        }
        if connections.resting.is_none() && connections.has_room() {
            connections.front.crowded.store(false, Relaxed);
        }
    }
    // what the system has accepted for us would be reset
    while !connections.is_full()
        && let Some(Ok(accepted)) = listener.accept().now_or_never()
    {
        connections.accepted(Ok(accepted));
    }
    drop(listener);
    connections.end(settings.shutdown_grace).await
}

impl<S: Answers> Connections<S> {
    fn is_full(&self) -> bool {
        self.tasks.len() >= self.most
    }

    /// An eighth is free again.
    fn has_room(&self) -> bool {
        self.tasks.len() <= self.most - self.most.div_ceil(8)
    }

    fn accepted(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.failed(&error),
        };
        self.accepted.increment(1);
        self.open.increment(1); // before it can answer
        let watch = Arc::new(Watch::new(self.front.deadlines));
        let task = self.tasks.spawn(connection::run(tcp, peer, self.front.clone(), watch.clone()));
        self.watches.insert(task.id(), (task, watch));
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended); // also where accepting is always quicker
        }
    }

    /// One connection that broke before it was accepted is nothing; without descriptors or memory it helps to wait.
    fn failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        let now = Instant::now();
        if self.said_at.is_none_or(|at| now - at >= SILENCE) {
            self.said_at = Some(now);
            tracing::warn!(%error, open = self.tasks.len(), "no connection can be accepted; trying on");
        }
        self.resting = Some(now + REST);
        self.make_room();
    }

    /// Idle connections are closed, and those that are busy end with their answer.
    fn make_room(&mut self) {
        self.front.crowded.store(true, Relaxed);
        let now = Instant::now();
        if self.looked_at.is_none_or(|at| now - at >= LOOK_EVERY) {
            self.looked_at = Some(now);
            self.close_idle(IDLE_ENOUGH);
        }
    }

    /// Closes what waits for another request for so long, and what has waited for its first for a moment: that one may
    /// be on its way.
    fn close_idle(&self, least: Duration) {
        for (task, watch) in self.watches.values() {
            if watch.doom_idle(least, IDLE_ENOUGH) {
                task.abort();
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection panicked");
                }
                error.id()
            }
        };
        self.watches.remove(&id);
        self.open.decrement(1);
    }

    /// What is idle ends at once, what is busy with its answer; the rest is cut off.
    async fn end(mut self, grace: Duration) -> usize {
        let mut look = interval(LOOK_EVERY);
        let all = async {
            while !self.tasks.is_empty() {
                tokio::select! {
                    Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                    _ = look.tick() => self.close_idle(Duration::ZERO),
                }
            }
        };
        if timeout(grace, all).await.is_ok() {
            return 0;
        }
        let left = self.tasks.len();
        self.tasks.shutdown().await;
        left
    }
}
