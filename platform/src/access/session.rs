//! The question that every transaction of a signed-in person asks in its first flight.
use super::{
    permission::Role,
    token::{Caller, refused},
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
use std::sync::OnceLock;

/// Parameters: session, user, now.
const ROLE_AND_PLAN: Sql = sql!(
    "SELECT u.role, t.plan FROM sessions s JOIN users u ON u.tenant_id = $1 AND u.id = s.user_id \
     JOIN tenants t ON t.id = $1 \
     WHERE s.tenant_id = $1 AND s.id = $2 AND s.user_id = $3 AND s.ended_at IS NULL AND s.expires_at > $4 \
     AND u.status = 'active'"
);

/// Lets in whose session is alive, who is active, and whose role is enough.
pub(super) struct SessionGate {
    pub caller: Caller,
    pub now: Timestamp,
    pub permission: &'static str,
    pub min_role: Role,
    /// The role and the plan that were found.
    pub found: OnceLock<(Role, Plan)>,
    /// Remembers the plan that was found: the next request is limited by it.
    pub core: Core,
    /// What this request is told of its limits.
    pub standings: Standings,
}

impl Gate for SessionGate {
    fn question(&self) -> (Sql, Vec<&dyn Param>) {
        (ROLE_AND_PLAN, vec![&self.caller.session, &self.caller.user, &self.now])
    }

    fn admit(&self, row: Option<Row<'_>>) -> Result<()> {
        let row = row.ok_or_else(|| refused("no such live session"))?;
        let role = row.word(0, Role::from_word)?;
        let plan = row.word(1, |word| Some(Plan::of_word(word)))?;
        self.core.plans.learn(self.caller.tenant, plan);
        self.standings.learn(&self.core, plan);
        let _ = self.found.set((role, plan));
        if role < self.min_role { Err(Error::forbidden(self.permission)) } else { Ok(()) }
    }
}
