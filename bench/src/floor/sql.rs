//! The statements: those of the product's domain, prepared once a connection. What belongs to one request leaves in one
//! flight.
use super::rows::{Instant, Item, Me, Money, Order, Tenant, new_id};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use futures_util::{future::try_join_all, try_join};
use std::error::Error;
use tokio_postgres::{Config, NoTls, Row, Statement, types::ToSql};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Params<'a> = [&'a (dyn ToSql + Sync)];

const ME: &str = "SELECT u.id, u.tenant_id, u.email, u.full_name, u.role, u.status, u.last_login_at, u.created_at, \
     u.updated_at, t.name, t.slug, t.plan, t.created_at, t.updated_at FROM users u JOIN tenants t ON t.id = u.tenant_id \
     WHERE u.tenant_id = $1 AND u.id = $2";
const ORDER: &str = "SELECT id, customer_id, status, total_minor, currency, notes, created_at, updated_at \
     FROM orders WHERE tenant_id = $1 AND id = $2";
const ITEMS: &str = "SELECT order_id, id, product_id, product_name, quantity, unit_price_minor \
     FROM order_items WHERE tenant_id = $1 AND order_id = $2 ORDER BY line";
const PAGE: &str = "SELECT id, customer_id, status, total_minor, currency, notes, created_at, updated_at FROM orders \
     WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2";
const PAGE_ITEMS: &str = "SELECT i.order_id, i.id, i.product_id, i.product_name, i.quantity, i.unit_price_minor \
     FROM order_items i WHERE i.tenant_id = $1 AND i.order_id IN \
     (SELECT o.id FROM orders o WHERE o.tenant_id = $1 ORDER BY o.id DESC LIMIT $2) ORDER BY i.order_id DESC, i.line";
const INSERT_ORDER: &str = "INSERT INTO orders (tenant_id, id, customer_id, status, total_minor, currency, notes, version, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
const INSERT_ITEM: &str = "INSERT INTO order_items (tenant_id, order_id, line, id, product_id, product_name, quantity, \
     unit_price_minor) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const INSERT_STEP: &str = "INSERT INTO order_history (tenant_id, order_id, version, from_status, to_status, note, actor_type, \
     actor_id, at) VALUES ($1, $2, $3, NULL, $4, NULL, $5, $6, $7)";
const INSERT_EVENT: &str =
    "INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)";

pub struct Database(Pool);

impl Database {
    /// The driver as it comes, but for what the URL says.
    pub fn new(url: &str, connections: usize) -> Result<Self> {
        let config: Config = url.parse()?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        Ok(Self(Pool::builder(manager).max_size(connections).build()?))
    }

    pub async fn me(&self, tenant: Uuid, user: Uuid) -> Result<Me> {
        let conn = self.0.get().await?;
        let statement = conn.prepare_cached(ME).await?;
        let row = conn.query_one(&statement, &[&tenant, &user]).await?;
        let status: String = row.get(5);
        Ok(Me {
            id: row.get(0),
            tenant_id: row.get(1),
            email: row.get(2),
            full_name: row.get(3),
            role: row.get(4),
            is_active: status == "active",
            status,
            last_login_at: row.get(6),
            created_at: row.get(7),
            updated_at: row.get(8),
            tenant: Tenant {
                id: row.get(1),
                name: row.get(9),
                slug: row.get(10),
                plan: row.get(11),
                created_at: row.get(12),
                updated_at: row.get(13),
            },
        })
    }

    pub async fn order(&self, tenant: Uuid, id: Uuid) -> Result<Order> {
        let conn = self.0.get().await?;
        let statements = [conn.prepare_cached(ORDER).await?, conn.prepare_cached(ITEMS).await?];
        let params: &Params<'_> = &[&tenant, &id];
        let (order, items) =
            try_join!(conn.query_one(&statements[0], params), conn.query(&statements[1], params))?;
        let mut order = order_of(&order);
        order.items = items.iter().map(item_of).collect();
        Ok(order)
    }

    pub async fn page(&self, tenant: Uuid, limit: i64) -> Result<Vec<Order>> {
        let conn = self.0.get().await?;
        let statements = [conn.prepare_cached(PAGE).await?, conn.prepare_cached(PAGE_ITEMS).await?];
        let params: &Params<'_> = &[&tenant, &limit];
        let (orders, items) =
            try_join!(conn.query(&statements[0], params), conn.query(&statements[1], params))?;
        let mut orders: Vec<_> = orders.iter().map(order_of).collect();
        let mut items = items.iter().map(item_of).peekable();
        for order in &mut orders {
            while let Some(item) = items.next_if(|item| item.order_id == order.id) {
                order.items.push(item);
            }
        }
        Ok(orders)
    }

    /// All in one flight, COMMIT included: where a statement fails, it rolls back.
    pub async fn insert(&self, tenant: Uuid, user: Uuid, order: &Order, event: &str) -> Result<()> {
        let conn = self.0.get().await?;
        let [insert_order, insert_item, insert_step, insert_event] = [
            conn.prepare_cached(INSERT_ORDER).await?,
            conn.prepare_cached(INSERT_ITEM).await?,
            conn.prepare_cached(INSERT_STEP).await?,
            conn.prepare_cached(INSERT_EVENT).await?,
        ];
        let Order { id, customer_id, status, total_amount, currency, notes, items, created_at, .. } = order;
        let version = 1_i64;
        let order_params: &Params<'_> =
            &[&tenant, id, customer_id, status, &total_amount.0, currency, notes, &version, created_at];
        let step_params: &Params<'_> = &[&tenant, id, &version, status, &"user", &user, created_at];
        let event_id = new_id(*created_at);
        let event_params: &Params<'_> = &[&tenant, &event_id, &"order.created", &event, created_at];
        let items =
            (1_i64..).zip(items).map(|(line, item)| insert_one(&conn, &insert_item, tenant, line, item));
        try_join!(
            conn.batch_execute("BEGIN"),
            conn.execute(&insert_order, order_params),
            try_join_all(items),
            conn.execute(&insert_step, step_params),
            conn.execute(&insert_event, event_params),
            conn.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}

async fn insert_one(
    conn: &Object,
    insert: &Statement,
    tenant: Uuid,
    line: i64,
    item: &Item,
) -> std::result::Result<u64, tokio_postgres::Error> {
    let Item { order_id, id, product_id, product_name, quantity, unit_price } = item;
    let params: &Params<'_> =
        &[&tenant, order_id, &line, id, product_id, product_name, quantity, &unit_price.0];
    conn.execute(insert, params).await
}

fn order_of(row: &Row) -> Order {
    Order {
        id: row.get(0),
        customer_id: row.get(1),
        status: row.get(2),
        total_amount: Money(row.get(3)),
        currency: row.get(4),
        notes: row.get(5),
        items: Vec::new(),
        created_at: row.get::<_, Instant>(6),
        updated_at: row.get::<_, Instant>(7),
    }
}

fn item_of(row: &Row) -> Item {
    Item {
        order_id: row.get(0),
        id: row.get(1),
        product_id: row.get(2),
        product_name: row.get(3),
        quantity: row.get(4),
        unit_price: Money(row.get(5)),
    }
}
