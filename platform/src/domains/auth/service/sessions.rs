//! One's own sessions.
use super::super::{
    Profile,
    model::{ListSessions, SessionInfo, SessionInfoView},
    store,
};
use crate::{
    access::Tx,
    data::TenantConn,
    error::Result,
    http::{Id, Page, PageNumber},
    infra::audit::Entry,
};
use serde_json::json;
use uuid::Uuid;

/// The live sessions of the caller.
pub async fn sessions(tx: &Tx<Profile>, query: &ListSessions) -> Result<Page<SessionInfoView>> {
    let number = PageNumber::new(query.page, query.per_page);
    let (sessions, total) = store::live_sessions(tx, tx.actor().id, number.limit(), number.offset()).await?;
    let current = tx.session_id();
    Ok(number
        .page(sessions.into_iter().map(|session| SessionInfoView::of(session, current)).collect(), total))
}

/// Ends one of the caller's sessions.
pub async fn end_session(tx: &Tx<Profile>, id: &Id<SessionInfo>) -> Result<()> {
    if !store::end_own_session(tx, tx.actor().id, id.uuid()).await? {
        return Err(id.not_found());
    }
    tx.audit(Entry::new("auth.session_ended").on("session", id.uuid())).await
}

/// Ends all of the caller's sessions but the one that asks.
pub async fn end_other_sessions(tx: &Tx<Profile>) -> Result<()> {
    let ended = store::end_sessions_but(tx, tx.actor().id, tx.session_id()).await?;
    let entry = Entry::new("auth.session_ended").on("user", tx.actor().id);
    tx.audit(entry.with(json!({ "sessions": ended, "all_but": tx.session_id() }))).await
}

/// Ends every session of a person, in the transaction of what calls for it, and kills the tokens that could begin one.
pub async fn end_all(conn: &TenantConn, user: Uuid) -> Result<u64> {
    store::drop_tokens(conn, user).await?;
    store::end_sessions_but(conn, user, Uuid::nil()).await
}
