//! One's own sessions.
use super::super::{
    Profile,
    model::{ListSessions, SessionInfo, SessionInfoView},
    store,
};
use crate::{
    access::{Session, Tx},
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
    let Session { user, id: current, .. } = tx.session()?;
    let (sessions, total) = store::live_sessions(tx, user, number.limit(), number.offset()).await?;
    Ok(number
        .page(sessions.into_iter().map(|session| SessionInfoView::of(session, current)).collect(), total))
}

/// Ends one of the caller's sessions.
pub async fn end_session(tx: &Tx<Profile>, id: &Id<SessionInfo>) -> Result<()> {
    if !store::end_own_session(tx, tx.session()?.user, id.uuid()).await? {
        return Err(id.not_found());
    }
    tx.audit(Entry::new("auth.session_ended").on("session", id.uuid())).await
}

/// Ends all of the caller's sessions but the one that asks.
pub async fn end_other_sessions(tx: &Tx<Profile>) -> Result<()> {
    let Session { user, id: current, .. } = tx.session()?;
    let ended = store::end_sessions_but(tx, user, current).await?;
    let entry = Entry::new("auth.session_ended").on("user", user);
    tx.audit(entry.with(json!({ "sessions": ended, "all_but": current }))).await
}

/// Ends every session of a person, in the transaction of what calls for it, and kills the tokens that could begin one.
pub async fn end_all(conn: &TenantConn, user: Uuid) -> Result<u64> {
    store::drop_tokens(conn, user).await?;
    store::end_sessions_but(conn, user, Uuid::nil()).await
}
