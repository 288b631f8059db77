//! `Scope<P>`: a verified credential, and the only way to a transaction under permission `P`.
//!
//! Its fields are private and there is no public constructor:
//! ```compile_fail,E0451
//! use tenantry::access::{Permission, Role, Scope};
//! struct Write;
//! impl Permission for Write { const NAME: &'static str = "x.write"; const MIN_ROLE: Role = Role::Member; }
//! let forged: Scope<Write> = Scope { caller: todo!(), origin: todo!(), core: todo!(), standings: todo!(), permission: Default::default() };
//! ```
//! A use case under the wrong permission does not compile:
//! ```compile_fail,E0308
//! use tenantry::{access::{Permission, Role, Scope, Tx}, error::Result};
//! struct Read;
//! impl Permission for Read { const NAME: &'static str = "x.read"; const MIN_ROLE: Role = Role::Viewer; }
//! struct Write;
//! impl Permission for Write { const NAME: &'static str = "x.write"; const MIN_ROLE: Role = Role::Member; }
//! async fn place(tx: &Tx<Write>) -> Result<()> { Ok(()) }
//! async fn handler(scope: Scope<Read>) -> Result<()> {
//!     scope.write(async |tx| place(tx).await).await
//! }
//! ```
//! Nor does one that asks for a person's session under a permission that an API key can have:
//! ```compile_fail,E0080
//! use tenantry::{access::{Permission, Role, Session, Tx}, error::Result};
//! struct Read;
//! impl Permission for Read { const NAME: &'static str = "x.read"; const MIN_ROLE: Role = Role::Viewer; }
//! fn whose(tx: &Tx<Read>) -> Result<Session> { tx.session() }
//! let _: fn(&Tx<Read>) -> Result<Session> = whose;
//! ```
mod once;

