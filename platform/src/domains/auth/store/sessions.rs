//! Sessions of a person.
use super::super::model::SessionInfo;
use crate::{
    data::{Param, TenantConn},
    error::Result,
    sql,
};
use futures_util::try_join;
use uuid::Uuid;

/// A page of a person's live sessions, newest first, and how many there are.
pub async fn live_sessions(
    conn: &TenantConn,
    user: Uuid,
    limit: i64,
    offset: i64,
) -> Result<(Vec<SessionInfo>, i64)> {
    let rows = sql!(
        "SELECT id, created_at, last_used_at, expires_at, ip, user_agent FROM sessions \
         WHERE tenant_id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3 \
         ORDER BY id DESC LIMIT $4 OFFSET $5"
    );
    let count = sql!(
        "SELECT count(*) FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3"
    );
    let now = conn.now();
    let params: [&dyn Param; 4] = [&user, &now, &limit, &offset];
    try_join!(conn.fetch_all(rows, &params), conn.fetch_one(count, &params[..2]))
}

/// Whether this person had such a live session, which is now ended.
pub async fn end_own_session(conn: &TenantConn, user: Uuid, session: Uuid) -> Result<bool> {
    let sql = sql!(
        "UPDATE sessions SET ended_at = $4 \
         WHERE tenant_id = $1 AND id = $2 AND user_id = $3 AND ended_at IS NULL AND expires_at > $4"
    );
    Ok(conn.execute(sql, &[&session, &user, &conn.now()]).await? == 1)
}

/// Ends all sessions of a person but one; `Uuid::nil()` spares none. Answers how many.
pub async fn end_sessions_but(conn: &TenantConn, user: Uuid, spared: Uuid) -> Result<u64> {
    let sql = sql!(
        "UPDATE sessions SET ended_at = $4 WHERE tenant_id = $1 AND user_id = $2 AND id <> $3 AND ended_at IS NULL"
    );
    conn.execute(sql, &[&user, &spared, &conn.now()]).await
}
