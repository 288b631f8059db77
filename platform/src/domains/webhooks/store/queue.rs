//! What workers do with events and deliveries of all tenants. Deliveries are due and leased by the database's clock.
use super::{
    super::model::{EventPattern, patterns_of},
    Sealed, StoredEvent,
};
use crate::{
    data::{FromRow, Row, SystemConn, SystemSql},
    error::Result,
    values::Timestamp,
};
use uuid::Uuid;

/// A tenant with events that nobody has dispatched yet, and how many endpoints it has.
pub struct Undispatched {
    pub tenant: Uuid,
    pub endpoints: i64,
}

impl FromRow for Undispatched {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { tenant: row.get(0)?, endpoints: row.get(1)? })
    }
}

/// At most `$2` of them, above `$1`. Each step goes by the index to the next tenant, however many events one has.
pub async fn undispatched(conn: &SystemConn, above: Uuid, most: i64) -> Result<Vec<Undispatched>> {
    let sql = SystemSql::new(
        "WITH RECURSIVE walk (tenant, step) AS (\
           SELECT (SELECT tenant_id FROM outbox WHERE dispatched_at IS NULL AND tenant_id > $1 \
                   ORDER BY tenant_id LIMIT 1), CAST(1 AS BIGINT) \
           UNION ALL \
           SELECT (SELECT o.tenant_id FROM outbox o WHERE o.dispatched_at IS NULL AND o.tenant_id > walk.tenant \
                   ORDER BY o.tenant_id LIMIT 1), walk.step + 1 \
           FROM walk WHERE walk.tenant IS NOT NULL AND walk.step < $2) \
         SELECT tenant, (SELECT count(*) FROM webhook_endpoints e WHERE e.tenant_id = walk.tenant AND e.enabled) \
         FROM walk WHERE tenant IS NOT NULL",
    );
    conn.fetch_all(sql, &[&above, &most]).await
}

/// An event that is to be dispatched.
pub struct Event {
    pub id: Uuid,
    pub r#type: String,
}

impl FromRow for Event {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { id: row.get(0)?, r#type: row.get(1)? })
    }
}

/// Events of a tenant, oldest first, that no other node is at.
pub async fn lock_events(conn: &SystemConn, tenant: Uuid, most: i64) -> Result<Vec<Event>> {
    const TEXT: &str =
        "SELECT id, type FROM outbox WHERE tenant_id = $1 AND dispatched_at IS NULL ORDER BY id LIMIT $2";
    const LOCKING: &str = "SELECT id, type FROM outbox WHERE tenant_id = $1 AND dispatched_at IS NULL ORDER BY id LIMIT $2 \
                           FOR UPDATE SKIP LOCKED";
    conn.fetch_all(SystemSql::of(LOCKING, TEXT), &[&tenant, &most]).await
}

/// An endpoint and what it wants.
pub struct Subscriber {
    pub endpoint: Uuid,
    pub patterns: Vec<EventPattern>,
}

impl FromRow for Subscriber {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { endpoint: row.get(0)?, patterns: patterns_of(&row.get::<String>(1)?)? })
    }
}

pub async fn subscribers(conn: &SystemConn, tenant: Uuid) -> Result<Vec<Subscriber>> {
    let sql =
        SystemSql::new("SELECT id, event_types FROM webhook_endpoints WHERE tenant_id = $1 AND enabled");
    conn.fetch_all(sql, &[&tenant]).await
}

