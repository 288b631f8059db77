//! The SQL of the audit log.
use super::model::EventView;
use crate::{
    data::{Param, TenantConn},
    error::Result,
    sql,
};
use uuid::Uuid;

/// A statement a combination of filters, so that each finds its index: the page, and how many there are.
macro_rules! page {
    ($filter:literal, $limit:literal) => {
        (
            sql!(concat!(
                "SELECT a.id, a.at, a.action, a.actor_type, a.actor_id, u.email, a.target_type, a.target_id, a.ip, \
                 a.user_agent, a.request_id, a.details FROM audit_events a \
                 LEFT JOIN users u ON u.tenant_id = $1 AND u.id = a.actor_id WHERE a.tenant_id = $1 ",
                $filter,
                " ORDER BY a.id DESC ",
                $limit
            )),
            sql!(concat!("SELECT count(*) FROM audit_events a WHERE a.tenant_id = $1 ", $filter)),
        )
    };
}

/// A page of entries, newest first, and how many there are.
pub async fn events(
    conn: &TenantConn,
    actor: Option<Uuid>,
    action: Option<&str>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<EventView>, i64)> {
    let (page, count) = match (&actor, &action) {
        (None, None) => page!("", "LIMIT $2 OFFSET $3"),
        (Some(_), None) => page!("AND a.actor_id = $2", "LIMIT $3 OFFSET $4"),
        (None, Some(_)) => page!("AND a.action = $2", "LIMIT $3 OFFSET $4"),
        (Some(_), Some(_)) => page!("AND a.actor_id = $2 AND a.action = $3", "LIMIT $4 OFFSET $5"),
    };
    let mut params: Vec<&dyn Param> = Vec::new();
    if let Some(actor) = &actor {
        params.push(actor);
    }
    if let Some(action) = &action {
        params.push(action);
    }
    let filter = params.clone();
    params.extend([&limit as &dyn Param, &offset]);
    futures_util::try_join!(conn.fetch_all(page, &params), conn.fetch_one(count, &filter))
}
