//! People and the tokens that are theirs alone.
use super::super::model::{TokenKind, User, UserStatus};
use crate::{
    access::Role,
    data::{FromRow, Param, Row, TenantConn},
    error::Result,
    sql,
    values::Timestamp,
};
use futures_util::try_join;
use uuid::Uuid;

/// Which people a list shows. Empty is any.
pub struct PeopleFilter {
    pub role: &'static str,
    pub status: &'static str,
    /// Part of the address or the name, in lower case.
    pub part: String,
}

/// A page of people, oldest first, and how many there are.
pub async fn people(
    conn: &TenantConn,
    filter: &PeopleFilter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<User>, i64)> {
    let rows = sql!(
        "SELECT tenant_id, id, email, full_name, role, status, last_login_at, created_at, updated_at FROM users \
         WHERE tenant_id = $1 AND ($2 = '' OR role = $2) AND ($3 = '' OR status = $3) \
         AND ($4 = '' OR lower(email) LIKE $4 ESCAPE '!' OR lower(full_name) LIKE $4 ESCAPE '!') \
         ORDER BY id LIMIT $5 OFFSET $6"
    );
    let count = sql!(
        "SELECT count(*) FROM users \
         WHERE tenant_id = $1 AND ($2 = '' OR role = $2) AND ($3 = '' OR status = $3) \
         AND ($4 = '' OR lower(email) LIKE $4 ESCAPE '!' OR lower(full_name) LIKE $4 ESCAPE '!')"
    );
    let pattern = containing(&filter.part);
    let params: [&dyn Param; 5] = [&filter.role, &filter.status, &pattern, &limit, &offset];
    try_join!(conn.fetch_all(rows, &params), conn.fetch_one(count, &params[..3]))
}

/// Seats that are taken: active and invited people.
pub async fn count_seats(conn: &TenantConn) -> Result<i64> {
    let sql = sql!("SELECT count(*) FROM users WHERE tenant_id = $1 AND status <> 'deactivated'");
    conn.fetch_one(sql, &[]).await
}

/// A pattern of LIKE for what contains this; empty for nothing.
fn containing(part: &str) -> String {
    if part.is_empty() {
        return String::new();
    }
    let mut pattern = String::from("%");
    for c in part.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Nobody else changes them until this transaction ends.
pub async fn lock_user(conn: &TenantConn, id: Uuid) -> Result<Option<User>> {
    let sql = sql!(
        "SELECT tenant_id, id, email, full_name, role, status, last_login_at, created_at, updated_at \
         FROM users WHERE tenant_id = $1 AND id = $2",
        for update
    );
    conn.fetch_optional(sql, &[&id]).await
}

/// The same, by their address.
pub async fn lock_user_by_email(conn: &TenantConn, email: &str) -> Result<Option<User>> {
    let sql = sql!(
        "SELECT tenant_id, id, email, full_name, role, status, last_login_at, created_at, updated_at \
         FROM users WHERE tenant_id = $1 AND email = $2",
        for update
    );
    conn.fetch_optional(sql, &[&email]).await
}

/// Whether the address was free.
pub async fn insert_invited(conn: &TenantConn, user: &User) -> Result<bool> {
    let sql = sql!(
        "INSERT INTO users (tenant_id, id, email, full_name, role, status, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, email) DO NOTHING"
    );
    let User { id, email, full_name, created_at, updated_at, .. } = user;
    let (role, status) = (user.role.as_str(), user.status.as_str());
    let changed = conn.execute(sql, &[id, email, full_name, &role, &status, created_at, updated_at]).await?;
    Ok(changed == 1)
}

pub async fn update_role(conn: &TenantConn, id: Uuid, role: Role, now: Timestamp) -> Result<()> {
    let sql = sql!("UPDATE users SET role = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2");
    conn.execute(sql, &[&id, &role.as_str(), &now]).await.map(drop)
}

pub async fn update_status(conn: &TenantConn, id: Uuid, status: UserStatus, now: Timestamp) -> Result<()> {
    let sql = sql!("UPDATE users SET status = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2");
    conn.execute(sql, &[&id, &status.as_str(), &now]).await.map(drop)
}

/// An invited person's role and name may be given anew.
pub async fn update_invited(conn: &TenantConn, user: &User) -> Result<()> {
    let sql =
        sql!("UPDATE users SET full_name = $3, role = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2");
    conn.execute(sql, &[&user.id, &user.full_name, &user.role.as_str(), &user.updated_at]).await.map(drop)
}

/// They have joined: a password of their own, and from now on active.
pub async fn join(conn: &TenantConn, user: &User, password_hash: &str) -> Result<()> {
    let sql = sql!(
        "UPDATE users SET full_name = $3, status = $4, password_hash = $5, last_login_at = $6, updated_at = $6 \
         WHERE tenant_id = $1 AND id = $2"
    );
    conn.execute(sql, &[&user.id, &user.full_name, &user.status.as_str(), &password_hash, &user.updated_at])
        .await
        .map(drop)
}

/// A password's hash; an invited person has none.
struct Hash(Option<String>);

impl FromRow for Hash {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        row.get(0).map(Self)
    }
}

