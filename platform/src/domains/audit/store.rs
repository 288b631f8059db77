//! The SQL of the audit log.
use super::model::EventView;
use crate::{
    data::{Param, TenantConn},
    error::Result,
    sql,
};
use futures_util::try_join;
use uuid::Uuid;

/// A page of entries, newest first, and how many there are. Without a filter, what it would compare with is not looked at.
pub async fn events(
    conn: &TenantConn,
    actor: Option<Uuid>,
    action: Option<&str>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<EventView>, i64)> {
    let page = sql!(
        "SELECT a.id, a.at, a.action, a.actor_type, a.actor_id, u.email, a.target_type, a.target_id, a.ip, a.user_agent, \
         a.request_id, a.details FROM audit_events a LEFT JOIN users u ON u.tenant_id = $1 AND u.id = a.actor_id \
         WHERE a.tenant_id = $1 AND ($2 OR a.actor_id = $3) AND ($4 OR a.action = $5) \
         ORDER BY a.id DESC LIMIT $6 OFFSET $7"
    );
    let count = sql!(
        "SELECT count(*) FROM audit_events WHERE tenant_id = $1 AND ($2 OR actor_id = $3) AND ($4 OR action = $5)"
    );
    let (any_actor, any_action) = (actor.is_none(), action.is_none());
    let params: [&dyn Param; 6] = [&any_actor, &actor, &any_action, &action, &limit, &offset];
    try_join!(conn.fetch_all(page, &params), conn.fetch_one(count, &params[..4]))
}
