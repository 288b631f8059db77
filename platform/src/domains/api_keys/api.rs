//! The routes of API keys.
use super::{
    Manage,
    model::{ApiKey, ApiKeyView, CreateApiKey, CreatedKeyView, ListApiKeys},
    service,
};
use crate::{
    access::Scope,
    error::Result,
    http::{CreatedData, Id, Json, NoContent, Page, Query},
};

pub async fn create(
    scope: Scope<Manage>,
    Json(body): Json<CreateApiKey>,
) -> Result<CreatedData<CreatedKeyView>> {
    scope.write(async |tx| service::create(tx, &body).await).await.map(CreatedData)
}

pub async fn list(scope: Scope<Manage>, Query(query): Query<ListApiKeys>) -> Result<Page<ApiKeyView>> {
    scope.read(async |tx| service::list(tx, &query).await).await
}

pub async fn revoke(scope: Scope<Manage>, id: Id<ApiKey>) -> Result<NoContent> {
    scope.write(async |tx| service::revoke(tx, &id).await).await.map(|()| NoContent)
}
