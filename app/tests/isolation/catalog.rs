//! What the live catalog of a database says of its schema, in words that both databases share.
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Client;

/// A table. Names of constraints and of the indexes behind them differ, and do not matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In their order: name, type, and whether it can be NULL.
    columns: Vec<(String, String, bool)>,
    primary_key: Vec<String>,
    /// Columns, whether it is unique, and whether it is of some rows alone.
    indexes: BTreeSet<(Vec<String>, bool, bool)>,
    /// Columns, the table they refer to, and the columns there.
    foreign_keys: BTreeSet<(Vec<String>, String, Vec<String>)>,
    /// The words in conditions on values and on the rows of an index.
    words: BTreeSet<String>,
}

pub type Schema = BTreeMap<String, Table>;

/// `'…'`, each.
fn quoted(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('\'').skip(1).step_by(2).map(str::to_owned)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// The type that stands for it on SQLite.
fn on_sqlite(postgres: &str) -> &str {
    match postgres {
        "uuid" | "bytea" => "BLOB",
        "bigint" | "timestamp with time zone" | "boolean" => "INTEGER",
        "text" => "TEXT",
        other => other,
    }
}

pub async fn of_postgres(client: &Client) -> Schema {
    let mut schema = Schema::new();
    let columns = "SELECT c.relname::text, attname::text, format_type(atttypid, atttypmod), NOT attnotnull \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'r' AND attnum > 0 \
         AND NOT attisdropped AND c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '%\\_migrations' \
         ORDER BY c.relname, attnum";
    for row in client.query(columns, &[]).await.unwrap() {
        let table: &mut Table = schema.entry(row.get(0)).or_default();
        let r#type: String = row.get(2);
        table.columns.push((row.get(1), on_sqlite(&r#type).to_owned(), row.get(3)));
    }
    let indexes = "SELECT indrelid::regclass::text, indisprimary, indisunique, indpred IS NOT NULL, \
         (SELECT string_agg(coalesce(a.attname, '<expression>'), ',' ORDER BY n) \
          FROM unnest(indkey::int2[]) WITH ORDINALITY AS k(attnum, n) \
          LEFT JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = k.attnum AND k.attnum > 0), \
         pg_get_expr(indpred, indrelid) FROM pg_index";
    for row in client.query(indexes, &[]).await.unwrap() {
        let Some(table) = schema.get_mut(row.get::<_, &str>(0)) else {
            continue;
        };
        let columns = list(row.get(4));
        if row.get(1) {
            table.primary_key = columns;
        } else {
            table.indexes.insert((columns, row.get(2), row.get(3)));
            table.words.extend(quoted(row.get::<_, Option<&str>>(5).unwrap_or_default()));
        }
    }
    let names = |side: &str, keys: &str| {
        format!(
            "(SELECT string_agg(attname, ',' ORDER BY n) FROM unnest({keys}) WITH ORDINALITY AS k(num, n) \
             JOIN pg_attribute ON attrelid = {side} AND attnum = k.num)"
        )
    };
    let foreign = format!(
        "SELECT conrelid::regclass::text, {}, confrelid::regclass::text, {} FROM pg_constraint WHERE contype = 'f'",
        names("conrelid", "conkey"),
        names("confrelid", "confkey")
    );
    for row in client.query(&foreign, &[]).await.unwrap() {
        if let Some(table) = schema.get_mut(row.get::<_, &str>(0)) {
            table.foreign_keys.insert((list(row.get(1)), row.get(2), list(row.get(3))));
        }
    }
    let checks =
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'";
    for row in client.query(checks, &[]).await.unwrap() {
        if let Some(table) = schema.get_mut(row.get::<_, &str>(0)) {
            table.words.extend(quoted(row.get(1)));
        }
    }
    schema
}

pub fn of_sqlite(conn: &rusqlite::Connection) -> Schema {
    let rows = |sql: &str| -> Vec<Vec<rusqlite::types::Value>> {
        let mut statement = conn.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| (0..width).map(|i| row.get(i)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    };
    let text = |value: &rusqlite::types::Value| match value {
        rusqlite::types::Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    let number = |value: &rusqlite::types::Value| match value {
        rusqlite::types::Value::Integer(number) => *number,
        _ => 0,
    };
    let mut schema = Schema::new();
    let tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%\\_migrations' ESCAPE '\\'";
    for row in rows(tables) {
        let (name, definition) = (text(&row[0]), text(&row[1]));
        assert!(definition.ends_with("STRICT"), "{name} is not STRICT");
        let mut table = Table { words: quoted(&definition).collect(), ..Table::default() };
        let mut key = BTreeMap::new();
        for column in
            rows(&format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}') ORDER BY cid"))
        {
            table.columns.push((text(&column[0]), text(&column[1]), number(&column[2]) == 0));
            if number(&column[3]) > 0 {
                key.insert(number(&column[3]), text(&column[0]));
            }
        }
        table.primary_key = key.into_values().collect();
        let indexes = "SELECT l.name, l.\"unique\", l.partial, s.sql FROM pragma_index_list('TABLE') l \
                       LEFT JOIN sqlite_schema s ON s.name = l.name WHERE l.origin <> 'pk'";
        for index in rows(&indexes.replace("TABLE", &name)) {
            let columns =
                rows(&format!("SELECT name FROM pragma_index_info('{}') ORDER BY seqno", text(&index[0])));
            let columns = columns.iter().map(|column| text(&column[0])).collect();
            table.indexes.insert((columns, number(&index[1]) == 1, number(&index[2]) == 1));
            table.words.extend(quoted(&text(&index[3])));
        }
        let mut keys: BTreeMap<i64, (Vec<String>, String, Vec<String>)> = BTreeMap::new();
        for column in rows(&format!(
            "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list('{name}') ORDER BY id, seq"
        )) {
            let key = keys.entry(number(&column[0])).or_default();
            key.0.push(text(&column[2]));
            key.1 = text(&column[1]);
            key.2.push(text(&column[3]));
        }
        table.foreign_keys = keys.into_values().collect();
        schema.insert(name, table);
    }
    schema
}
