//! The question that every transaction of a caller asks in its first flight.
use super::{
    caller::Caller,
    permission::{Permission, Role},
    token::refused,
};
use crate::{
    core::Core,
    data::{Gate, Param, Row, Sql},
    error::{Error, Result},
    http::limits::Standings,
    infra::plans::Plan,
    sql,
    values::Timestamp,
};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Of a person. Parameters: session, now. One row by its key, at each request: role, status and plan are the database's
/// copies of what stands in `users` and `tenants`. Whose session it is, is compared afterwards: as a condition it would be
/// one on the index of a user's sessions, of which there may be thousands, and which PostgreSQL may hold to be as good as
/// the key.
const OF_SESSION: Sql = sql!(
    "SELECT tenant_plan, user_role, user_id FROM sessions \
     WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL AND expires_at > $3 AND user_status = 'active'"
);

/// Of a program. A key does no more than whoever made it may do now. Parameters: key, its hash, now.
const OF_API_KEY: Sql = sql!(
    "SELECT t.plan, u.role, k.role FROM api_keys k JOIN users u ON u.tenant_id = $1 AND u.id = k.created_by \
     JOIN tenants t ON t.id = $1 \
     WHERE k.tenant_id = $1 AND k.id = $2 AND k.hash = $3 AND k.revoked_at IS NULL \
     AND (k.expires_at IS NULL OR k.expires_at > $4) AND u.status = 'active'"
);

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    permission: &'static str,
    min_role: Role,
    for_api_keys: bool,
}

impl Wanted {
    /// Who it is is all that is asked.
    pub(super) const NOTHING: Self = Self { permission: "", min_role: Role::Viewer, for_api_keys: true };

    pub(super) const fn of<P: Permission>() -> Self {
        Self { permission: P::NAME, min_role: P::MIN_ROLE, for_api_keys: P::FOR_API_KEYS }
    }
}

/// Lets in whose session or key is alive, who is active, and whose role is enough.
pub(super) struct AccessGate {
    pub caller: Caller,
    pub now: Timestamp,
    wanted: Wanted,
    /// The role and the plan that were found.
    pub found: OnceLock<(Role, Plan)>,
    /// Remembers the plan that was found: the next request is limited by it.
    core: Core,
    /// What this request is told of its limits.
    standings: Standings,
}

impl AccessGate {
    pub(super) fn new(core: &Core, caller: Caller, wanted: Wanted, standings: Standings) -> Arc<Self> {
        let (core, now) = (core.clone(), core.clock.now());
        Arc::new(Self { caller, now, wanted, found: OnceLock::new(), core, standings })
    }
}

impl Gate for AccessGate {
    fn question(&self) -> (Sql, Vec<&dyn Param>) {
        match &self.caller {
            Caller::Person(session) => (OF_SESSION, vec![&session.id, &self.now]),
            Caller::ApiKey(key) => (OF_API_KEY, vec![&key.id, &key.hash, &self.now]),
        }
    }

    fn admit(&self, row: Option<Row<'_>>) -> Result<()> {
        let Some(row) = row else {
            if let Caller::ApiKey(key) = &self.caller {
                self.core.known_keys.forget(&key.hash); // whoever still has it shall not count for the tenant
            }
            return Err(refused("no such live session or key"));
        };
        let plan = row.word(0, |word| Some(Plan::of_word(word)))?;
        let person = row.word(1, Role::from_word)?;
        let role = match &self.caller {
            Caller::Person(session) if row.get::<Uuid>(2)? != session.user => {
                return Err(refused("the session of somebody else"));
            }
            Caller::Person(_) => person,
            Caller::ApiKey(_) => person.min(row.word(2, Role::from_word)?),
        };
        self.core.plans.learn(self.caller.tenant(), plan);
        self.standings.learn(&self.core, plan);
        let _ = self.found.set((role, plan));
        let Wanted { permission, min_role, for_api_keys } = self.wanted;
        match self.caller {
            Caller::ApiKey(_) if !for_api_keys => Err(Error::not_for_api_keys(permission)),
            _ if role < min_role => Err(Error::forbidden(permission)),
            _ => Ok(()),
        }
    }
}
