//! What is compared must do the same: the two servers answer the same bodies and write the same rows.
use crate::{
    Result,
    data::{Asked, Filled, Route, on},
    http,
    server::Server,
};

/// A body without what differs from one request to the next: new identifiers, the time, the seal of a cursor.
fn alike(body: &str) -> Result<serde_json::Value> {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        "id" | "created_at" | "updated_at" if value.is_string() => *value = "…".into(),
                        "next_cursor" => *value = value.as_str().map(str::len).into(),
                        _ => walk(value),
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(walk),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(body)?;
    walk(&mut value);
    Ok(value)
}

fn without_cursor(body: &str) -> &str {
    body.rsplit_once(r#","next_cursor":"#).map_or(body, |(before, _)| before)
}

const TABLES: [&str; 4] = ["orders", "order_items", "order_history", "outbox"];

async fn counts(filled: &Filled) -> Result<Vec<i64>> {
    on(&filled.superuser, async |client| {
        let mut counts = Vec::new();
        for table in TABLES {
            counts.push(client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0));
        }
        Ok(counts)
    })
    .await
}

/// An error that shows both, if they differ.
pub async fn same(
    filled: &Filled,
    product: &Server,
    floor: &Server,
    asked: &[Asked],
    routes: &[Route],
) -> Result<()> {
    for route in routes {
        for asked in asked.iter().step_by(asked.len() / 50 + 1) {
            let ask = |server: &Server| {
                let body = route.body();
                http::ask(
                    server.port,
                    route.method(),
                    &route.path(asked.order),
                    Some(&asked.token),
                    body.as_deref(),
                )?
                .ok()
            };
            let before = counts(filled).await?;
            let of_product = ask(product)?;
            let between = counts(filled).await?;
            let of_floor = ask(floor)?;
            let after = counts(filled).await?;
            let rows = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| b - a).collect::<Vec<_>>();
            let (written, by_floor) = (rows(&before, &between), rows(&between, &after));
            let equal = match route {
                Route::Create => {
                    alike(&of_product)? == alike(&of_floor)? && of_product.len() == of_floor.len()
                }
                _ => {
                    without_cursor(&of_product) == without_cursor(&of_floor)
                        && alike(&of_product)? == alike(&of_floor)?
                }
            };
            if !equal || written != by_floor {
                let shown = route.shown();
                return Err(format!(
                    "{shown}: the product answered\n{of_product}\nand wrote {written:?}, the floor\n{of_floor}\n\
                     and wrote {by_floor:?} rows of {TABLES:?}"
                )
                .into());
            }
        }
    }
    Ok(())
}
