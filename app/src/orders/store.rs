//! The SQL of orders, and only that.
use super::model::{Item, Order, Status, Step};
use tenantry::{access::Actor, bulk, data::TenantConn, error::Result, sql, uuid::Uuid};

/// Which orders a list shows.
pub struct Filter {
    pub status: Option<Status>,
    pub customer_id: Option<Uuid>,
    /// Below this identifier; a first page has no such bound, which the database then need not compare. One from below is for
    /// the caller to make: with both, a range, PostgreSQL expects so few rows that any index seems as good as the fitting one.
    pub before: Option<Uuid>,
    pub limit: i64,
}

pub async fn insert(conn: &TenantConn, order: &Order) -> Result<()> {
    let sql = sql!(
        "INSERT INTO orders (tenant_id, id, customer_id, status, total_minor, currency, notes, version, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    let Order { id, customer_id, currency, notes, version, created_at, updated_at, .. } = order;
    let (status, total) = (order.status.as_str(), order.total.minor());
    conn.execute(sql, &[id, customer_id, &status, &total, currency, notes, version, created_at, updated_at])
        .await
        .map(drop)
}

pub async fn insert_item(conn: &TenantConn, line: i64, item: &Item) -> Result<()> {
    let sql = sql!(
        "INSERT INTO order_items (tenant_id, order_id, line, id, product_id, product_name, quantity, unit_price_minor) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    let Item { order_id, id, product_id, product_name, quantity, unit_price } = item;
    conn.execute(sql, &[order_id, &line, id, product_id, product_name, quantity, &unit_price.minor()])
        .await
        .map(drop)
}

pub async fn insert_step(conn: &TenantConn, order: &Order, step: &Step) -> Result<()> {
    let sql = sql!(
        "INSERT INTO order_history (tenant_id, order_id, version, from_status, to_status, note, actor_type, actor_id, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    );
    let (from, to) = (step.from.map(Status::as_str), step.to.as_str());
    let Actor { r#type, id } = step.actor;
    conn.execute(sql, &[&order.id, &order.version, &from, &to, &step.note, &r#type.as_str(), &id, &step.at])
        .await
        .map(drop)
}

pub async fn count(conn: &TenantConn) -> Result<i64> {
    conn.fetch_one(sql!("SELECT count(*) FROM orders WHERE tenant_id = $1"), &[]).await
}

/// Orders in bulk; their lines and their histories are others.
pub async fn insert_all(conn: &TenantConn, orders: &[Order]) -> Result<()> {
    let rows = bulk!(orders(
        id uuid, customer_id uuid, status text, total_minor bigint, currency text, notes text, version bigint,
        created_at timestamptz, updated_at timestamptz,
    ));
    conn.insert_all(
        rows,
        &[
            &column(orders, |order| order.id),
            &column(orders, |order| order.customer_id),
            &column(orders, |order| order.status.as_str()),
            &column(orders, |order| order.total.minor()),
            &column(orders, |order| order.currency.as_str()),
            &column(orders, |order| order.notes.as_deref()),
            &column(orders, |order| order.version),
            &column(orders, |order| order.created_at),
            &column(orders, |order| order.updated_at),
        ],
    )
    .await
}

/// The lines of all these orders.
pub async fn insert_all_items(conn: &TenantConn, orders: &[Order]) -> Result<()> {
    let rows = bulk!(order_items(
        order_id uuid, line bigint, id uuid, product_id text, product_name text, quantity bigint,
        unit_price_minor bigint,
    ));
    let items: Vec<(i64, &Item)> = orders.iter().flat_map(|order| (1..).zip(&order.items)).collect();
    conn.insert_all(
        rows,
        &[
            &column(&items, |(_, item)| item.order_id),
            &column(&items, |(line, _)| *line),
            &column(&items, |(_, item)| item.id),
            &column(&items, |(_, item)| item.product_id.as_str()),
            &column(&items, |(_, item)| item.product_name.as_str()),
            &column(&items, |(_, item)| item.quantity),
            &column(&items, |(_, item)| item.unit_price.minor()),
        ],
    )
    .await
}

/// The placing of all these orders, as their histories begin with it.
pub async fn insert_all_placings(conn: &TenantConn, orders: &[Order], actor: Actor) -> Result<()> {
    let rows = bulk!(order_history(
        order_id uuid, version bigint, to_status text, actor_type text, actor_id uuid, at timestamptz,
    ));
    conn.insert_all(
        rows,
        &[
            &column(orders, |order| order.id),
            &column(orders, |order| order.version),
            &column(orders, |order| order.status.as_str()),
            &column(orders, |_| actor.r#type.as_str()),
            &column(orders, |_| actor.id),
            &column(orders, |order| order.created_at),
        ],
    )
    .await
}

/// One value of each.
fn column<'a, T, V>(all: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    all.iter().map(value).collect()
}

pub async fn find(conn: &TenantConn, id: Uuid) -> Result<Option<Order>> {
    let sql = sql!(
        "SELECT id, customer_id, status, total_minor, currency, notes, version, created_at, updated_at \
         FROM orders WHERE tenant_id = $1 AND id = $2"
    );
    conn.fetch_optional(sql, &[&id]).await
}

/// Nobody else changes it until this transaction ends.
pub async fn lock(conn: &TenantConn, id: Uuid) -> Result<Option<Order>> {
    let sql = sql!(
        "SELECT id, customer_id, status, total_minor, currency, notes, version, created_at, updated_at \
         FROM orders WHERE tenant_id = $1 AND id = $2",
        for update
    );
    conn.fetch_optional(sql, &[&id]).await
}

pub async fn items(conn: &TenantConn, order: Uuid) -> Result<Vec<Item>> {
    let sql = sql!(
        "SELECT order_id, id, product_id, product_name, quantity, unit_price_minor \
         FROM order_items WHERE tenant_id = $1 AND order_id = $2 ORDER BY line"
    );
    conn.fetch_all(sql, &[&order]).await
}

pub async fn update_status(conn: &TenantConn, order: &Order) -> Result<()> {
    let sql =
        sql!("UPDATE orders SET status = $3, version = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2");
    conn.execute(sql, &[&order.id, &order.status.as_str(), &order.version, &order.updated_at]).await.map(drop)
}

pub async fn history(conn: &TenantConn, order: Uuid) -> Result<Vec<Step>> {
    let sql = sql!(
        "SELECT from_status, to_status, note, actor_type, actor_id, at \
         FROM order_history WHERE tenant_id = $1 AND order_id = $2 ORDER BY version"
    );
    conn.fetch_all(sql, &[&order]).await
}

/// A statement a combination of filters, so that each finds its index: the page, and the items of its orders.
macro_rules! page {
    ($filter:literal) => {
        (
            sql!(concat!(
                "SELECT id, customer_id, status, total_minor, currency, notes, version, created_at, updated_at FROM orders \
                 WHERE tenant_id = $1 ",
                $filter,
                " ORDER BY id DESC LIMIT $2"
            )),
            sql!(concat!(
                "SELECT i.order_id, i.id, i.product_id, i.product_name, i.quantity, i.unit_price_minor FROM order_items i \
                 WHERE i.tenant_id = $1 AND i.order_id IN \
                 (SELECT o.id FROM orders o WHERE o.tenant_id = $1 ",
                $filter,
                " ORDER BY o.id DESC LIMIT $2) ORDER BY i.order_id DESC, i.line"
            )),
        )
    };
}

/// The orders of a page, newest first, without and their items, in the same flight and of the same state.
pub async fn list(conn: &TenantConn, filter: &Filter) -> Result<(Vec<Order>, Vec<Item>)> {
    let Filter { status, customer_id, before, limit } = filter;
    let status = status.map(Status::as_str);
    let (page, items) = match (&status, customer_id, before) {
        (None, None, None) => page!(""),
        (Some(_), None, None) => page!("AND status = $3"),
        (None, Some(_), None) => page!("AND customer_id = $3"),
        (Some(_), Some(_), None) => page!("AND status = $3 AND customer_id = $4"),
        (None, None, Some(_)) => page!("AND id < $3"),
        (Some(_), None, Some(_)) => page!("AND status = $3 AND id < $4"),
        (None, Some(_), Some(_)) => page!("AND customer_id = $3 AND id < $4"),
        (Some(_), Some(_), Some(_)) => page!("AND status = $3 AND customer_id = $4 AND id < $5"),
    };
    let mut params: Vec<&dyn tenantry::data::Param> = vec![limit];
    if let Some(status) = &status {
        params.push(status);
    }
    for id in [customer_id, before].into_iter().flatten() {
        params.push(id);
    }
    tenantry::try_join!(conn.fetch_all(page, &params), conn.fetch_all(items, &params))
}
