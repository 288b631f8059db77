//! Many rows of one table in one statement. `COPY` would be the usual way, but PostgreSQL refuses it where row-level
//! security applies, and that is not lifted for speed: the rows go in by an INSERT that reads them from arrays, and each
//! is checked against the policy of its table like any other.
use super::Param;
use rusqlite::types::ToSqlOutput;
use std::{error::Error as StdError, fmt::Write};
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};

/// A table of tenants' rows and those of its columns that are given. Made by [`bulk!`](crate::bulk) alone.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    table: &'static str,
    /// Name and type on PostgreSQL.
    columns: &'static [(&'static str, &'static str)],
}

/// `bulk!(order_items(order_id uuid, line bigint, …))`: the columns without `tenant_id`, which the layer gives, and their
/// types on PostgreSQL.
///
/// ```compile_fail,E0080
/// const OTHERS: tenantry::data::Bulk = tenantry::bulk!(orders(tenant_id uuid, id uuid));
/// ```
#[macro_export]
macro_rules! bulk {
    ($table:ident($($column:ident $type:ident),+ $(,)?)) => {{
        const BULK: $crate::data::Bulk =
            $crate::data::Bulk::checked(stringify!($table), &[$((stringify!($column), stringify!($type))),+]);
        BULK
    }};
}

/// The values of a column, one for each row.
pub trait BulkColumn: Sync {
    /// All of them, as PostgreSQL takes them: an array.
    fn array(&self) -> &(dyn ToSql + Sync);
    /// That of one row; `None` past the end.
    fn value(&self, row: usize) -> Option<&dyn Param>;
    /// How many there are.
    fn rows(&self) -> usize;
}

impl<T: Param> BulkColumn for Vec<T> {
    fn array(&self) -> &(dyn ToSql + Sync) {
        self
    }
    fn value(&self, row: usize) -> Option<&dyn Param> {
        self.get(row).map(|value| value as &dyn Param)
    }
    fn rows(&self) -> usize {
        self.len()
    }
}

/// A whole column as one parameter, which PostgreSQL alone has.
#[derive(Clone, Copy)]
pub(super) struct Array<'a>(pub &'a dyn BulkColumn);

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.0.rows())
    }
}

impl ToSql for Array<'_> {
    fn to_sql(&self, r#type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql_checked(r#type, out)
    }
    fn accepts(_: &Type) -> bool {
        true // the column says what it accepts
    }
    fn to_sql_checked(
        &self,
        r#type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.array().to_sql_checked(r#type, out)
    }
}

impl rusqlite::ToSql for Array<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Err(rusqlite::Error::ToSqlConversionFailure("SQLite takes one row at a time".into()))
    }
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

impl Bulk {
    #[doc(hidden)]
    pub const fn checked(table: &'static str, columns: &'static [(&'static str, &'static str)]) -> Self {
        assert!(!same(table, "tenants"), "tenants are made one by one");
        let mut i = 0;
        while i < columns.len() {
            assert!(!same(columns[i].0, "tenant_id"), "the layer says whose rows they are");
            i += 1;
        }
        Self { table, columns }
    }

    /// `INSERT INTO t (tenant_id, …)`.
    fn insert(&self) -> String {
        let names: String = self.columns.iter().map(|(name, _)| format!(", {name}")).collect();
        format!("INSERT INTO {} (tenant_id{names})", self.table)
    }

    /// The statement for PostgreSQL: all rows at once, from an array for each column behind `$1`.
    pub fn postgres(&self) -> String {
        let arrays = (2..).zip(self.columns).map(|(n, (_, r#type))| format!("${n}::{type}[]"));
        format!("{} SELECT $1, * FROM unnest({})", self.insert(), arrays.collect::<Vec<_>>().join(", "))
    }

    /// The statement for SQLite, of one row.
    pub(super) fn sqlite(&self) -> String {
        let mut values = "$1".to_owned();
        for n in 2..self.columns.len() + 2 {
            let _ = write!(values, ", ${n}");
        }
        format!("{} VALUES ({values})", self.insert())
    }

    /// How many rows these are, if there is a column of that many for each that is named.
    pub(super) fn rows(&self, columns: &[&dyn BulkColumn]) -> Option<usize> {
        let rows = columns.first()?.rows();
        let whole = columns.len() == self.columns.len() && columns.iter().all(|column| column.rows() == rows);
        whole.then_some(rows)
    }
}

#[cfg(test)]
mod tests {

    #[test]
    fn the_statements_name_the_tenant_first() {
        let bulk = bulk!(parts(id uuid, name text));
        assert_eq!(
            bulk.postgres(),
            "INSERT INTO parts (tenant_id, id, name) SELECT $1, * FROM unnest($2::uuid[], $3::text[])"
        );
        assert_eq!(bulk.sqlite(), "INSERT INTO parts (tenant_id, id, name) VALUES ($1, $2, $3)");
    }

    #[test]
    fn columns_are_all_there_and_of_one_length() {
        let bulk = bulk!(parts(line bigint, name text));
        let (two, three, names) = (vec![1_i64, 2], vec![1_i64, 2, 3], vec!["a", "b"]);
        assert_eq!(bulk.rows(&[&two, &names]), Some(2));
        assert_eq!(bulk.rows(&[&three, &names]), None);
        assert_eq!(bulk.rows(&[&two]), None);
        assert_eq!(bulk.rows(&[]), None);
    }
}
