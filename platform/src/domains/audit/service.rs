//! Reading the audit log.
use super::{
    Read,
    model::{EventView, ListAudit},
    store,
};
use crate::{
    access::Tx,
    error::Result,
    http::{Page, PageNumber},
    values::Text,
};

/// A page of entries, newest first.
pub async fn list(tx: &Tx<Read>, query: &ListAudit) -> Result<Page<EventView>> {
    let number = PageNumber::new(query.page, query.per_page);
    let action = query.action.as_ref().map(Text::as_str);
    let (events, total) = store::events(tx, query.actor, action, number.limit(), number.offset()).await?;
    Ok(number.page(events, total))
}
