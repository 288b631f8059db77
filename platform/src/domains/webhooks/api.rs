//! The routes of webhooks.
use super::{
    Manage,
    model::{
        ChangeEndpoint, CreateEndpoint, CreatedEndpointView, DeliveryDetailView, DeliveryView, EndpointView,
        EventTypesView, ListDeliveries, ListEndpoints, Recover, RecoveryView, SecretView, WebhookDelivery,
        WebhookEndpoint,
    },
    service,
};
use crate::{
    access::Scope,
    core::Core,
    error::Result,
    http::{
        Bare, Conditions, Created, CursorPage, Id, Json, NoContent, Once, Query, Replayable, Tagged, Taken,
    },
};
use axum::extract::State;

pub async fn create(
    scope: Scope<Manage>,
    State(core): State<Core>,
    Once(key, body): Once<CreateEndpoint>,
) -> Result<Replayable<Created<CreatedEndpointView>>> {
    let new = service::NewEndpoint::parse(&core, body)?;
    scope.write_once(&key, async |tx| service::create(&core, tx, new).await.map(created)).await
}

fn created(view: CreatedEndpointView) -> Created<CreatedEndpointView> {
    Created::at(format!("/api/v1/webhooks/endpoints/{}", view.endpoint.id), 1, view)
}

pub async fn list(
    scope: Scope<Manage>,
    Query(query): Query<ListEndpoints>,
) -> Result<CursorPage<EndpointView>> {
    let paging = scope.paging("webhook endpoints", query.cursor, query.limit)?;
    let endpoints = scope.read(async |tx| service::list(tx, &paging).await).await?;
    Ok(paging.page(endpoints.into_iter().map(EndpointView::from).collect(), |endpoint| endpoint.id))
}

pub async fn show(
    scope: Scope<Manage>,
    id: Id<WebhookEndpoint>,
    conditions: Conditions,
) -> Result<Tagged<EndpointView>> {
    let endpoint = scope.read(async |tx| service::read(tx, &id).await).await?;
    let version = endpoint.version;
    Ok(Tagged::read(endpoint.into(), version, &conditions))
}

pub async fn change(
    scope: Scope<Manage>,
    State(core): State<Core>,
    id: Id<WebhookEndpoint>,
    conditions: Conditions,
    Json(body): Json<ChangeEndpoint>,
) -> Result<Tagged<EndpointView>> {
    let change = service::Change::parse(&core, body)?;
    let endpoint = scope.write(async |tx| service::change(tx, &id, change, &conditions).await).await?;
    let version = endpoint.version;
    Ok(Tagged::changed(endpoint.into(), version))
}

pub async fn delete(
    scope: Scope<Manage>,
    id: Id<WebhookEndpoint>,
    conditions: Conditions,
) -> Result<NoContent> {
    scope.write(async |tx| service::delete(tx, &id, &conditions).await).await?;
    Ok(NoContent)
}

pub async fn secret(
    scope: Scope<Manage>,
    State(core): State<Core>,
    id: Id<WebhookEndpoint>,
) -> Result<Bare<SecretView>> {
    scope.read(async |tx| service::secret(&core, tx, &id).await).await.map(Bare)
}

pub async fn rotate_secret(
    scope: Scope<Manage>,
    State(core): State<Core>,
    id: Id<WebhookEndpoint>,
    Once(key, ()): Once<()>,
) -> Result<Replayable<Bare<SecretView>>> {
    scope.write_once(&key, async |tx| service::rotate_secret(&core, tx, &id).await.map(Bare)).await
}

pub async fn test(
    scope: Scope<Manage>,
    id: Id<WebhookEndpoint>,
    Once(key, ()): Once<()>,
) -> Result<Replayable<Taken<DeliveryView>>> {
    scope.write_once(&key, async |tx| service::test(tx, &id).await.map(taken)).await
}

fn taken(delivery: WebhookDelivery) -> Taken<DeliveryView> {
    Taken(delivery.into())
}

pub async fn recover(
    scope: Scope<Manage>,
    id: Id<WebhookEndpoint>,
    Once(key, body): Once<Recover>,
) -> Result<Replayable<Taken<RecoveryView>>> {
    scope.write_once(&key, async |tx| service::recover(tx, &id, body.since).await.map(Taken)).await
}

pub async fn event_types(scope: Scope<Manage>, State(core): State<Core>) -> Result<Bare<EventTypesView>> {
    let types = service::event_types(&core)?;
    scope.read(async |_| Ok(())).await?; // for the sake of its permission
    Ok(Bare(types))
}

pub async fn deliveries(
    scope: Scope<Manage>,
    Query(mut query): Query<ListDeliveries>,
) -> Result<CursorPage<DeliveryView>> {
    let paging = scope.paging("webhook deliveries", query.cursor.take(), query.limit)?;
    let deliveries = scope.read(async |tx| service::deliveries(tx, query, &paging).await).await?;
    Ok(paging.page(deliveries.into_iter().map(DeliveryView::from).collect(), |delivery| delivery.id))
}

pub async fn delivery(scope: Scope<Manage>, id: Id<WebhookDelivery>) -> Result<Bare<DeliveryDetailView>> {
    scope.read(async |tx| service::delivery(tx, &id).await).await.map(Bare)
}

pub async fn retry(
    scope: Scope<Manage>,
    id: Id<WebhookDelivery>,
    Once(key, ()): Once<()>,
) -> Result<Replayable<Taken<DeliveryView>>> {
    scope.write_once(&key, async |tx| service::retry(tx, &id).await.map(taken)).await
}
