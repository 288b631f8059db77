//! `Scope<P>`: a verified token, and the only way to a transaction under permission `P`.
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
mod once;

use super::{
    Permission, Role,
    session::SessionGate,
    token::{Caller, refused},
};
use crate::{
    core::Core,
    data::{Mode, TenantConn},
    error::{Error, Result},
    http::{
        Cursor, Paging,
        frame::Who,
        limits::{Standings, limit_tenant},
        public::origin,
    },
    infra::{
        audit::{self, Entry, Origin},
        events::Event,
        jobs::{self, Job},
        outbox,
        plans::Plan,
    },
    values::Int,
};
use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request::Parts},
};
use serde::Serialize;
use std::{
    marker::PhantomData,
    ops::Deref,
    sync::{Arc, OnceLock},
};
use utoipa::ToSchema;
use uuid::Uuid;

/// Who does something, as histories record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Actor {
    /// What kind.
    #[schema(inline)]
    pub r#type: ActorType,
    /// Which one.
    pub id: Uuid,
}

crate::choice! {
    /// What kind of caller did something.
    pub enum ActorType {
        /// A person.
        User = "user",
        /// A program with a key of its own.
        ApiKey = "api_key",
    }
}

/// Proof that a request carries a valid token. Whether its session is alive and its role has `P` is asked by the
/// transaction, in its first flight.
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

    /// `Ok` commits, `Err` rolls back: there is no `commit()` to forget.
    pub async fn write<T>(&self, work: impl AsyncFnOnce(&Tx<P>) -> Result<T>) -> Result<T> {
        self.run(Mode::Write, work).await
    }

    /// The tenant of the token.
    pub fn tenant_id(&self) -> Uuid {
        self.caller.tenant
    }

    /// The person of the token.
    pub fn user_id(&self) -> Uuid {
        self.caller.user
    }

    /// Which page of the list called `list` is asked for; a cursor that was not issued for this tenant and this list is
    /// 422. Lists of one name share their cursors, so each has a name of its own.
    pub fn paging(
        &self,
        list: &'static str,
        cursor: Option<Cursor>,
        limit: Option<Int<1, 100>>,
    ) -> Result<Paging> {
        Paging::new(&self.core.cursors, self.caller.tenant, list, cursor, limit)
    }

    async fn run<T>(&self, mode: Mode, work: impl AsyncFnOnce(&Tx<P>) -> Result<T>) -> Result<T> {
        let tx = Tx::open(self, mode);
        let outcome = work(&tx).await;
        tx.conn.check().await?; // the use case may have sent nothing, or swallowed a refusal
        let value = outcome?; // on Err `tx` is dropped, which rolls back
        tx.conn.commit().await?;
        Ok(value)
    }
}

/// A transaction under permission `P`. It derefs to the [`TenantConn`] that stores take.
pub struct Tx<P> {
    conn: TenantConn,
    gate: Arc<SessionGate>,
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
    fn open(scope: &Scope<P>, mode: Mode) -> Self {
        let Scope { caller, origin, core, standings, .. } = scope;
        let now = core.clock.now();
        let gate = Arc::new(SessionGate {
            caller: *caller,
            now,
            permission: P::NAME,
            min_role: P::MIN_ROLE,
            found: OnceLock::new(),
            core: core.clone(),
            standings: standings.clone(),
        });
        Self {
            conn: core.db.tenant(caller.tenant, mode, now, gate.clone()),
            gate,
            origin: origin.clone(),
            permission: PhantomData,
        }
    }

    /// Who does this.
    pub fn actor(&self) -> Actor {
        Actor { r#type: ActorType::User, id: self.gate.caller.user }
    }

    /// The role that the caller has now.
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

    /// The session that the caller speaks in.
    pub fn session_id(&self) -> Uuid {
        self.gate.caller.session
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
        let caller = authenticate(parts, core)?;
        if let Some(who) = parts.extensions.get::<Who>() {
            who.is(caller);
        }
        let standings = limit_tenant(core, parts, caller.tenant).await?;
        Ok(Self { caller, origin: origin(parts), core: core.clone(), standings, permission: PhantomData })
    }
}

/// `Authorization: Bearer …` (RFC 6750), once. Who sends none is told what to send; whatever else is wrong with a
/// credential is told in the words of [`refused`], so that nothing can be learned from trying.
fn authenticate(parts: &Parts, core: &Core) -> Result<Caller> {
    let missing = || Error::unauthorized("Sign in: send Authorization: Bearer and an access token");
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let header = headers.next().ok_or_else(missing)?;
    if headers.next().is_some() {
        return Err(refused("more than one Authorization header"));
    }
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| refused("no scheme and token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("another scheme than Bearer"));
    }
    core.tokens.verify(token.trim(), core.clock.now())
}
