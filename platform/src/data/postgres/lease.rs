//! How many of the pool's connections are in use at a time.
use super::{
    connect::{Conn, Connections, Pool},
    faults::out_of_reach,
};
use crate::{data::waiting::Waiting, error::Result};
use deadpool::managed::Object;
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// As many as are used while each of them comes back soon. With more of them PostgreSQL does no more at a time, and each of
/// its processes has caches of its own to fill: where 30 took turns, a read took it a quarter more processor time. With
/// fewer than these, requests wait for one another.
const USUAL: usize = 8;
/// How long one of these is waited for. Then what holds them is slow, and nobody else needs to be: others are taken.
const PATIENCE: Duration = Duration::from_millis(10);

/// The places of those that are used while that suffices.
#[derive(Clone)]
pub(super) struct Leases {
    usual: Arc<Semaphore>,
    waiting: Waiting,
}

/// A connection in use; it goes back when this is dropped.
pub(super) struct Leased {
    conn: Object<Connections>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Deref for Leased {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl Leased {
    /// Closes it: the pool makes another in its place, which may find another server.
    pub fn give_up(self) {
        drop(Object::take(self.conn));
    }
}

impl Leases {
    pub fn new(most: usize) -> Self {
        Self { usual: Arc::new(Semaphore::new(USUAL.min(most))), waiting: Waiting::default() }
    }

    /// How many wait for one of the usual.
    pub fn waiting(&self) -> usize {
        self.waiting.count()
    }

    pub async fn take(&self, pool: &Pool) -> Result<Leased> {
        let place = match self.usual.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                let _waits = self.waiting.one_more();
                timeout(PATIENCE, self.usual.clone().acquire_owned())
                    .await
                    .ok()
                    .and_then(std::result::Result::ok)
            }
        };
        Ok(Leased { conn: pool.get().await.map_err(out_of_reach)?, _place: place })
    }
}