/// An event to an endpoint, once.
pub async fn dispatch(
    conn: &SystemConn,
    tenant: Uuid,
    id: Uuid,
    endpoint: Uuid,
    event: &Event,
    at: Timestamp,
) -> Result<()> {
    let sql = SystemSql::new(
        "INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, event_id, event_type, status, attempt_count, tries, \
         claims, next_attempt_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, 'pending', 0, 0, 0, clock_timestamp(), $6) ON CONFLICT DO NOTHING",
    );
    conn.execute(sql, &[&tenant, &id, &endpoint, &event.id, &event.r#type, &at]).await.map(drop)
}

pub async fn mark_dispatched(
    conn: &SystemConn,
    tenant: Uuid,
    event: Uuid,
    wanted: bool,
    at: Timestamp,
) -> Result<()> {
    let sql =
        SystemSql::new("UPDATE outbox SET dispatched_at = $3, wanted = $4 WHERE tenant_id = $1 AND id = $2");
    conn.execute(sql, &[&tenant, &event, &at, &wanted]).await.map(drop)
}

/// An endpoint with deliveries that are not through.
pub struct Waiting {
    pub tenant: Uuid,
    pub endpoint: Uuid,
    pub enabled: bool,
    pub failing: bool,
    /// How many are due, counted up to a limit.
    pub due: i64,
}

impl FromRow for Waiting {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            endpoint: row.get(1)?,
            enabled: row.get(2)?,
            failing: row.get(3)?,
            due: row.get(4)?,
        })
    }
}

/// At most `most` of them, above the given one. Each step goes by the index to the next endpoint, however many deliveries
/// one has: a backlog is not read to see what is behind it.
pub async fn waiting(
    conn: &SystemConn,
    above: (Uuid, Uuid),
    most: i64,
    count_to: i64,
) -> Result<Vec<Waiting>> {
    let sql = SystemSql::new(
        "WITH RECURSIVE walk (tenant, endpoint, step) AS (\
           SELECT (SELECT tenant_id FROM webhook_deliveries WHERE status = 'pending' \
                   AND (tenant_id, endpoint_id) > ($1, $2) ORDER BY tenant_id, endpoint_id LIMIT 1), \
                  (SELECT endpoint_id FROM webhook_deliveries WHERE status = 'pending' \
                   AND (tenant_id, endpoint_id) > ($1, $2) ORDER BY tenant_id, endpoint_id LIMIT 1), CAST(1 AS BIGINT) \
           UNION ALL \
           SELECT (SELECT d.tenant_id FROM webhook_deliveries d WHERE d.status = 'pending' \
                   AND (d.tenant_id, d.endpoint_id) > (walk.tenant, walk.endpoint) \
                   ORDER BY d.tenant_id, d.endpoint_id LIMIT 1), \
                  (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.status = 'pending' \
                   AND (d.tenant_id, d.endpoint_id) > (walk.tenant, walk.endpoint) \
                   ORDER BY d.tenant_id, d.endpoint_id LIMIT 1), walk.step + 1 \
           FROM walk WHERE walk.tenant IS NOT NULL AND walk.step < $3) \
         SELECT walk.tenant, walk.endpoint, e.enabled, e.failing_since IS NOT NULL, \
           (SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries d \
            WHERE d.tenant_id = walk.tenant AND d.endpoint_id = walk.endpoint AND d.status = 'pending' \
            AND d.next_attempt_at <= (SELECT clock_timestamp()) \
            AND (d.leased_until IS NULL OR d.leased_until <= (SELECT clock_timestamp())) LIMIT $4) due) \
         FROM walk JOIN webhook_endpoints e ON e.tenant_id = walk.tenant AND e.id = walk.endpoint \
         ORDER BY walk.tenant, walk.endpoint",
    );
    conn.fetch_all(sql, &[&above.0, &above.1, &most, &count_to]).await
}

/// A delivery that is ours until its lease ends.
pub struct Claimed {
    pub tenant: Uuid,
    pub id: Uuid,
    pub endpoint: Uuid,
    pub event: Uuid,
    /// The fence.
    pub claims: i64,
    /// From 1, of the present schedule.
    pub tries: i64,
}

impl FromRow for Claimed {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            id: row.get(1)?,
            endpoint: row.get(2)?,
            event: row.get(3)?,
            claims: row.get(4)?,
            tries: row.get(5)?,
        })
    }
}

