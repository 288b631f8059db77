//! The route of the audit log.
use super::{
    Read,
    model::{EventView, ListAudit},
    service,
};
use crate::{
    access::Scope,
    error::Result,
    http::{Page, Query},
};

pub async fn list(scope: Scope<Read>, Query(query): Query<ListAudit>) -> Result<Page<EventView>> {
    scope.read(async |tx| service::list(tx, &query).await).await
}