pub async fn password_hash(conn: &TenantConn, id: Uuid) -> Result<Option<String>> {
    let sql = sql!("SELECT password_hash FROM users WHERE tenant_id = $1 AND id = $2");
    Ok(conn.fetch_optional::<Hash>(sql, &[&id]).await?.and_then(|hash| hash.0))
}

/// Whether the password that was compared still held, and is now replaced.
pub async fn change_password(conn: &TenantConn, id: Uuid, compared: &str, hash: &str) -> Result<bool> {
    let sql = sql!(
        "UPDATE users SET password_hash = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2 AND password_hash = $3"
    );
    Ok(conn.execute(sql, &[&id, &compared, &hash, &conn.now()]).await? == 1)
}

/// The one live token of this kind and person, in place of one that was there.
pub async fn put_token(
    conn: &TenantConn,
    user: Uuid,
    kind: TokenKind,
    hash: &[u8],
    expires_at: Timestamp,
) -> Result<()> {
    let sql = sql!(
        "INSERT INTO user_tokens (tenant_id, user_id, kind, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (tenant_id, user_id, kind) DO UPDATE \
         SET hash = excluded.hash, created_at = excluded.created_at, expires_at = excluded.expires_at"
    );
    conn.execute(sql, &[&user, &kind.as_str(), &hash, &conn.now(), &expires_at]).await.map(drop)
}

/// Whose token this is, if it is one that lives.
pub async fn token_holder(conn: &TenantConn, kind: TokenKind, hash: &[u8]) -> Result<Option<Uuid>> {
    let sql = sql!(
        "SELECT user_id FROM user_tokens WHERE tenant_id = $1 AND kind = $2 AND hash = $3 AND expires_at > $4"
    );
    conn.fetch_optional(sql, &[&kind.as_str(), &hash, &conn.now()]).await
}

/// Uses the token up: whose it was, if it was one that lived.
pub async fn take_token(conn: &TenantConn, kind: TokenKind, hash: &[u8]) -> Result<Option<Uuid>> {
    let sql = sql!(
        "DELETE FROM user_tokens WHERE tenant_id = $1 AND kind = $2 AND hash = $3 AND expires_at > $4 RETURNING user_id"
    );
    conn.fetch_optional(sql, &[&kind.as_str(), &hash, &conn.now()]).await
}

/// No token of this kind and person lives on.
pub async fn drop_token(conn: &TenantConn, user: Uuid, kind: TokenKind) -> Result<()> {
    let sql = sql!("DELETE FROM user_tokens WHERE tenant_id = $1 AND user_id = $2 AND kind = $3");
    conn.execute(sql, &[&user, &kind.as_str()]).await.map(drop)
}

/// No token of this person lives on.
pub async fn drop_tokens(conn: &TenantConn, user: Uuid) -> Result<()> {
    conn.execute(sql!("DELETE FROM user_tokens WHERE tenant_id = $1 AND user_id = $2"), &[&user])
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_searched_for_is_taken_literally() {
        assert_eq!(super::containing("50%_o!f"), "%50!%!_o!!f%");
        assert_eq!(super::containing(""), "");
    }
}
