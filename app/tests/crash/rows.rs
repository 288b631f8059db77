//! What is in the database, read past the product.
use super::checker::OrderRow;
use crate::support::database::{TestDatabase, on_postgres};
use std::collections::BTreeMap;
use tenantry::uuid::Uuid;

/// An identifier as 32 hexadecimal digits.
fn hex(column: &str) -> String {
    if on_postgres() { format!("replace({column}::text, '-', '')") } else { format!("lower(hex({column}))") }
}

/// The rows of a table, as lists of their columns' texts.
async fn texts(database: &TestDatabase, columns: &[&str], rest: &str) -> Vec<Vec<String>> {
    let texts = database.texts(&format!("SELECT {} FROM {rest}", columns.join(" || '|' || "))).await;
    texts.iter().map(|text| text.split('|').map(str::to_owned).collect()).collect()
}

fn id(text: &str) -> Uuid {
    text.parse().unwrap()
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

/// All orders, whole.
pub async fn orders(database: &TestDatabase) -> Vec<OrderRow> {
    let (order, order_of, tenant) = (hex("id"), hex("order_id"), hex("tenant_id"));
    let items = [order_of.as_str(), "count(*)", "sum(quantity * unit_price_minor)"];
    let items = texts(database, &items, "order_items GROUP BY tenant_id, order_id").await;
    let mut items: BTreeMap<_, _> =
        items.iter().map(|row| (id(&row[0]), (number(&row[1]), number(&row[2])))).collect();
    let steps = [order_of.as_str(), "version", "coalesce(from_status, '')", "to_status"];
    let mut history: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
    for row in texts(database, &steps, "order_history ORDER BY version").await {
        history.entry(id(&row[0])).or_default().push((number(&row[1]), row[2].clone(), row[3].clone()));
    }
    let columns = [tenant.as_str(), &order, "notes", "status", "version", "total_minor"];
    let rows = texts(database, &columns, "orders").await;
    let whole = |row: &Vec<String>| {
        let order = id(&row[1]);
        OrderRow {
            tenant: id(&row[0]),
            id: order,
            mark: row[2].clone(),
            status: row[3].clone(),
            version: number(&row[4]),
            total_minor: number(&row[5]),
            lines: items.remove(&order).unwrap_or_default(),
            steps: history.remove(&order).unwrap_or_default(),
        }
    };
    rows.iter().map(whole).collect()
}
