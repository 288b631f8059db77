//! What a domain brings: its routes, its events, its migrations, and what the demo shows of it. A domain is a folder
//! with five files; `docs/adding-a-domain.md` walks through one.
use crate::{
    data::{Migrations, TenantConn},
    error::Result,
    http::Routes,
    infra::events::{Event, EventType},
};
use futures_util::future::BoxFuture;
use uuid::Uuid;

/// A part of the product, plugged in with `App::domain`.
pub struct Domain {
    pub(crate) name: &'static str,
    pub(crate) routes: Vec<Routes>,
    pub(crate) migrations: Option<Migrations>,
    pub(crate) events: Vec<EventType>,
    pub(crate) seed: Option<Seed>,
}

/// Fills one of the demo's tenants, in the transaction that makes it.
pub type Seed = for<'a> fn(&'a TenantConn, &'a SeedTenant) -> BoxFuture<'a, Result<()>>;

/// A tenant of the demo, and its people.
#[derive(Clone, Debug)]
pub struct SeedTenant {
    /// `acme` or `globex`.
    pub slug: &'static str,
    /// Who may write: the owner, the admin, the member.
    pub writers: Vec<Uuid>,
}

impl Domain {
    /// An empty domain of this name.
    pub fn new(name: &'static str) -> Self {
        Self { name, routes: Vec::new(), migrations: None, events: Vec::new(), seed: None }
    }

    /// Its routes.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes.push(routes);
        self
    }

    /// Its tables.
    #[must_use]
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = Some(migrations);
        self
    }

    /// An event that it emits.
    #[must_use]
    pub fn event<E: Event>(mut self) -> Self {
        self.events.push(EventType::of::<E>());
        self
    }

    /// What the demo shows of it.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }
}
