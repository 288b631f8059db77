//! The rules that a statement's tokens must keep. Each exists because a text without it reached another tenant on one
//! of the two databases; the tests have that text.
use super::tokens::{Statement, tokenize};

const ENDS_CONDITION: &[&str] =
    &["ORDER", "GROUP", "HAVING", "LIMIT", "OFFSET", "RETURNING", "FOR", "WINDOW"];
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
/// Keywords behind which an expression begins; what stands behind any other name would be called by it.
const BEFORE_EXPRESSION: &[&str] = &[
    "SELECT",
    "DISTINCT",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "ON",
    "BY",
    "HAVING",
    "LIKE",
    "ESCAPE",
    "IS",
    "LIMIT",
    "OFFSET",
    "RETURNING",
];
/// Other keywords that may stand before a bracket.
const BEFORE_BRACKET: &[&str] = &["IN", "EXISTS", "VALUES", "CONFLICT", "OVER", "FILTER"];
/// What may be called: functions of both databases that read no table and no setting, and change none. `set_config`
/// would lift row-level security, `query_to_xml` takes SQL as a text.
const FUNCTIONS: &[&str] = &[
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "coalesce",
    "nullif",
    "abs",
    "round",
    "lower",
    "upper",
    "length",
    "substr",
    "replace",
    "trim",
    "cast",
    "row_number",
    "clock_timestamp",
];

type Fault = Option<&'static str>;

/// Why a text is refused, if it is.
pub(super) const fn fault(text: &str) -> Fault {
    let statement = match tokenize(text.as_bytes()) {
        Ok(statement) => statement,
        Err(fault) => return Some(fault),
    };
    statement.fault()
}

/// Tables without tenants' rows to which a tenant's transaction may add. A table that is added to this list answers for
/// that in review.
const SHARED: &[&str] = &["stripe_events"];

/// Why a text is no [`SharedInsert`](super::SharedInsert), if it is not.
pub(super) const fn shared_fault(text: &str) -> Fault {
    let statement = match tokenize(text.as_bytes()) {
        Ok(statement) => statement,
        Err(fault) => return Some(fault),
    };
    let inserts = statement.is(0, "INSERT") && statement.is(1, "INTO") && statement.is_any(2, SHARED);
    if !inserts {
        return Some("it adds a row to a table that is listed as one without tenants' rows");
    }
    let mut i = 3;
    while i < statement.len {
        if statement.is_any(i, &["SELECT", "FROM", "RETURNING", "UPDATE", "WITH", "TABLE"]) {
            return Some("it reads and changes nothing");
        }
        i += 1;
    }
    None
}