/// How many deliveries of an endpoint are claimed at once, at most.
pub const MOST_CLAIMED: usize = 8;

/// How many is a number in the text, or PostgreSQL would plan for a tenth of the table. Materialized, or a plan that runs
/// the inner part again would claim more than it may.
macro_rules! claim {
    ($most:literal, $lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT tenant_id AS due_tenant, id AS due_id FROM webhook_deliveries \
             WHERE tenant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND next_attempt_at <= $3 \
             AND (leased_until IS NULL OR leased_until <= $3) ORDER BY next_attempt_at LIMIT ",
            $most,
            $lock,
            ") UPDATE webhook_deliveries SET claims = claims + 1, tries = tries + 1, leased_until = $4 FROM due \
             WHERE tenant_id = due_tenant AND id = due_id \
             RETURNING tenant_id, id, endpoint_id, event_id, claims, tries"
        )
    };
    ($($most:literal)*) => {
        [$(SystemSql::of(claim!($most, " FOR UPDATE SKIP LOCKED"), claim!($most, ""))),*]
    };
}

/// Deliveries of an endpoint that are due and nobody's, oldest first; at least one is asked for.
pub async fn claim(
    conn: &SystemConn,
    (tenant, endpoint): (Uuid, Uuid),
    now: Timestamp,
    until: Timestamp,
    most: usize,
) -> Result<Vec<Claimed>> {
    const CLAIM: [SystemSql; MOST_CLAIMED] = claim!(1 2 3 4 5 6 7 8);
    let sql = CLAIM[most.clamp(1, MOST_CLAIMED) - 1];
    conn.fetch_all(sql, &[&tenant, &endpoint, &now, &until]).await
}

/// Where an endpoint is; none if it has been turned off meanwhile.
pub async fn url(conn: &SystemConn, tenant: Uuid, endpoint: Uuid) -> Result<Option<String>> {
    let sql =
        SystemSql::new("SELECT url FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 AND enabled");
    conn.fetch_optional(sql, &[&tenant, &endpoint]).await
}

/// All secrets that sign now, the newest first.
pub async fn secrets(conn: &SystemConn, tenant: Uuid, endpoint: Uuid, now: Timestamp) -> Result<Vec<Sealed>> {
    let sql = SystemSql::new(
        "SELECT secret FROM webhook_secrets WHERE tenant_id = $1 AND endpoint_id = $2 \
         AND (expires_at IS NULL OR expires_at > $3) ORDER BY id DESC",
    );
    conn.fetch_all(sql, &[&tenant, &endpoint, &now]).await
}

pub async fn event(conn: &SystemConn, tenant: Uuid, event: Uuid) -> Result<Option<StoredEvent>> {
    let sql =
        SystemSql::new("SELECT id, type, payload, created_at FROM outbox WHERE tenant_id = $1 AND id = $2");
    conn.fetch_optional(sql, &[&tenant, &event]).await
}

