//! Idempotency keys: for a day, what was asked with a key and what was answered. A key's row is written in the
//! transaction of the work, so that neither is there without the other, and a copy waits for who came first. Work that
//! is done outside of a transaction reserves its key before. Which requests take keys, and which answers are kept, is
//! decided above.
use super::{purge::Over, secret};
use crate::{
    data::{FromRow, Row, Sql, SystemSql, TenantConn},
    error::Result,
    sql,
    values::Timestamp,
};
use std::time::Duration;

/// How long a key is known.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a reservation holds, by the database's clock.
const LEASE: Duration = Duration::from_secs(60);

/// A request with a key.
#[derive(Clone, Debug)]
pub struct Request {
    /// SHA-256 of who asks, what for, and the key.
    pub hash: [u8; 32],
    /// SHA-256 of what is asked.
    pub fingerprint: [u8; 32],
}

impl Request {
    /// A key for others that this request asks: the same for its copies, as long as its own is known.
    pub fn upstream_key(&self, since: Timestamp) -> String {
        let since = since.as_micros().to_be_bytes();
        secret::encode(&secret::digest(&[&self.hash, &self.fingerprint, &since]))
    }
}

/// What is known of a key.
#[derive(Debug)]
struct Known {
    fingerprint: Vec<u8>,
    created_at: Timestamp,
    reserved_at: Option<Timestamp>,
    answer: Option<Vec<u8>>,
    /// By the database's clock.
    now: Timestamp,
}

/// How a request stands with its key.
#[derive(Debug)]
pub enum Standing {
    /// It is answered; sealed.
    Answered(Vec<u8>),
    /// The key is another request's.
    Reused,
    /// It is under way.
    Held,
    /// It was begun and not ended, or never.
    Free {
        /// Since when the key is known, if it was this request's.
        since: Option<Timestamp>,
    },
}

impl Known {
    fn standing(self, request: &Request) -> Standing {
        let same = self.fingerprint == request.fingerprint;
        let held = self.reserved_at.is_some_and(|at| at.plus(LEASE) > self.now);
        match self.answer {
            None if !held => Standing::Free { since: same.then_some(self.created_at) },
            _ if !same => Standing::Reused,
            Some(answer) => Standing::Answered(answer),
            None => Standing::Held,
        }
    }
}

impl FromRow for Known {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            fingerprint: row.get(0)?,
            created_at: row.get(1)?,
            reserved_at: row.get(2)?,
            answer: row.get(3)?,
            now: row.get(4)?,
        })
    }
}

/// Makes the key this transaction's; false where it is known. Waits for whoever is about to make it theirs. A key that
/// is older than a day is as good as unknown, and whoever still holds it is overtaken.
pub async fn claim(conn: &TenantConn, request: &Request) -> Result<bool> {
    let sql = sql!(
        "INSERT INTO idempotency_keys (tenant_id, hash, fingerprint, created_at, attempt) VALUES ($1, $2, $3, $4, 0) \
         ON CONFLICT (tenant_id, hash) DO UPDATE SET fingerprint = excluded.fingerprint, \
         created_at = excluded.created_at, attempt = idempotency_keys.attempt + 1, reserved_at = NULL, answer = NULL \
         WHERE idempotency_keys.created_at <= $5"
    );
    let (hash, fingerprint) = (request.hash.as_slice(), request.fingerprint.as_slice());
    let now = conn.now();
    Ok(conn.execute(sql, &[&hash, &fingerprint, &now, &now.minus(KEPT)]).await? == 1)
}

/// How a request stands with a key that it could not claim. Nobody else takes the key until this transaction ends.
pub async fn standing(conn: &TenantConn, request: &Request) -> Result<Standing> {
    let sql = sql!(
        "SELECT fingerprint, created_at, reserved_at, answer, clock_timestamp() FROM idempotency_keys \
         WHERE tenant_id = $1 AND hash = $2",
        for update
    );
    let known = conn.fetch_optional::<Known>(sql, &[&request.hash.as_slice()]).await?;
    Ok(known.map_or(Standing::Free { since: None }, |known| known.standing(request)))
}

/// Reserves a key that is claimed or free, once this commits; answers the fence.
pub async fn reserve(conn: &TenantConn, request: &Request, since: Timestamp) -> Result<i64> {
    let sql = sql!(
        "UPDATE idempotency_keys SET fingerprint = $3, created_at = $4, attempt = attempt + 1, \
         reserved_at = clock_timestamp() WHERE tenant_id = $1 AND hash = $2 RETURNING attempt"
    );
    let (hash, fingerprint) = (request.hash.as_slice(), request.fingerprint.as_slice());
    conn.fetch_one(sql, &[&hash, &fingerprint, &since]).await
}

/// Makes a reserved key this transaction's; false where another has taken it over.
pub async fn resume(conn: &TenantConn, request: &Request, attempt: i64) -> Result<bool> {
    let sql = sql!(
        "UPDATE idempotency_keys SET reserved_at = clock_timestamp() \
         WHERE tenant_id = $1 AND hash = $2 AND attempt = $3 AND answer IS NULL"
    );
    Ok(conn.execute(sql, &[&request.hash.as_slice(), &attempt]).await? == 1)
}

/// Frees a reserved key at once, unless another has taken it over.
pub async fn release(conn: &TenantConn, request: &Request, attempt: i64) -> Result<()> {
    let sql = sql!(
        "UPDATE idempotency_keys SET reserved_at = NULL \
         WHERE tenant_id = $1 AND hash = $2 AND attempt = $3 AND answer IS NULL"
    );
    conn.execute(sql, &[&request.hash.as_slice(), &attempt]).await.map(drop)
}

/// Writes the answer to a key that is this transaction's. `$2`: its hash; `$3`: the answer, sealed.
pub const ANSWER: Sql =
    sql!("UPDATE idempotency_keys SET answer = $3, reserved_at = NULL WHERE tenant_id = $1 AND hash = $2");

/// Keys that are no longer known.
pub const OVER: Over = Over {
    sql: SystemSql::new(
        "DELETE FROM idempotency_keys WHERE created_at <= $1 AND (tenant_id, hash) IN \
         (SELECT tenant_id, hash FROM idempotency_keys WHERE created_at <= $1 LIMIT 500)",
    ),
    kept: KEPT,
};