impl Statement<'_> {
    const fn fault(&self) -> Fault {
        if !self.is_any(0, &["SELECT", "INSERT", "UPDATE", "DELETE"]) {
            return Some("a statement is a SELECT, INSERT, UPDATE or DELETE");
        }
        let mut i = 0;
        while i < self.len {
            let mut fault = self.word_fault(i);
            if fault.is_none() {
                fault = self.clause_fault(i);
            }
            if fault.is_some() {
                return fault;
            }
            i += 1;
        }
        None
    }

    /// What a word may not be, wherever it stands.
    const fn word_fault(&self, i: usize) -> Fault {
        if self.is_any(i, REFUSED) {
            return Some("UNION, WITH, BETWEEN, CASE, USING and outer joins to the right are not understood");
        }
        if self.is(i, "IN") && !self.is(i + 1, "(") {
            return Some("IN is followed by a bracket: to SQLite a bare name there is a whole table");
        }
        if self.is(i, "(") && !self.may_open(i) {
            return Some("only functions that are known to read no table are called");
        }
        if self.is_text(i) && (self.names_something(i) || self.is_any(i + 1, &["=", ".", "("])) {
            return Some(
                "to SQLite a text in the place of a name is one: compare a column with it, in this order",
            );
        }
        if self.is(i, "tenant_id") && self.names_something(i) {
            return Some("nothing else is called tenant_id");
        }
        None
    }

    const fn clause_fault(&self, i: usize) -> Fault {
        if self.is(i, "SELECT") {
            self.select_fault(i)
        } else if self.is(i, "INTO") {
            self.insert_fault(i)
        } else if self.is_table_list(i) {
            self.table_fault(i)
        } else if self.is(i, "SET") {
            self.set_fault(i)
        } else if self.is(i, "CONFLICT") {
            self.conflict_fault(i)
        } else {
            None
        }
    }

    /// Whether a bracket opens behind an operator, a keyword, a known function or the table of an INSERT.
    const fn may_open(&self, i: usize) -> bool {
        i > 0
            && (!(self.is_name(i - 1) || self.is_value(i - 1))
                || self.is_any(i - 1, BEFORE_EXPRESSION)
                || self.is_any(i - 1, BEFORE_BRACKET)
                || self.is_any(i - 1, FUNCTIONS)
                || (self.is(i - 1, "FROM") && !self.is_table_list(i - 1))
                || (i == 3 && self.is(1, "INTO")))
    }

    /// Whether this token names what stands before it, with AS or without, instead of being a value. Two texts side by
    /// side are one that has a quote in it.
    const fn names_something(&self, i: usize) -> bool {
        if i == 0 {
            return false;
        }
        let quoted = self.is_text(i) && self.is_text(i - 1);
        let keyword =
            self.is_any(i - 1, BEFORE_EXPRESSION) || (self.is(i - 1, "FROM") && !self.is_table_list(i - 1));
        (self.is_value(i - 1) && !quoted) || (self.is_name(i - 1) && !keyword)
    }

    const fn key_of(&self, table: usize) -> &'static str {
        if self.is(table, "tenants") { "id" } else { "tenant_id" }
    }

    /// Whether a table's name follows: FROM, JOIN, or the UPDATE that begins a statement.
    const fn is_table_list(&self, i: usize) -> bool {
        let distinct = i >= 2 && self.is(i - 1, "DISTINCT") && self.is_any(i - 2, &["IS", "NOT"]);
        (self.is(i, "FROM") && !distinct) || self.is(i, "JOIN") || (i == 0 && self.is(i, "UPDATE"))
    }

    const fn table_fault(&self, i: usize) -> Fault {
        let table = i + 1;
        let (alias, next) = self.alias(table);
        let end = self.end_of_group(i);
        if !self.is_name(table) || !self.is_name(alias) || self.is_any(next, &[".", "("]) {
            return Some("a table is called by its plain name");
        }
        if self.is(i, "FROM") && self.is(next, ",") {
            return Some("tables are joined by JOIN, not by a comma");
        }
        let follows = self.is_any(next, &["WHERE", "ON", "SET"])
            || self.is_any(next, JOINS)
            || self.is_any(next, ENDS_CONDITION);
        if next < end && !follows {
            return Some("a table's name is followed by what it is called by, and that by a clause");
        }
        let group = self.group(i);
        if self.has(group, "OR") {
            return Some("OR stands in brackets, away from the tenant");
        }
        // a bare tenant_id within brackets would be that of the statement around it, if the table here has none
        let mut alone = group == 0;
        let mut at = 0;
        while at < self.len {
            if at != i && self.group(at) == group && self.is_table_list(at) {
                alone = false;
                if self.same(alias, self.alias(at + 1).0) {
                    return Some("each table of a statement is called by another name");
                }
            }
            at += 1;
        }
        self.binding_fault(i, next, alias, alone)
    }

    /// Looks for the condition in the table's own ON, up to the next join, and in WHERE.
    const fn binding_fault(&self, i: usize, next: usize, alias: usize, alone: bool) -> Fault {
        let (group, end, key) = (self.group(i), self.end_of_group(i), self.key_of(i + 1));
        let (mut in_on, mut in_where) = (self.is(i, "JOIN"), false);
        let mut at = next;
        while at < end {
            if self.group(at) == group {
                if self.is(at, ",") && self.is(i, "FROM") && !in_where {
                    return Some("tables are joined by JOIN, not by a comma");
                }
                if self.is_any(at, ENDS_CONDITION) || self.is(at + 1, "CONFLICT") {
                    break;
                }
                if self.is_any(at, JOINS) {
                    in_on = false;
                }
                if self.is(at, "WHERE") {
                    in_where = true;
                }
                if (in_on || in_where) && self.binds(at, alias, key, alone) {
                    return None;
                }
            }
            at += 1;
        }
        Some("every table of a statement is bound to the tenant: … AND tenant_id = $1")
    }

    /// The token by which a table is called, and the one after it.
    const fn alias(&self, table: usize) -> (usize, usize) {
        if self.is(table + 1, "AS") {
            return (table + 2, table + 3);
        }
        let next = table + 1;
        let named = self.is_name(next)
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
        let after = column + 3;
        (qualified || alone)
            && self.is(column, key)
            && self.is(column + 1, "=")
            && self.is(column + 2, "$1")
            && (after >= self.len
                || self.is_any(after, &["AND", "WHERE", ")"])
                || self.is_any(after, JOINS)
                || self.is_any(after, ENDS_CONDITION)
                || (self.is(after, "ON") && self.is(after + 1, "CONFLICT")))
    }

    /// Within brackets, or at once behind the columns of an INSERT and then `SELECT $1, …`.
    const fn select_fault(&self, i: usize) -> Fault {
        if i == 0 || self.is(i - 1, "(") {
            return None;
        }
        let inserts = self.is(1, "INTO") && i == self.end_of_group(4) + 1;
        if inserts && self.is(i + 1, "$1") && self.is(i + 2, ",") {
            None
        } else {
            Some("a SELECT within a statement stands in brackets")
        }
    }

    /// `INSERT INTO t (tenant_id, …) VALUES ($1, …)` or `… SELECT $1, …`, one row of values at most.
    const fn insert_fault(&self, i: usize) -> Fault {
        const SHAPE: Fault = Some("an INSERT is: INSERT INTO t (tenant_id, …) VALUES ($1, …)");
        if i != 1 || !self.is(0, "INSERT") || !self.is_name(2) || !self.is(3, "(") {
            return SHAPE;
        }
        let key = self.key_of(2);
        if !self.is(4, key) {
            return SHAPE;
        }
        let columns_end = self.end_of_group(4);
        let mut at = 5;
        while at < columns_end {
            if !self.is(at, ",") || !self.is_name(at + 1) || self.is(at + 1, key) {
                return SHAPE;
            }
            at += 2;
        }
        let values = columns_end + 1;
        if self.is(values, "SELECT") {
            return None; // see select_fault
        }
        let row = self.is(values, "VALUES") && self.is(values + 1, "(") && self.is(values + 2, "$1");
        if !row || !self.is_any(values + 3, &[",", ")"]) {
            return SHAPE;
        }
        let after = self.end_of_group(values + 2) + 1;
        if after < self.len && !self.is_any(after, &["ON", "RETURNING"]) { SHAPE } else { None }
    }

    /// A row stays with its tenant. One column at a time, by its plain name.
    const fn set_fault(&self, i: usize) -> Fault {
        let key = self.key_of(if self.is(0, "UPDATE") { 1 } else { 2 });
        let mut at = i;
        while at < self.len {
            let here = self.group(at) == self.group(i);
            if here && self.is_any(at, &["WHERE", "RETURNING"]) {
                break;
            }
            let begins = here && (at == i || self.is(at, ","));
            if begins && (!self.is_name(at + 1) || !self.is(at + 2, "=")) {
                return Some("SET gives one column at a time its value, by its plain name");
            }
            if begins && (self.is(at + 1, key) || self.is(at + 1, "tenant_id")) {
                return Some("a row stays with its tenant: tenant_id cannot be set");
            }
            at += 1;
        }
        None
    }

    /// A conflict that updates is one on a key that begins with the tenant.
    const fn conflict_fault(&self, i: usize) -> Fault {
        const KEY: Fault = Some("ON CONFLICT … DO UPDATE names a key that begins with tenant_id");
        if !self.is(i + 1, "(") {
            return if self.is(i + 1, "DO") && self.is(i + 2, "NOTHING") { None } else { KEY };
        }
        let target_end = self.end_of_group(i + 2);
        let nothing = self.is(target_end + 1, "DO") && self.is(target_end + 2, "NOTHING");
        if self.is(i + 2, "tenant_id") || nothing { None } else { KEY }
    }
}
