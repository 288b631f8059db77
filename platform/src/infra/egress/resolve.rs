//! From names to addresses.
use crate::BoxFuture;
use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};
use tokio::sync::Semaphore;

/// Finds the addresses of a name. What it answers is checked before anything is sent there.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses, those to be tried first in front.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Each look-up of the system holds a thread until it is over, also when nobody waits for it any more. A quarter of the
/// threads that the runtime has for such.
const MOST_LOOKUPS: usize = 128;

/// As the system does it: `/etc/hosts`, `/etc/resolv.conf`, and in the order of RFC 6724.
pub(super) struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_LOOKUPS)))
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let (permits, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let look_up = move || {
                let _held = permit;
                (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|found| found.ip()).collect())
            };
            tokio::task::spawn_blocking(look_up).await?
        })
    }
}
