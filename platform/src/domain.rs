//! What a domain brings: its routes, its events, its migrations, and what the demo shows of it. A domain is a folder
//! with five files; `docs/adding-a-domain.md` walks through one.
use crate::{
    core::Core,
    data::{Migrations, TenantConn},
    error::Result,
    http::Routes,
    infra::{
        events::{Event, EventType},
        jobs::{Chore, Failure, Handler, Job, Outcome, Work},
        queue::{Queue, Run, Runner},
    },
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::{ops::Range, sync::Arc, time::Duration};
use uuid::Uuid;

/// A part of the product, plugged in with `App::domain`.
pub struct Domain {
    pub(crate) name: &'static str,
    pub(crate) routes: Vec<Routes>,
    pub(crate) migrations: Option<Migrations>,
    pub(crate) events: Vec<EventType>,
    pub(crate) seed: Option<Seed>,
    pub(crate) bulk_seed: Option<BulkSeed>,
    pub(crate) jobs: Vec<MakeHandler>,
    pub(crate) chores: Vec<MakeChore>,
    pub(crate) queues: Vec<MakeQueue>,
}

/// A handler, once there is something for it to reach.
type MakeHandler = Box<dyn Fn(Core) -> Handler + Send + Sync>;
type MakeChore = Box<dyn Fn(Core) -> Chore + Send + Sync>;
type MakeQueue = Box<dyn Fn(Core, Duration) -> Box<dyn Run> + Send + Sync>;

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

/// Rows of a domain by the million, for load tests: `tenantry seed --tenants N --<domain> M`.
#[derive(Clone, Copy)]
pub struct BulkSeed {
    /// How many rows the tenant has.
    pub count: for<'a> fn(&'a TenantConn) -> BoxFuture<'a, Result<u64>>,
    /// Adds some, with [`insert_all`](TenantConn::insert_all).
    pub insert: for<'a> fn(&'a TenantConn, &'a BulkTenant) -> BoxFuture<'a, Result<()>>,
}

/// A tenant of a load test, and which of its rows are to be added.
#[derive(Clone, Debug)]
pub struct BulkTenant {
    /// Whose work it is.
    pub owner: Uuid,
    /// Their numbers within the tenant; what is before them is there already.
    pub rows: Range<u64>,
}

impl Domain {
    /// An empty domain of this name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            routes: Vec::new(),
            migrations: None,
            events: Vec::new(),
            seed: None,
            bulk_seed: None,
            jobs: Vec::new(),
            chores: Vec::new(),
            queues: Vec::new(),
        }
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

    /// Who does the jobs of a kind. It may be called more than once for one job, also at the same time where a holder
    /// was slow, and no transaction is open around it. A payload that it cannot read is a permanent failure.
    #[must_use]
    pub fn job<J: Job + DeserializeOwned + 'static>(
        mut self,
        handler: impl Fn(Core, Work<J>) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Self {
        let handler = Arc::new(handler);
        self.jobs.push(Box::new(move |core| {
            let handler = handler.clone();
            let run = move |Work { tenant, id, attempt, job }: Work<String>| -> BoxFuture<'static, Outcome> {
                match serde_json::from_str(&job) {
                    Ok(job) => handler(core.clone(), Work { tenant, id, attempt, job }),
                    Err(_) => {
                        Box::pin(async { Err(Failure::Permanent("a payload that is not known".to_owned())) })
                    }
                }
            };
            Handler { kind: J::KIND, run: Arc::new(run) }
        }));
        self
    }

    /// What is done every so often at each node, from its start on. It answers how many rows it has dealt with.
    #[must_use]
    pub fn chore(
        mut self,
        name: &'static str,
        every: Duration,
        run: impl Fn(Core) -> BoxFuture<'static, Result<u64>> + Send + Sync + 'static,
    ) -> Self {
        let run = Arc::new(run);
        self.chores.push(Box::new(move |core| {
            let run = run.clone();
            Chore { name, every, run: Arc::new(move || run(core.clone())) }
        }));
        self
    }

    /// Rows of its own that workers claim and work on; the duration is how long until they are looked for unasked.
    #[must_use]
    pub fn queue<Q: Queue>(mut self, make: impl Fn(Core, Duration) -> Q + Send + Sync + 'static) -> Self {
        self.queues.push(Box::new(move |core, poll| Box::new(Runner::new(make(core, poll)))));
        self
    }

    /// What the demo shows of it.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What a load test finds of it.
    #[must_use]
    pub fn bulk_seed(mut self, bulk: BulkSeed) -> Self {
        self.bulk_seed = Some(bulk);
        self
    }
}
