//! What the demo shows: some dozens of orders in every status, spread over the last weeks. And what load tests find: as
//! many as are wanted, all of them just placed.
use super::{
    model::{NewItem, NewOrder, Order, Step, Target},
    service, store,
};
use std::time::Duration;
use tenantry::{
    BoxFuture,
    access::{Actor, ActorType},
    data::{TenantConn, id_at},
    domain::{BulkSeed, BulkTenant, SeedTenant},
    error::{Error, Result},
    try_join,
    uuid::Uuid,
    values::{Currency, Money},
};

const PRODUCTS: [(&str, &str, i64); 8] = [
    ("LAMP-01", "Desk lamp", 4990),
    ("CHAIR-02", "Office chair", 18_900),
    ("DESK-03", "Standing desk", 42_500),
    ("MUG-04", "Coffee mug", 1250),
    ("BOOK-05", "Notebook, dotted", 890),
    ("PEN-06", "Fountain pen", 3495),
    ("BAG-07", "Laptop bag", 7900),
    ("PLANT-08", "Potted fern", 2199),
];

/// Each way that an order can have gone.
const WAYS: [&[Target]; 6] = [
    &[Target::Confirmed, Target::Processing, Target::Completed],
    &[Target::Confirmed, Target::Processing],
    &[],
    &[Target::Confirmed],
    &[Target::Cancelled],
    &[Target::Confirmed, Target::Cancelled],
];

const HOUR: Duration = Duration::from_secs(3600);

/// Fills a tenant of the demo.
pub fn seed<'a>(conn: &'a TenantConn, tenant: &'a SeedTenant) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let count = if tenant.slug == "acme" { 48 } else { 12 };
        let customers: Vec<_> = (0..5).map(|_| conn.new_id()).collect();
        for i in 0..count {
            let actor = Actor { r#type: ActorType::User, id: tenant.writers[i % tenant.writers.len()] };
            insert(conn, i, u32::try_from(count - i).unwrap_or(1), &customers, actor).await?;
        }
        Ok(())
    })
}

async fn insert(conn: &TenantConn, i: usize, age: u32, customers: &[Uuid], actor: Actor) -> Result<()> {
    let placed_at = conn.now().minus(age * 11 * HOUR);
    let new = sample(i, customers[i % customers.len()]);
    let mut order = Order::place(id_at(placed_at)?, new, || conn.new_id());
    service::insert(conn, &order, actor).await?;
    for (step, target) in (1..).zip(WAYS[i % WAYS.len()]) {
        let from = order.move_to(*target, order.created_at.plus(step * 2 * HOUR))?;
        let moved = Step { from: Some(from), to: order.status, note: None, actor, at: order.updated_at };
        store::insert_step(conn, &order, &moved).await?;
    }
    store::update_status(conn, &order).await
}

/// The order of this number: one line to three, and now and then a note.
fn sample(i: usize, customer_id: Uuid) -> NewOrder {
    let lines = (0..=i % 3).map(|line| PRODUCTS[(i * 3 + line) % PRODUCTS.len()]);
    let items: Vec<_> = lines
        .zip(1..)
        .map(|((id, name, price), quantity)| NewItem {
            product_id: id.to_owned(),
            product_name: name.to_owned(),
            quantity,
            unit_price: Money::from_minor(price),
        })
        .collect();
    let total = Money::from_minor(items.iter().map(|item| item.unit_price.minor() * item.quantity).sum());
    let notes = i.is_multiple_of(7).then(|| "Please leave it at the front desk.".to_owned());
    NewOrder { customer_id, items, total, currency: Currency::USD, notes }
}

/// Orders by the million.
pub const BULK: BulkSeed = BulkSeed {
    count: |conn| Box::pin(async move { u64::try_from(store::count(conn).await?).map_err(Error::internal) }),
    insert: |conn, tenant| Box::pin(insert_bulk(conn, tenant)),
};

/// A customer has this many orders that follow one another.
const OF_ONE_CUSTOMER: usize = 10;

/// Placed now, one after the other.
async fn insert_bulk(conn: &TenantConn, tenant: &BulkTenant) -> Result<()> {
    let actor = Actor { r#type: ActorType::User, id: tenant.owner };
    let mut customer = conn.new_id();
    let orders = tenant.rows.clone().map(|number| {
        let i = usize::try_from(number).unwrap_or_default();
        if i.is_multiple_of(OF_ONE_CUSTOMER) {
            customer = conn.new_id();
        }
        Order::place(conn.new_id(), sample(i, customer), || conn.new_id())
    });
    let orders: Vec<_> = orders.collect();
    try_join!(
        store::insert_all(conn, &orders),
        store::insert_all_items(conn, &orders),
        store::insert_all_placings(conn, &orders, actor)
    )?;
    Ok(())
}
