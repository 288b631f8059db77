//! Statements on tenants' rows. [`sql!`](crate::sql) makes one at compile time and refuses text that could reach
//! another tenant: behind SQLite there is no row-level security, so the text is parsed, not searched.
//!
//! Every table of a statement is bound to the tenant by a condition of its own that nothing can weaken:
//! `WHERE tenant_id = $1 AND …`, or `alias.tenant_id = $1` where there are several tables. The layer binds `$1`.
//! The few forms that could hide a way around it (`OR` beside it, comma joins, set operations, outer joins to the
//! right, several rows of `VALUES`) are refused; write the statement another way.
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

/// A statement on tables whose rows belong to tenants. Made by [`sql!`](crate::sql) alone.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

/// `sql!("…")`, or `sql!("…", for update)` for a row lock; SQLite has one writer and needs none.
#[macro_export]
macro_rules! sql {
    ($text:expr) => {
        $crate::sql!(@checked $text, $text)
    };
    ($text:expr, for update) => {
        $crate::sql!(@checked concat!($text, " FOR UPDATE"), $text)
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
        Self { postgres, sqlite }
    }
}

const MOST_TOKENS: usize = 400;

#[derive(Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    /// The innermost pair of brackets it stands in, numbered from 1 by their opening; 0 is the statement itself.
    group: usize,
}

struct Statement<'a> {
    text: &'a [u8],
    tokens: [Token; MOST_TOKENS],
    len: usize,
}

const ENDS_CONDITION: &[&str] = &[
    "ORDER",
    "GROUP",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "RETURNING",
    "FOR",
    "WINDOW",
];
const JOINS: &[&str] = &["JOIN", "LEFT", "INNER", "CROSS"];
const NO_ALIAS: &[&str] = &["WHERE", "ON", "SET", "VALUES", "DEFAULT", "DO", "SELECT"];
const REFUSED: &[&str] = &[
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "BETWEEN",
    "CASE",
    "NATURAL",
    "USING",
    "RIGHT",
    "FULL",
    "ONLY",
    "LATERAL",
    "TABLE",
    "OVERRIDING",
];

/// Why a text is refused, if it is.
pub(crate) const fn fault(text: &str) -> Option<&'static str> {
    let statement = match tokenize(text.as_bytes()) {
        Ok(statement) => statement,
        Err(fault) => return Some(fault),
    };
    statement.fault()
}