/// How a delivery stands after an attempt.
pub struct Settled {
    pub status: &'static str,
    pub next_attempt_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

/// False where another has taken over.
pub async fn settle(conn: &SystemConn, claimed: &Claimed, settled: &Settled) -> Result<bool> {
    let sql = SystemSql::new(
        "UPDATE webhook_deliveries SET status = $4, next_attempt_at = $5, completed_at = $6, leased_until = NULL, \
         attempt_count = attempt_count + 1 \
         WHERE tenant_id = $1 AND id = $2 AND claims = $3 AND leased_until IS NOT NULL",
    );
    let Claimed { tenant, id, claims, .. } = claimed;
    let Settled { status, next_attempt_at, completed_at } = settled;
    Ok(conn.execute(sql, &[tenant, id, claims, status, next_attempt_at, completed_at]).await? == 1)
}

/// An attempt as the log has it.
pub struct Attempt {
    pub started_at: Timestamp,
    pub duration_ms: i64,
    pub outcome: &'static str,
    pub response_status: Option<i64>,
    pub response_body: Option<String>,
    pub error: Option<String>,
}

/// To be sent behind [`settle`]: it is written where that has settled the delivery and nowhere else.
pub async fn log_attempt(conn: &SystemConn, claimed: &Claimed, attempt: &Attempt) -> Result<()> {
    let sql = SystemSql::new(
        "INSERT INTO webhook_attempts (tenant_id, delivery_id, number, started_at, duration_ms, outcome, response_status, \
         response_body, error) SELECT tenant_id, id, attempt_count, $4, $5, $6, $7, $8, $9 FROM webhook_deliveries \
         WHERE tenant_id = $1 AND id = $2 AND claims = $3 AND leased_until IS NULL ON CONFLICT DO NOTHING",
    );
    let Claimed { tenant, id, claims, .. } = claimed;
    let Attempt { started_at, duration_ms, outcome, response_status, response_body, error } = attempt;
    conn.execute(
        sql,
        &[tenant, id, claims, started_at, duration_ms, outcome, response_status, response_body, error],
    )
    .await
    .map(drop)
}

/// Not attempted after all: another may take it at this time.
pub async fn release(conn: &SystemConn, claimed: &Claimed, at: Option<Timestamp>) -> Result<()> {
    let sql = SystemSql::new(
        "UPDATE webhook_deliveries SET leased_until = NULL, tries = tries - 1, \
         next_attempt_at = coalesce($4, next_attempt_at) \
         WHERE tenant_id = $1 AND id = $2 AND claims = $3 AND leased_until IS NOT NULL",
    );
    let Claimed { tenant, id, claims, .. } = claimed;
    conn.execute(sql, &[tenant, id, claims, &at]).await.map(drop)
}

/// Since when an endpoint fails: not at all after a success, else since the first failure.
pub async fn note_health(
    conn: &SystemConn,
    (tenant, endpoint): (Uuid, Uuid),
    succeeded: bool,
    now: Timestamp,
) -> Result<()> {
    if succeeded {
        let sql = SystemSql::new(
            "UPDATE webhook_endpoints SET failing_since = NULL \
             WHERE tenant_id = $1 AND id = $2 AND failing_since IS NOT NULL",
        );
        conn.execute(sql, &[&tenant, &endpoint]).await.map(drop)
    } else {
        let sql = SystemSql::new(
            "UPDATE webhook_endpoints SET failing_since = $3 \
             WHERE tenant_id = $1 AND id = $2 AND failing_since IS NULL",
        );
        conn.execute(sql, &[&tenant, &endpoint, &now]).await.map(drop)
    }
}

/// An endpoint that has been failing since before a time, and is still sent to.
pub async fn fails_since(
    conn: &SystemConn,
    (tenant, endpoint): (Uuid, Uuid),
    before: Timestamp,
) -> Result<bool> {
    let sql = SystemSql::new(
        "SELECT id FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 AND enabled AND failing_since <= $3",
    );
    Ok(conn.fetch_optional::<Uuid>(sql, &[&tenant, &endpoint, &before]).await?.is_some())
}

macro_rules! give_up {
    ($lock:literal) => {
        concat!(
            "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, leased_until = NULL, completed_at = $3, \
             claims = claims + 1 WHERE status = 'pending' AND (tenant_id, id) IN (SELECT tenant_id, id \
             FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND status = 'pending' \
             AND (leased_until IS NULL OR leased_until <= $4) ORDER BY next_attempt_at LIMIT 500",
            $lock,
            ")"
        )
    };
}

/// Some of what waits at an endpoint that is sent nothing any more has failed; answers how many.
pub async fn give_up(
    conn: &SystemConn,
    (tenant, endpoint): (Uuid, Uuid),
    at: Timestamp,
    now: Timestamp,
) -> Result<u64> {
    let sql = SystemSql::of(give_up!(" FOR UPDATE SKIP LOCKED"), give_up!(""));
    conn.execute(sql, &[&tenant, &endpoint, &at, &now]).await
}
