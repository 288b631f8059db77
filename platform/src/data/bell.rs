//! Being told of work at once. A commit that leaves some rings a bell in its process, and on PostgreSQL a connection of
//! its own passes that on to the other nodes. Nothing depends on it: who is not told finds the work by looking.
//!
//! A `NOTIFY` within the transaction that causes the work would take a lock of the whole server at its commit, and
//! commits would come one after another.
use super::{
    Db, Pools, id_at,
    postgres::{Server, classified},
};
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use futures_util::TryStreamExt;
use std::{
    convert::Infallible,
    future::pending,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};
use tokio_postgres::AsyncMessage;

/// What a commit can leave to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Rows of `jobs`.
    Jobs,
    /// Events, and their deliveries.
    Events,
}

impl Topic {
    pub(super) const ALL: [Self; 2] = [Self::Jobs, Self::Events];

    const fn word(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Events => "events",
        }
    }
}

/// Other nodes are told at most once in this time: under load one notification stands for many commits.
const QUIET: Duration = Duration::from_millis(50);
/// How long until another connection is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// The bells of a process, one a topic.
#[derive(Default)]
pub(super) struct Bells {
    rung: [watch::Sender<()>; 2],
    /// What this process has committed, for the other nodes.
    committed: [watch::Sender<()>; 2],
}

impl Bells {
    /// A commit of this process has left work.
    pub fn committed(&self, topic: Topic) {
        self.ring(topic);
        self.committed[topic as usize].send_replace(());
    }

    fn ring(&self, topic: Topic) {
        self.rung[topic as usize].send_replace(());
    }

    /// Over one connection, until it breaks.
    async fn relay(&self, server: &Server, reached: &AtomicBool) -> Result<()> {
        let node = id_at(Timestamp::from_micros(0))?.simple().to_string();
        let (client, messages) = server.listen().await?;
        let told = messages.try_for_each(async |message| {
            if let AsyncMessage::Notification(told) = message
                && let Some((topic, from)) = told.payload().split_once(' ')
                && from != node
            {
                Topic::ALL
                    .into_iter()
                    .filter(|known| known.word() == topic)
                    .for_each(|topic| self.ring(topic));
            }
            Ok(())
        });
        let tell = async {
            let [mut jobs, mut events] = Topic::ALL.map(|topic| self.committed[topic as usize].subscribe());
            client.batch_execute("LISTEN tenantry").await.map_err(classified)?;
            reached.store(true, Relaxed);
            Topic::ALL.into_iter().for_each(|topic| self.ring(topic)); // for what was not heard until now
            loop {
                let topic = tokio::select! {
                    Ok(()) = jobs.changed() => Topic::Jobs,
                    Ok(()) = events.changed() => Topic::Events,
                    else => return Ok(()),
                };
                let notify = format!("NOTIFY tenantry, '{} {node}'", topic.word());
                client.batch_execute(&notify).await.map_err(classified)?;
                sleep(QUIET).await;
            }
        };
        tokio::select! {
            ended = told => ended.and(Err(Error::unavailable("the connection was closed"))),
            broken = tell => broken,
        }
    }
}

/// One that waits for work.
pub(crate) struct Bell(watch::Receiver<()>);

impl Bell {
    /// Waits until it has rung since the last time, or since it was made.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            pending().await // nobody is left to ring it
        }
    }
}

impl Db {
    /// Hears of work from now on.
    pub(crate) fn bell(&self, topic: Topic) -> Bell {
        Bell(self.bells.rung[topic as usize].subscribe())
    }

    /// Tells the other nodes what is committed here, and rings here for what is committed there, for as long as it is
    /// awaited. SQLite has one node.
    pub async fn relay(&self) -> Infallible {
        let Pools::Postgres(server) = &self.pools else { return pending().await };
        let reached = AtomicBool::new(true);
        loop {
            let broken = self.bells.relay(server, &reached).await;
            if let (Err(error), true) = (broken, reached.swap(false, Relaxed)) {
                tracing::warn!(%error, "other nodes are not told of work at once: they find it within a second");
            }
            sleep(AGAIN).await;
        }
    }
}
