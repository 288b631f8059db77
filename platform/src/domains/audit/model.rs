//! Entries of the audit log as they are stored and shown.
use crate::{
    data::{FromRow, Row},
    error::{Error, Result},
    http::MOST_PAGES,
    values::{Int, Text, Timestamp},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

crate::body! {
    /// Which entries.
    pub struct ListAudit {
        /// From 1.
        page: Option<Int<1, MOST_PAGES>>,
        /// Rows in a page, 20 where it is left out.
        per_page: Option<Int<1, 100>>,
        /// Only what this person or API key did.
        actor: Option<Uuid>,
        /// Only this action, such as `user.invited`.
        action: Option<Text<1, 100>>,
    }
}

/// Who did it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActor)]
pub struct ActorView {
    /// `user` or `api_key`.
    r#type: String,
    /// Which one.
    id: Uuid,
    /// A person's address.
    #[schema(required)]
    email: Option<String>,
}

/// What it was done to.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditTarget)]
pub struct TargetView {
    /// `user`, `session`, `tenant` and others.
    r#type: String,
    /// Which one.
    id: Uuid,
}

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct EventView {
    /// Its identifier.
    id: Uuid,
    /// When.
    at: Timestamp,
    /// What, such as `user.invited`.
    action: String,
    /// Who; `null` for nobody who is known.
    #[schema(required)]
    actor: Option<ActorView>,
    /// To what; `null` for nothing in particular.
    #[schema(required)]
    target: Option<TargetView>,
    /// From which address.
    #[schema(required)]
    ip: Option<String>,
    /// With what.
    #[schema(required)]
    user_agent: Option<String>,
    /// In which request.
    #[schema(required)]
    request_id: Option<String>,
    /// What else is worth knowing.
    #[schema(value_type = Object)]
    details: Value,
}

/// `id, at, action, actor_type, actor_id, email, target_type, target_id, ip, user_agent, request_id, details`.
impl FromRow for EventView {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let (actor_type, actor_id): (Option<String>, Option<Uuid>) = (row.get(3)?, row.get(4)?);
        let (target_type, target_id): (Option<String>, Option<Uuid>) = (row.get(6)?, row.get(7)?);
        let email = row.get(5)?;
        let details: String = row.get(11)?;
        Ok(Self {
            id: row.get(0)?,
            at: row.get(1)?,
            action: row.get(2)?,
            actor: actor_type.zip(actor_id).map(|(r#type, id)| ActorView { r#type, id, email }),
            target: target_type.zip(target_id).map(|(r#type, id)| TargetView { r#type, id }),
            ip: row.get(8)?,
            user_agent: row.get(9)?,
            request_id: row.get(10)?,
            details: serde_json::from_str(&details).map_err(Error::internal)?,
        })
    }
}
