//! The audit log: who did what, to what, from where. An entry is written in the transaction of what it records, so
//! neither is there without the other, and nobody can change or take away what is written.
use crate::{
    data::TenantConn,
    error::{Error, Result},
    sql,
};
use serde_json::Value;
use uuid::Uuid;

/// Where a request came from, as sessions and the audit log remember it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address.
    pub ip: Option<String>,
    /// What the client calls itself, cut to 200 characters.
    pub user_agent: Option<String>,
    /// The request's id, as in its answer and in the log.
    pub request_id: Option<String>,
}

/// What happened, by the names of the contract. A domain of the product adds its own: `invoice.sent`.
#[derive(Clone, Debug)]
pub struct Entry {
    action: &'static str,
    actor: Option<(&'static str, Uuid)>,
    target: Option<(&'static str, Uuid)>,
    details: Value,
}

impl Entry {
    /// An action by nobody who is known, on nothing in particular.
    pub fn new(action: &'static str) -> Self {
        Self { action, actor: None, target: None, details: Value::Object(serde_json::Map::new()) }
    }

    /// Done by this kind of caller (`user`, `api_key`).
    #[must_use]
    pub fn by(mut self, kind: &'static str, id: Uuid) -> Self {
        self.actor = Some((kind, id));
        self
    }

    /// Done to this kind of thing (`user`, `session`, `order`).
    #[must_use]
    pub fn on(mut self, kind: &'static str, id: Uuid) -> Self {
        self.target = Some((kind, id));
        self
    }

    /// What else is worth knowing: an object without secrets.
    #[must_use]
    pub fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// Writes an entry into this transaction.
pub(crate) async fn record(conn: &TenantConn, origin: &Origin, entry: &Entry) -> Result<()> {
    let sql = sql!(
        "INSERT INTO audit_events (tenant_id, id, at, action, actor_type, actor_id, target_type, target_id, ip, \
         user_agent, request_id, details) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    let (actor_type, actor_id) = entry.actor.unzip();
    let (target_type, target_id) = entry.target.unzip();
    let details = serde_json::to_string(&entry.details).map_err(Error::internal)?;
    let Origin { ip, user_agent, request_id } = origin;
    conn.execute(
        sql,
        &[
            &conn.new_id(),
            &conn.now(),
            &entry.action,
            &actor_type,
            &actor_id,
            &target_type,
            &target_id,
            ip,
            user_agent,
            request_id,
            &details,
        ],
    )
    .await
    .map(drop)
}