use super::{
    Permission, Role,
    authenticate::{authenticate, note_use},
    caller::{Actor, Caller, Session},
    gate::{AccessGate, Wanted},
};
use crate::{
    core::Core,
    data::{Mode, TenantConn},
    error::{Error, Result},
    http::{Cursor, Paging, limits::Standings, public::origin},
    infra::{
        audit::{self, Entry, Origin},
        events::Event,
        jobs::{self, Job},
        outbox,
        plans::Plan,
    },
    values::Int,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use std::{future::poll_fn, marker::PhantomData, ops::Deref, pin::pin, sync::Arc};
use uuid::Uuid;

/// Proof that a request carries a valid credential. Whether its session or key is alive and its role has `P` is asked by
/// the transaction, in its first flight.
pub struct Scope<P> {
    caller: Caller,
    origin: Origin,
    core: Core,
    standings: Standings,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> Scope<P> {
    /// A transaction that the database keeps from writing. All its statements see one state.
    pub async fn read<T>(&self, work: impl AsyncFnOnce(&Tx<P>) -> Result<T>) -> Result<T> {
        self.run(Mode::Read, work).await
    }

    /// A read whose statements all leave together, as those of a `try_join!` do: to PostgreSQL they are one message, which
    /// is a transaction by itself, and one answer. A statement that is asked for when others have answered, or when
    /// `tx.role()` or `tx.plan()` has, is an error there (not over a Unix socket).
    pub async fn read_at_once<T>(&self, work: impl AsyncFnOnce(&Tx<P>) -> Result<T>) -> Result<T> {
        let tx = Tx::open(self, Sent::AtOnce);
        let outcome = {
            let mut work = pin!(async {
                let outcome = work(&tx).await;
                tx.conn.check().await?; // leaves by itself where the use case has sent nothing
                outcome
            });
            poll_fn(|cx| {
                let mut polled = work.as_mut().poll(cx);
                if polled.is_pending() && tx.conn.leave(cx.waker()) {
                    polled = work.as_mut().poll(cx);
                }
                if polled.is_pending() {
                    tx.conn.see_off(cx.waker());
                }
                polled
            })
            .await
        };
        Self::close(tx, outcome).await
    }

    /// `Ok` commits, `Err` rolls back: there is no `commit()` to forget.
    pub async fn write<T>(&self, work: impl AsyncFnOnce(&Tx<P>) -> Result<T>) -> Result<T> {
        self.run(Mode::Write, work).await
    }

    /// The tenant of the caller.
    pub fn tenant_id(&self) -> Uuid {
        self.caller.tenant()
    }

    /// Which page of the list called `list` is asked for; a cursor that was not issued for this tenant and this list is
    /// 422. Lists of one name share their cursors, so each has a name of its own.
    pub fn paging(
        &self,
        list: &'static str,
        cursor: Option<Cursor>,
        limit: Option<Int<1, 100>>,
    ) -> Result<Paging> {
        Paging::new(&self.core.cursors, self.caller.tenant(), list, cursor, limit)
    }

    async fn run<T>(&self, mode: Mode, work: impl AsyncFnOnce(&Tx<P>) -> Result<T>) -> Result<T> {
        let tx = Tx::open(self, Sent::AsAsked(mode));
        let outcome = work(&tx).await;
        Self::close(tx, outcome).await
    }

    async fn close<T>(tx: Tx<P>, outcome: Result<T>) -> Result<T> {
        tx.conn.check().await?; // the use case may have sent nothing, or swallowed a refusal
        let value = outcome?; // on Err `tx` is dropped, which rolls back
        tx.conn.commit().await?;
        Ok(value)
    }
}

/// The handler is through, whatever it has done.
impl<P> Drop for Scope<P> {
    fn drop(&mut self) {
        note_use(&self.core, &self.caller);
    }
}

/// When the statements of a transaction leave.
enum Sent {
    /// As they are asked for.
    AsAsked(Mode),
    /// All that are asked for before the first answer, together: a read.
    AtOnce,
}

/// A transaction under permission `P`. It derefs to the [`TenantConn`] that stores take.
pub struct Tx<P> {
    conn: TenantConn,
    gate: Arc<AccessGate>,
    origin: Origin,
    permission: PhantomData<fn() -> P>,
}

impl<P> Deref for Tx<P> {
    type Target = TenantConn;
    fn deref(&self) -> &TenantConn {
        &self.conn
    }
}

impl<P: Permission> Tx<P> {
    fn open(scope: &Scope<P>, sent: Sent) -> Self {
        let Scope { caller, origin, core, standings, .. } = scope;
        let gate = AccessGate::new(core, caller.clone(), Wanted::of::<P>(), standings.clone());
        let (tenant, now) = (caller.tenant(), gate.now);
        let conn = match sent {
            Sent::AsAsked(mode) => core.db.tenant(tenant, mode, now, gate.clone()),
            Sent::AtOnce => core.db.tenant_at_once(tenant, now, gate.clone()),
        };
        Self { conn, gate, origin: origin.clone(), permission: PhantomData }
    }

    /// Who does this.
    pub fn actor(&self) -> Actor {
        self.gate.caller.actor()
    }

    /// The role that the caller has now. A key has no more than whoever made it.
    pub async fn role(&self) -> Result<Role> {
        self.found().await.map(|(role, _)| role)
    }

    /// The plan that the tenant is on now.
    pub async fn plan(&self) -> Result<Plan> {
        self.found().await.map(|(_, plan)| plan)
    }

    /// Known once a statement has answered; asked for now if none was sent yet.
    async fn found(&self) -> Result<(Role, Plan)> {
        self.conn.check().await?;
        self.gate.found.get().copied().ok_or_else(|| Error::internal("a role was not read"))
    }

    /// The session that the caller speaks in. Only a permission that no API key can have
    /// ([`FOR_API_KEYS`](Permission::FOR_API_KEYS) is false) has one; asking under another does not compile.
    pub fn session(&self) -> Result<Session> {
        const {
            assert!(
                !P::FOR_API_KEYS,
                "an API key has no session: FOR_API_KEYS of this permission must be false"
            )
        };
        match self.gate.caller {
            Caller::Person(session) => Ok(session),
            Caller::ApiKey(_) => Err(Error::not_for_api_keys(P::NAME)), // the gate has refused it already
        }
    }

    /// Writes an entry of the audit log into this transaction, in the caller's name.
    pub async fn audit(&self, entry: Entry) -> Result<()> {
        let Actor { r#type, id } = self.actor();
        audit::record(&self.conn, &self.origin, &entry.by(r#type.as_str(), id)).await
    }

    /// Writes a job into this transaction: it is done after the commit, at least once, and only then.
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<()> {
        jobs::enqueue(&self.conn, job).await
    }

    /// Writes an event into this transaction: it is told to others if, and only if, this commits.
    pub async fn emit<E: Event>(&self, event: &E) -> Result<()> {
        outbox::emit(&self.conn, event).await
    }
}

impl<P: Permission> FromRequestParts<Core> for Scope<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, core: &Core) -> Result<Self> {
        let (caller, standings) = authenticate(parts, core).await?;
        Ok(Self { caller, origin: origin(parts), core: core.clone(), standings, permission: PhantomData })
    }
}