const fn tokenize(text: &[u8]) -> Result<Statement<'_>, &'static str> {
    let mut tokens = [Token {
        start: 0,
        end: 0,
        group: 0,
    }; MOST_TOKENS];
    let (mut len, mut at) = (0, 0);
    let mut open = [0; 32]; // the groups that are open
    let (mut depth, mut groups) = (0, 0);
    while at < text.len() {
        let byte = text[at];
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let start = at;
        if is_word(byte) {
            while at < text.len() && is_word(text[at]) {
                at += 1;
            }
        } else if byte == b'$' {
            at += 1;
            while at < text.len() && text[at].is_ascii_digit() {
                at += 1;
            }
            if at == start + 1 {
                return Err("only numbered parameters ($2) are understood");
            }
        } else if byte == b'\'' {
            at += 1;
            while at < text.len() && text[at] != b'\'' {
                at += 1;
            }
            if at == text.len() {
                return Err("a string has no end");
            }
            at += 1;
        } else {
            match byte {
                b'(' | b')' | b',' | b'.' | b'=' | b'<' | b'>' | b'+' | b'*' | b'|' | b':' | b'!' | b'%'
                | b'?' => at += 1,
                b'-' if at + 1 == text.len() || text[at + 1] != b'-' => at += 1,
                b'/' if at + 1 == text.len() || text[at + 1] != b'*' => at += 1,
                _ => return Err("comments, quoted names, escapes and semicolons are not understood"),
            }
        }
        if len == MOST_TOKENS {
            return Err("a statement is too long to be checked");
        }
        let mut group = if depth == 0 { 0 } else { open[depth - 1] };
        if byte == b'(' {
            if depth == open.len() {
                return Err("brackets are nested too deep");
            }
            groups += 1;
            open[depth] = groups;
            depth += 1;
        } else if byte == b')' {
            if depth == 0 {
                return Err("a bracket is closed that was not opened");
            }
            depth -= 1;
            group = if depth == 0 { 0 } else { open[depth - 1] };
        }
        tokens[len] = Token {
            start,
            end: at,
            group,
        };
        len += 1;
    }
    if depth > 0 {
        return Err("a bracket is not closed");
    }
    Ok(Statement { text, tokens, len })
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Statement<'_> {
    const fn fault(&self) -> Option<&'static str> {
        if !self.is_any(0, &["SELECT", "INSERT", "UPDATE", "DELETE"]) {
            return Some("a statement is a SELECT, INSERT, UPDATE or DELETE");
        }
        let mut i = 0;
        while i < self.len {
            if self.is_any(i, REFUSED) {
                return Some(
                    "UNION, WITH, BETWEEN, CASE, USING and outer joins to the right are not understood",
                );
            }
            if self.sets_tenant(i) {
                return Some("a row stays with its tenant: tenant_id cannot be set");
            }
            if self.is(i, "SELECT") && i > 0 && !self.is(i - 1, "(") && !self.is(0, "INSERT") {
                return Some("a SELECT within a statement stands in brackets");
            }
            let fault = if self.is(i, "INTO") {
                self.insert_fault(i)
            } else if self.is_table_list(i) {
                self.table_fault(i)
            } else if self.is(i, "CONFLICT") {
                self.conflict_fault(i)
            } else {
                None
            };
            if fault.is_some() {
                return fault;
            }
            i += 1;
        }
        None
    }

    /// Whether a table's name follows: FROM, JOIN, or the UPDATE that begins a statement.
    const fn is_table_list(&self, i: usize) -> bool {
        let distinct = i >= 2 && self.is(i - 1, "DISTINCT") && self.is_any(i - 2, &["IS", "NOT"]);
        (self.is(i, "FROM") && !distinct) || self.is(i, "JOIN") || (i == 0 && self.is(i, "UPDATE"))
    }

    const fn table_fault(&self, i: usize) -> Option<&'static str> {
        let table = i + 1;
        if table >= self.len || !self.is_name(table) || self.is(table + 1, ".") || self.is(table + 1, "(") {
            return Some("a table is called by its plain name");
        }
        let key = if self.is(table, "tenants") {
            "id"
        } else {
            "tenant_id"
        };
        let (alias, next) = self.alias(table);
        let group = self.tokens[i].group;
        if self.has(group, "OR") {
            return Some("OR stands in brackets, away from the tenant");
        }
        let mut tables = 0;
        let mut at = 0;
        while at < self.len {
            if self.tokens[at].group == group && self.is_table_list(at) {
                tables += 1;
            }
            at += 1;
        }
        // its own ON, up to the next join
        let mut at = next;
        let mut bound = false;
        let mut in_on = true;
        let mut in_where = false;
        while at < self.len {
            if self.tokens[at].group == group {
                if self.is(at, ",") && self.is(i, "FROM") && !in_where {
                    return Some("tables are joined by JOIN, not by a comma");
                }
                if self.is_any(at, JOINS) {
                    in_on = false;
                }
                if self.is(at, "WHERE") {
                    in_where = true;
                }
                if self.is_any(at, ENDS_CONDITION) || (in_where && self.is(at, "ON")) {
                    break;
                }
                let counts = in_where || (self.is(i, "JOIN") && in_on);
                if counts && self.binds(at, alias, key, tables == 1) {
                    bound = true;
                }
            } else if self.closes(at, group) {
                break;
            }
            at += 1;
        }
        if bound {
            None
        } else {
            Some("every table of a statement is bound to the tenant: … AND tenant_id = $1")
        }
    }

    /// Whether the bracket that closes this group stands here.
    const fn closes(&self, at: usize, group: usize) -> bool {
        if group == 0 || !self.is(at, ")") {
            return false;
        }
        // the nearest token before it at the same level as the bracket is its own opening
        let mut before = at;
        while before > 0 {
            before -= 1;
            if self.is(before, "(") && self.tokens[before].group == self.tokens[at].group {
                return before + 1 < self.len && self.tokens[before + 1].group == group;
            }
        }
        false
    }

    /// The token by which a table is called, and the one after it.
    const fn alias(&self, table: usize) -> (usize, usize) {
        if self.is(table + 1, "AS") {
            return (table + 2, table + 3);
        }
        let next = table + 1;
        let named = next < self.len
            && self.is_name(next)
            && !self.is_any(next, NO_ALIAS)
            && !self.is_any(next, JOINS)
            && !self.is_any(next, ENDS_CONDITION);
        if named { (next, next + 1) } else { (table, next) }
    }

    /// Whether `[alias.]key = $1` stands here as a whole condition.
    const fn binds(&self, at: usize, alias: usize, key: &str, alone: bool) -> bool {
        if !self.is_any(at, &["WHERE", "AND", "ON"]) {
            return false;
        }
        let qualified = self.same(at + 1, alias) && self.is(at + 2, ".");
        let column = if qualified { at + 3 } else { at + 1 };
        if !(qualified || alone)
            || !self.is(column, key)
            || !self.is(column + 1, "=")
            || !self.is(column + 2, "$1")
        {
            return false;
        }
        let after = column + 3;
        after >= self.len
            || self.is_any(after, &["AND", "WHERE", ")"])
            || self.is_any(after, JOINS)
            || self.is_any(after, ENDS_CONDITION)
            || (self.is(after, "ON") && self.is(after + 1, "CONFLICT"))
    }

    /// `INSERT INTO t (tenant_id, …) VALUES ($1, …)` or `… SELECT $1, …`, one row of values at most.
    const fn insert_fault(&self, i: usize) -> Option<&'static str> {
        const SHAPE: Option<&str> = Some("an INSERT is: INSERT INTO t (tenant_id, …) VALUES ($1, …)");
        if i != 1 || !self.is(0, "INSERT") || !self.is_name(i + 1) || !self.is(i + 2, "(") {
            return SHAPE;
        }
        let key = if self.is(i + 1, "tenants") {
            "id"
        } else {
            "tenant_id"
        };
        if !self.is(i + 3, key) {
            return SHAPE;
        }
        let mut at = i + 3;
        while at < self.len && self.tokens[at].group != 0 {
            at += 1;
        }
        at += 1; // the closing bracket of the columns
        if self.is(at, "SELECT") {
            return if self.is(at + 1, "$1") && self.is(at + 2, ",") {
                None
            } else {
                SHAPE
            };
        }
        if !self.is(at, "VALUES")
            || !self.is(at + 1, "(")
            || !self.is(at + 2, "$1")
            || !self.is_any(at + 3, &[",", ")"])
        {
            return SHAPE;
        }
        at += 2;
        while at < self.len && self.tokens[at].group != 0 {
            at += 1;
        }
        let after = at + 1;
        if after < self.len && !self.is_any(after, &["ON", "RETURNING"]) {
            SHAPE
        } else {
            None
        }
    }

    /// A conflict that updates is one on a key that begins with the tenant.
    const fn conflict_fault(&self, i: usize) -> Option<&'static str> {
        if self.is(i + 1, "DO") && self.is(i + 2, "NOTHING") {
            return None;
        }
        let mut at = i + 2;
        while at < self.len && self.tokens[at].group != self.tokens[i].group {
            at += 1;
        }
        let nothing = self.is(at + 1, "DO") && self.is(at + 2, "NOTHING");
        if self.is(i + 1, "(") && (self.is(i + 2, "tenant_id") || nothing) {
            None
        } else {
            Some("ON CONFLICT … DO UPDATE names a key that begins with tenant_id")
        }
    }

    const fn sets_tenant(&self, i: usize) -> bool {
        let first = self.is(i, "SET") && (self.is(i + 1, "tenant_id") || self.is(i + 1, "("));
        first || (self.is(i, ",") && self.is(i + 1, "tenant_id") && self.is(i + 2, "="))
    }

    const fn has(&self, group: usize, word: &str) -> bool {
        let mut i = 0;
        while i < self.len {
            if self.tokens[i].group == group && self.is(i, word) {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn is_name(&self, i: usize) -> bool {
        i < self.len && {
            let first = self.text[self.tokens[i].start];
            first.is_ascii_alphabetic() || first == b'_'
        }
    }

    const fn is_any(&self, i: usize, words: &[&str]) -> bool {
        let mut w = 0;
        while w < words.len() {
            if self.is(i, words[w]) {
                return true;
            }
            w += 1;
        }
        false
    }

    const fn is(&self, i: usize, word: &str) -> bool {
        i < self.len && self.equal(self.tokens[i], word.as_bytes(), 0, word.len())
    }

    const fn same(&self, a: usize, b: usize) -> bool {
        a < self.len
            && b < self.len
            && self.equal(
                self.tokens[a],
                self.text,
                self.tokens[b].start,
                self.tokens[b].end,
            )
    }

    const fn equal(&self, token: Token, other: &[u8], start: usize, end: usize) -> bool {
        if token.end - token.start != end - start {
            return false;
        }
        let mut k = 0;
        while k < end - start {
            if !self.text[token.start + k].eq_ignore_ascii_case(&other[start + k]) {
                return false;
            }
            k += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn what_binds_every_table_is_taken() {
        for text in [
            "SELECT id FROM orders WHERE tenant_id = $1",
            "select id from orders where tenant_id = $1 and id = $2",
            "SELECT id FROM orders WHERE id = $2 AND tenant_id = $1 ORDER BY id DESC LIMIT $3",
            "SELECT id FROM orders WHERE tenant_id = $1 AND (status = $2 OR status = $3)",
            "SELECT o.id FROM orders o LEFT JOIN items i ON i.tenant_id = $1 AND i.o = o.id WHERE o.tenant_id = $1",
            "SELECT o.id FROM orders AS o JOIN items AS i ON i.o = o.id WHERE i.tenant_id = $1 AND o.tenant_id = $1",
            "SELECT i.id FROM items i WHERE i.tenant_id = $1 AND i.o IN (SELECT o.id FROM orders o WHERE o.tenant_id = $1 LIMIT $2)",
            "SELECT a FROM t WHERE tenant_id = $1 AND b IS DISTINCT FROM $2 AND c IS NOT DISTINCT FROM $3",
            "INSERT INTO orders (tenant_id, id) VALUES ($1, $2)",
            "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT (tenant_id, id) DO UPDATE SET n = $2 RETURNING id",
            "INSERT INTO orders (tenant_id, id) SELECT $1, i.id FROM items i WHERE i.tenant_id = $1",
            "INSERT INTO tenants (id, slug) VALUES ($1, $2) ON CONFLICT (slug) DO NOTHING",
            "UPDATE orders SET a = $2, b = $3 WHERE tenant_id = $1 AND id = $4 RETURNING id",
            "UPDATE orders o SET a = $2 WHERE o.tenant_id = $1",
            "DELETE FROM orders WHERE tenant_id = $1",
            "SELECT name FROM tenants WHERE id = $1",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn whatever_could_reach_another_tenant_is_refused() {
        for text in [
            "",
            "SELECT id FROM orders",
            "SELECT id FROM orders WHERE tenant_id = $10",
            "SELECT id FROM orders WHERE tenant_id = $2",
            "SELECT id FROM orders WHERE tenant_id <> $1",
            "SELECT id FROM orders WHERE tenant_id = $1 OR 1 = 1",
            "SELECT id FROM orders WHERE tenant_id = $1 or 1 = 1",
            "SELECT id FROM orders WHERE id = $2 OR (tenant_id = $1)",
            "SELECT id FROM orders WHERE (tenant_id = $1 OR id = $2)",
            "SELECT id FROM orders WHERE NOT tenant_id = $1",
            "SELECT id FROM orders WHERE tenant_id = $1 = false",
            "SELECT id FROM orders WHERE tenant_id = $1 IS NULL",
            "SELECT id FROM orders WHERE id BETWEEN $2 AND tenant_id = $1",
            "SELECT id FROM orders, users WHERE tenant_id = $1",
            "SELECT o.id FROM orders o, users u WHERE o.tenant_id = $1 AND u.tenant_id = $1",
            "SELECT o.id FROM orders o JOIN items i ON i.o = o.id, users u WHERE o.tenant_id = $1 AND i.tenant_id = $1",
            "SELECT o.id FROM orders o JOIN items i ON i.o = o.id WHERE o.tenant_id = $1",
            "SELECT o.id FROM orders o JOIN items i ON i.o = o.id WHERE tenant_id = $1",
            "SELECT o.id FROM orders o LEFT JOIN items i ON o.tenant_id = $1 AND i.tenant_id = $1",
            "SELECT o.id FROM orders o LEFT JOIN items i ON i.o = o.id LEFT JOIN u ON u.tenant_id = $1 AND i.tenant_id = $1 WHERE o.tenant_id = $1",
            "SELECT o.id FROM orders o RIGHT JOIN items i ON i.tenant_id = $1 WHERE o.tenant_id = $1",
            "SELECT o.id FROM orders o NATURAL JOIN items WHERE o.tenant_id = $1",
            "SELECT count(*) FILTER (WHERE tenant_id = $1) FROM orders",
            "SELECT id FROM orders WHERE tenant_id = $1 UNION SELECT id FROM orders",
            "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM users WHERE tenant_id = $1)",
            "SELECT id FROM orders WHERE tenant_id = $1 AND id IN (SELECT id FROM users)",
            "SELECT (SELECT count(*) FROM users) FROM orders WHERE tenant_id = $1",
            "SELECT id FROM orders ORDER BY id LIMIT 1 WHERE tenant_id = $1",
            "SELECT id FROM orders GROUP BY id HAVING tenant_id = $1",
            "SELECT id FROM (orders) WHERE tenant_id = $1",
            "SELECT id FROM other.orders WHERE tenant_id = $1",
            "SELECT id FROM \"orders\" WHERE tenant_id = $1",
            "SELECT id FROM orders -- WHERE tenant_id = $1",
            "SELECT id FROM orders /* WHERE */ WHERE tenant_id = $1",
            "SELECT id FROM orders WHERE tenant_id = $1; DELETE FROM orders",
            "SELECT id FROM orders WHERE note = ' AND tenant_id = $1'",
            "WITH x AS (SELECT id FROM orders) SELECT id FROM x WHERE tenant_id = $1",
            "INSERT INTO orders (id, tenant_id) VALUES ($2, $1)",
            "INSERT INTO orders (tenant_id, id) VALUES ($2, $1)",
            "INSERT INTO orders (tenant_id, id) VALUES ($1, $2), ($3, $4)",
            "INSERT INTO orders VALUES ($1, $2)",
            "INSERT INTO orders (tenant_id, id) SELECT tenant_id, id FROM users",
            "INSERT INTO orders (tenant_id, id) SELECT $1, id FROM users",
            "INSERT INTO orders (tenant_id, id) VALUES ($1, (SELECT id FROM users))",
            "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = 1",
            "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT x DO UPDATE SET n = 1",
            "INSERT OR REPLACE INTO orders (tenant_id, id) VALUES ($1, $2)",
            "REPLACE INTO orders (tenant_id, id) VALUES ($1, $2)",
            "UPDATE orders SET a = $2",
            "UPDATE orders SET a = $2 WHERE id = $3",
            "UPDATE orders SET tenant_id = $2 WHERE tenant_id = $1",
            "UPDATE orders SET a = 1, tenant_id = $2 WHERE tenant_id = $1",
            "UPDATE orders SET (tenant_id, a) = ($2, 1) WHERE tenant_id = $1",
            "UPDATE orders SET a = u.a FROM users u WHERE orders.tenant_id = $1",
            "DELETE FROM orders",
            "DELETE FROM orders USING users WHERE tenant_id = $1",
            "SELECT name FROM tenants WHERE slug = $1",
            "SELECT name FROM tenants WHERE tenant_id = $1",
            "TABLE orders",
            "TRUNCATE orders",
            "SELECT id FROM orders WHERE CASE WHEN id = $2 AND tenant_id = $1 THEN 1 END = 1",
        ] {
            assert!(fault(text).is_some(), "{text}");
        }
    }
}
