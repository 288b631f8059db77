//! What can be done with orders.
use super::{
    Read, Write,
    model::{ChangeStatus, ListOrders, NewOrder, Order, OrderCreated, OrderStatusChanged, Step},
    store::{self, Filter},
};
use tenantry::{
    access::{Actor, Tx},
    data::{TenantConn, first_at},
    error::Result,
    http::{Conditions, Id, Paging},
    try_join, try_join_all,
    uuid::Uuid,
    values::Lines,
};

/// Places an order.
pub async fn place(tx: &Tx<Write>, new: NewOrder) -> Result<Order> {
    let order = Order::place(tx.new_id(), new, || tx.new_id());
    let event = OrderCreated(order.clone().into());
    try_join!(insert(tx, &order, tx.actor()), tx.emit(&event))?;
    Ok(order)
}

/// An order, its lines and the first step of its history.
pub(super) async fn insert(conn: &TenantConn, order: &Order, actor: Actor) -> Result<()> {
    let placed = Step { from: None, to: order.status, note: None, actor, at: order.created_at };
    let items = (1..).zip(&order.items).map(|(line, item)| store::insert_item(conn, line, item));
    try_join!(store::insert(conn, order), try_join_all(items), store::insert_step(conn, order, &placed))?;
    Ok(())
}

/// An order with its lines.
pub async fn read(tx: &Tx<Read>, id: &Id<Order>) -> Result<Order> {
    let (order, items) = try_join!(store::find(tx, id.uuid()), store::items(tx, id.uuid()))?;
    Ok(Order { items, ..order.ok_or_else(|| id.not_found())? })
}

/// Moves an order on. Of any number of concurrent moves each step has one winner: the order is locked first.
pub async fn change_status(
    tx: &Tx<Write>,
    id: &Id<Order>,
    change: ChangeStatus,
    conditions: &Conditions,
) -> Result<Order> {
    let (order, items) = try_join!(store::lock(tx, id.uuid()), store::items(tx, id.uuid()))?;
    let mut order = Order { items, ..order.ok_or_else(|| id.not_found())? };
    conditions.check(order.version)?;
    let from = order.move_to(change.status, tx.now())?;
    let note = change.note.map(Lines::into_string);
    let step = Step { from: Some(from), to: order.status, note, actor: tx.actor(), at: order.updated_at };
    let event = OrderStatusChanged { order: order.clone().into(), previous_status: from };
    try_join!(store::update_status(tx, &order), store::insert_step(tx, &order, &step), tx.emit(&event))?;
    Ok(order)
}

/// A page of orders with their lines, newest first; one more than a page may show.
pub async fn list(tx: &Tx<Read>, query: &ListOrders, paging: &Paging) -> Result<Vec<Order>> {
    let placed_before = query.created_before.map_or(Uuid::max(), first_at);
    let before = paging.before().min(placed_before);
    let filter = Filter {
        status: query.status,
        customer_id: query.customer_id,
        before: Some(before).filter(|before| *before != Uuid::max()),
        limit: paging.fetch(),
    };
    let (mut orders, items) = store::list(tx, &filter).await?;
    if let Some(first) = query.created_after.map(first_at) {
        orders.truncate(orders.partition_point(|order| order.id >= first)); // what is older comes behind
    }
    let mut items = items.into_iter().peekable();
    for order in &mut orders {
        while let Some(item) = items.next_if(|item| item.order_id == order.id) {
            order.items.push(item);
        }
    }
    Ok(orders)
}

/// The steps of an order, oldest first.
pub async fn history(tx: &Tx<Read>, id: &Id<Order>) -> Result<Vec<Step>> {
    let steps = store::history(tx, id.uuid()).await?;
    if steps.is_empty() { Err(id.not_found()) } else { Ok(steps) } // every order has its placing
}
