//! The routes of orders: bodies and queries in, views out.
use super::{
    Read, Write,
    model::{ChangeStatus, CreateOrder, HistoryView, ListOrders, NewOrder, Order, OrderView, StepView},
    service,
};
use tenantry::{
    access::Scope,
    error::Result,
    http::{Bare, Conditions, Created, CursorPage, Id, Json, Once, Query, Replayable, Tagged},
};

pub async fn create(
    scope: Scope<Write>,
    Once(key, body): Once<CreateOrder>,
) -> Result<Replayable<Created<OrderView>>> {
    let new = NewOrder::parse(body)?;
    scope.write_once(&key, async |tx| service::place(tx, new).await.map(created)).await
}

fn created(order: Order) -> Created<OrderView> {
    Created::at(format!("/api/v1/orders/{}", order.id), order.version, order.into())
}

pub async fn list(scope: Scope<Read>, Query(mut query): Query<ListOrders>) -> Result<CursorPage<OrderView>> {
    let paging = scope.paging("orders", query.cursor.take(), query.limit)?;
    let orders = scope.read_at_once(async |tx| service::list(tx, &query, &paging).await).await?;
    Ok(paging.page(orders.into_iter().map(OrderView::from).collect(), |order| order.id))
}

pub async fn show(scope: Scope<Read>, id: Id<Order>, conditions: Conditions) -> Result<Tagged<OrderView>> {
    let order = scope.read_at_once(async |tx| service::read(tx, &id).await).await?;
    let version = order.version;
    Ok(Tagged::read(order.into(), version, &conditions))
}

pub async fn change_status(
    scope: Scope<Write>,
    id: Id<Order>,
    conditions: Conditions,
    Json(body): Json<ChangeStatus>,
) -> Result<Tagged<OrderView>> {
    let order = scope.write(async |tx| service::change_status(tx, &id, body, &conditions).await).await?;
    let version = order.version;
    Ok(Tagged::changed(order.into(), version))
}

pub async fn history(scope: Scope<Read>, id: Id<Order>) -> Result<Bare<HistoryView>> {
    let steps = scope.read_at_once(async |tx| service::history(tx, &id).await).await?;
    Ok(Bare(HistoryView { data: steps.into_iter().map(StepView::from).collect() }))
}
