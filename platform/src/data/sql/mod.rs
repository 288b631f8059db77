//! Statements on tenants' rows. [`sql!`](crate::sql) makes one at compile time and refuses text that could reach
//! another tenant: behind SQLite there is no row-level security, so the text is parsed, not searched.
//!
//! Every table of a statement is bound to the tenant by a condition of its own that nothing can weaken:
//! `WHERE tenant_id = $1 AND …`, or `alias.tenant_id = $1` where there are several tables or within brackets. The layer
//! binds `$1`. What could hide a way around it (`OR` beside it, comma joins, set operations, outer joins to the right,
//! several rows of `VALUES`, functions that are not known to read nothing) is refused; write the statement another way.
//!
//! ```compile_fail,E0080
//! tenantry::sql!("SELECT note FROM orders WHERE id = $2");
//! ```
//! ```compile_fail,E0080
//! tenantry::sql!("SELECT i.sku FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.tenant_id = $1");
//! ```
//! ```compile_fail,E0080
//! tenantry::sql!("SELECT note FROM orders WHERE tenant_id = $1 OR id = $2");
//! ```
//! ```compile_fail,E0080
//! tenantry::sql!("INSERT INTO orders (tenant_id, id) VALUES ($1, $2), ($3, $4)");
//! ```

mod check;
mod tokens;

use check::fault;

/// A statement on tables whose rows belong to tenants. Made by [`sql!`](crate::sql) alone.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

/// `sql!("…")`, or `sql!("…", for update)` for a row lock, or `sql!("…", for no key update)` for one that does not hold up
/// rows which refer to it; SQLite has one writer and needs none.
#[macro_export]
macro_rules! sql {
    ($text:expr) => {
        $crate::sql!(@checked $text, $text)
    };
    ($text:expr, for update) => {
        $crate::sql!(@checked concat!($text, " FOR UPDATE"), $text)
    };
    ($text:expr, for no key update) => {
        $crate::sql!(@checked concat!($text, " FOR NO KEY UPDATE"), $text)
    };
    // a constant of its own and not a `const` block: those `cargo check` and editors leave unlooked at
    (@checked $postgres:expr, $sqlite:expr) => {{
        const SQL: $crate::data::Sql = $crate::data::Sql::checked($postgres, $sqlite);
        SQL
    }};
}

impl Sql {
    #[doc(hidden)]
    pub const fn checked(postgres: &'static str, sqlite: &'static str) -> Self {
        if let Some(fault) = fault(sqlite) {
            panic!("{}", fault);
        }
        if let Some(fault) = fault(postgres) {
            panic!("{}", fault);
        }
        Self { postgres, sqlite }
    }
}

/// Adds a row to a table that has no tenants' rows, within a tenant's transaction: for what must be there if, and only
/// if, the tenant's change is. It reads nothing. To be made as a `const`, so that the check is the compiler's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedInsert(pub(super) &'static str);

impl SharedInsert {
    /// `INSERT INTO t (…) VALUES (…)`, parameters from `$1` on.
    pub(crate) const fn new(text: &'static str) -> Self {
        if let Some(fault) = check::shared_fault(text) {
            panic!("{}", fault);
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests;
