//! The SQL of accounts.
mod people;
mod purge;
mod sessions;

pub use people::*;
pub use purge::OVER;
pub use sessions::{end_own_session, end_sessions_but, live_sessions};

use super::model::{Credentials, StoredToken, Tenant, User};
use crate::{
    data::{SystemConn, SystemSql, TenantConn},
    error::Result,
    sql,
    values::Timestamp,
};
use uuid::Uuid;

/// A session to be written.
pub struct NewSession<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub expires_at: Timestamp,
    pub ip: &'a Option<String>,
    pub user_agent: &'a Option<String>,
}

pub async fn tenant_by_slug(conn: &SystemConn, slug: &str) -> Result<Option<Uuid>> {
    conn.fetch_optional(SystemSql::new("SELECT id FROM tenants WHERE slug = $1"), &[&slug]).await
}

/// Whether the slug was free.
pub async fn insert_tenant(conn: &TenantConn, tenant: &Tenant) -> Result<bool> {
    let sql = sql!(
        "INSERT INTO tenants (id, name, slug, plan, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (slug) DO NOTHING"
    );
    let Tenant { name, slug, plan, created_at, updated_at, .. } = tenant;
    Ok(conn.execute(sql, &[name, slug, plan, created_at, updated_at]).await? == 1)
}

pub async fn tenant(conn: &TenantConn) -> Result<Tenant> {
    conn.fetch_one(
        sql!("SELECT id, name, slug, plan, created_at, updated_at FROM tenants WHERE id = $1"),
        &[],
    )
    .await
}

pub async fn insert_user(conn: &TenantConn, user: &User, password_hash: &str) -> Result<()> {
    let sql = sql!(
        "INSERT INTO users (tenant_id, id, email, full_name, role, status, password_hash, last_login_at, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    let User { id, email, full_name, last_login_at, created_at, updated_at, .. } = user;
    let (role, status) = (user.role.as_str(), user.status.as_str());
    conn.execute(
        sql,
        &[id, email, full_name, &role, &status, &password_hash, last_login_at, created_at, updated_at],
    )
    .await
    .map(drop)
}

pub async fn user(conn: &TenantConn, id: Uuid) -> Result<Option<User>> {
    let sql = sql!(
        "SELECT tenant_id, id, email, full_name, role, status, last_login_at, created_at, updated_at \
         FROM users WHERE tenant_id = $1 AND id = $2"
    );
    conn.fetch_optional(sql, &[&id]).await
}

pub async fn credentials(conn: &TenantConn, email: &str) -> Result<Option<Credentials>> {
    let sql = sql!("SELECT id, password_hash, status FROM users WHERE tenant_id = $1 AND email = $2");
    conn.fetch_optional(sql, &[&email]).await
}

/// Whether the person is still active and their password the one that was compared.
pub async fn note_login(conn: &TenantConn, user: Uuid, compared: &str) -> Result<bool> {
    let sql = sql!(
        "UPDATE users SET last_login_at = $3 \
         WHERE tenant_id = $1 AND id = $2 AND status = 'active' AND password_hash = $4"
    );
    Ok(conn.execute(sql, &[&user, &conn.now(), &compared]).await? == 1)
}

pub async fn replace_hash(conn: &TenantConn, user: Uuid, hash: &str) -> Result<()> {
    conn.execute(
        sql!("UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2"),
        &[&user, &hash],
    )
    .await
    .map(drop)
}

pub async fn insert_session(conn: &TenantConn, session: &NewSession<'_>) -> Result<()> {
    let sql = sql!(
        "INSERT INTO sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at, ip, user_agent) \
         VALUES ($1, $2, $3, $4, $4, $5, $6, $7)"
    );
    let NewSession { id, user_id, expires_at, ip, user_agent } = session;
    conn.execute(sql, &[id, user_id, &conn.now(), expires_at, *ip, *user_agent]).await.map(drop)
}

pub async fn insert_token(
    conn: &TenantConn,
    hash: &[u8],
    session: Uuid,
    expires_at: Timestamp,
) -> Result<()> {
    let sql = sql!(
        "INSERT INTO refresh_tokens (tenant_id, hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
    );
    conn.execute(sql, &[&hash, &session, &conn.now(), &expires_at]).await.map(drop)
}

/// The session of a token, dead or alive.
pub async fn session_of_token(conn: &TenantConn, hash: &[u8]) -> Result<Option<Uuid>> {
    let sql = sql!("SELECT session_id FROM refresh_tokens WHERE tenant_id = $1 AND hash = $2");
    conn.fetch_optional(sql, &[&hash]).await
}

/// A token whose session lives and whose person is active, replaced or not. The statement's own snapshot decides
/// whether a replacement had been committed when this request reached the database.
pub async fn live_token(conn: &TenantConn, hash: &[u8]) -> Result<Option<StoredToken>> {
    let sql = sql!(
        "SELECT t.session_id, s.user_id, s.created_at, t.replaced_at, t.replaced_by, clock_timestamp() \
         FROM refresh_tokens t \
         JOIN sessions s ON s.tenant_id = $1 AND s.id = t.session_id \
         JOIN users u ON u.tenant_id = $1 AND u.id = s.user_id \
         WHERE t.tenant_id = $1 AND t.hash = $2 AND t.expires_at > $3 \
         AND s.ended_at IS NULL AND s.expires_at > $3 AND u.status = 'active'"
    );
    conn.fetch_optional(sql, &[&hash, &conn.now()]).await
}

/// The database's clock, which all nodes share.
pub async fn clock(conn: &TenantConn) -> Result<Timestamp> {
    conn.fetch_one(sql!("SELECT clock_timestamp() FROM tenants WHERE id = $1"), &[]).await
}

/// Whether this request is the one that replaces the token.
///
/// `at` is when it counts as replaced, by the database's clock.
pub async fn claim_token(conn: &TenantConn, hash: &[u8], by: &[u8], at: Timestamp) -> Result<bool> {
    let sql = sql!(
        "UPDATE refresh_tokens SET replaced_at = $4, replaced_by = $3 \
         WHERE tenant_id = $1 AND hash = $2 AND replaced_at IS NULL"
    );
    Ok(conn.execute(sql, &[&hash, &by, &at]).await? == 1)
}

/// Within the grace period: whether the child that was lost is still unused, and is now replaced in its parent's place.
pub async fn replace_lost_child(
    conn: &TenantConn,
    parent: &[u8],
    child: &[u8],
    by: &[u8],
    at: Timestamp,
) -> Result<bool> {
    if !claim_token(conn, child, by, at).await? {
        return Ok(false);
    }
    let sql = sql!(
        "UPDATE refresh_tokens SET replaced_by = $4 WHERE tenant_id = $1 AND hash = $2 AND replaced_by = $3"
    );
    Ok(conn.execute(sql, &[&parent, &child, &by]).await? == 1)
}

/// Whether the session lived until now; it does on only if it was not ended meanwhile.
pub async fn prolong_session(conn: &TenantConn, session: Uuid, expires_at: Timestamp) -> Result<bool> {
    let sql = sql!(
        "UPDATE sessions SET last_used_at = $3, expires_at = $4 WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL"
    );
    Ok(conn.execute(sql, &[&session, &conn.now(), &expires_at]).await? == 1)
}

/// Whether this is what ended it.
pub async fn end_session(conn: &TenantConn, session: Uuid) -> Result<bool> {
    let sql = sql!("UPDATE sessions SET ended_at = $3 WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL");
    Ok(conn.execute(sql, &[&session, &conn.now()]).await? == 1)
}
