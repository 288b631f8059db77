//! Counting in Redis, for all nodes together.
//!
//! A request waits at most 50 ms for it (`LimitSettings::redis_patience`). After the first failure requests do not wait at
//! all: a task of its own tries every second whether Redis is back, and until then there is no answer, and the node counts
//! in its memory.
use super::{Counted, Key, Quota, Step};
use crate::{
    data::is_loopback,
    error::{Error, Result},
    infra::secret,
};
use redis::{AsyncConnectionConfig, Client, RedisResult, Script, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};
use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_secs(1);
/// How long such a try may take: no request waits for it.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two lines in the log that say the same.
const SILENCE: Duration = Duration::from_secs(60);

/// `REDIS_URL`, checked: `redis://` or, with TLS, `rediss://`.
#[derive(Clone, Debug)]
pub struct RedisUrl(SecretString);

impl RedisUrl {
    /// Whether it is spoken to without TLS over a network.
    pub(crate) fn crosses_a_network_in_the_clear(&self) -> bool {
        let url = url::Url::parse(self.0.expose_secret());
        url.is_ok_and(|url| url.scheme() == "redis" && url.host_str().is_some_and(|host| !is_loopback(host)))
    }
}

/// The error says what is wrong and not what the URL is, which may hold a password.
impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = text.starts_with("redis://") || text.starts_with("rediss://");
        match Client::open(text) {
            Ok(_) if known => Ok(Self(SecretString::from(text))),
            _ => Err("must be redis://user:password@host:port/database, or rediss:// with TLS".to_owned()),
        }
    }
}

/// How Redis is reached just now.
#[derive(Clone)]
enum Link {
    /// The first try is under way.
    Starting,
    /// The number tells it from the one before.
    Up(u64, MultiplexedConnection),
    Down,
}

pub(super) struct Redis {
    link: Arc<watch::Sender<Link>>,
    script: Script,
    /// The longest that a request waits for it.
    patience: Duration,
}

fn script() -> Script {
    Script::new(include_str!("step.lua"))
}

impl Redis {
    /// Reaches for it in a task that ends with this value.
    pub fn start(url: &RedisUrl, patience: Duration) -> Result<Self> {
        // rustls asks for the process's provider; a second choice keeps the first
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::open(url.0.expose_secret()).map_err(Error::internal)?;
        let link = Arc::new(watch::Sender::new(Link::Starting));
        #[expect(clippy::disallowed_methods, reason = "one task, and it ends when the limiter does")]
        tokio::spawn(keep(client, Arc::downgrade(&link), patience));
        Ok(Self { link, script: script(), patience })
    }

    pub fn is_up(&self) -> bool {
        matches!(*self.link.borrow(), Link::Up(..))
    }

    /// `None` if there is no answer in time.
    pub async fn step(&self, key: &Key, quota: Quota, step: Step) -> Option<Counted> {
        let deadline = tokio::time::Instant::now() + self.patience;
        let mut watched = self.link.subscribe();
        let settled = watched.wait_for(|link| !matches!(link, Link::Starting));
        let settled = tokio::time::timeout_at(deadline, settled).await;
        let link = settled.map(|link| link.map_or(Link::Down, |link| link.clone()));
        let Ok(Link::Up(number, mut connection)) = link else {
            self.give_up_start();
            return None;
        };
        let mut call = self.script.key(name(key));
        call.arg(quota.interval()).arg(quota.whole()).arg(word(step));
        let answer: RedisResult<(bool, i64)> =
            match tokio::time::timeout_at(deadline, call.invoke_async(&mut connection)).await {
                Ok(answer) => answer,
                Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            };
        match answer {
            Ok((room, spent)) => Some(Counted { room, spent }),
            Err(error) => {
                self.lost(number, &error);
                None
            }
        }
    }

    /// One wait for the first connection is enough.
    fn give_up_start(&self) {
        self.link.send_if_modified(|link| {
            let starting = matches!(link, Link::Starting);
            if starting {
                *link = Link::Down;
            }
            starting
        });
    }

    /// From now on nobody waits, until the task says otherwise. Whoever still used the connection before that one is
    /// too late to say anything of this one.
    fn lost(&self, number: u64, error: &redis::RedisError) {
        let first = self.link.send_if_modified(|link| {
            let current = matches!(link, Link::Up(current, _) if *current == number);
            if current {
                *link = Link::Down;
            }
            current
        });
        if first {
            tracing::debug!(%error, "a call of Redis failed");
        }
    }
}

/// `tenantry:limit:login:…`.
fn name(key: &Key) -> String {
    format!("tenantry:limit:{}:{}", key.kind, secret::encode(&key.whose))
}

const fn word(step: Step) -> &'static str {
    match step {
        Step::Take => "take",
        Step::Look => "look",
        Step::Count => "count",
        Step::GiveBack => "give back",
    }
}

/// Connects, waits until somebody finds that it is lost, and begins anew. Redis being away is logged once a minute.
async fn keep(client: Client, link: std::sync::Weak<watch::Sender<Link>>, patience: Duration) {
    let mut number = 0;
    let mut last_said: Option<Instant> = None;
    let mut told = false;
    loop {
        let tried = connect(&client, patience).await;
        let Some(sender) = link.upgrade() else { return };
        match tried {
            Ok(connection) => {
                if std::mem::take(&mut told) {
                    tracing::info!("Redis is back: limits are counted there again");
                }
                number += 1;
                let mut lost = sender.subscribe();
                sender.send_replace(Link::Up(number, connection));
                drop(sender);
                // ends with an error when the limiter is dropped
                if lost.wait_for(|link| matches!(link, Link::Down)).await.is_err() {
                    return;
                }
                told = say(&mut last_said, "a call failed or took too long");
            }
            Err(error) => {
                sender.send_replace(Link::Down);
                drop(sender);
                told |= say(&mut last_said, &error.to_string());
            }
        }
        sleep(PAUSE).await;
    }
}

/// Whether it was said: not within a minute of the last time.
fn say(last_said: &mut Option<Instant>, why: &str) -> bool {
    let due = last_said.is_none_or(|at| at.elapsed() >= SILENCE);
    if due {
        *last_said = Some(Instant::now());
        tracing::warn!(why, "Redis is out of reach: this node counts limits by itself until it is back");
    }
    due
}

/// A connection over which the script is known and the server has answered quickly.
async fn connect(client: &Client, patience: Duration) -> RedisResult<MultiplexedConnection> {
    let slow = |_| redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    timeout(CONNECT, script().load_async(&mut connection)).await.map_err(slow)??;
    let ping = redis::cmd("PING");
    timeout(patience, ping.query_async::<()>(&mut connection)).await.map_err(slow)??;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_not_repeated() {
        for url in
            ["redis://localhost", "redis://:hunter2@10.0.0.1:6380/1", "rediss://user:hunter2@redis.internal"]
        {
            let url: RedisUrl = url.parse().unwrap();
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        for url in ["", "localhost:6379", "http://:hunter2@localhost", "redis://:hunter2@localhost/x"] {
            let why = url.parse::<RedisUrl>().unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
