//! What the check of a statement takes, and what it refuses.
use super::check::{fault, shared_fault};

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
        "SELECT count(*), coalesce(sum(total), 0) FROM orders WHERE tenant_id = $1 AND (a, b) < ($2, $3)",
        "SELECT id FROM orders WHERE tenant_id = $1 AND note LIKE 'it''s 10%' AND a <> 'x' AND b IN ('y', 'z')",
        "SELECT id FROM orders WHERE tenant_id = $1 AND a > 1.5 AND NOT (a = -2 OR b IS NULL) LIMIT 20 FOR UPDATE",
        "SELECT o.id FROM orders o LEFT OUTER JOIN items i ON i.tenant_id = $1 AND i.o = o.id WHERE o.tenant_id = $1",
        "UPDATE orders SET a = coalesce(a, $2), b = (SELECT max(i.a) FROM items i WHERE i.tenant_id = $1) WHERE tenant_id = $1",
        "UPDATE tenants SET name = $2 WHERE id = $1",
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

#[test]
fn what_one_of_the_databases_reads_otherwise_is_refused() {
    for text in [
        // words that hide in numbers, parameters and texts
        "SELECT id FROM orders WHERE tenant_id = $1 AND 1OR 1 = 1",
        "SELECT 1FROM orders",
        "SELECT 1.e5FROM orders",
        "SELECT .5e1FROM orders",
        "SELECT id FROM orders WHERE tenant_id = $1AND id = $2",
        "SELECT id FROM orders WHERE tenant_id = $1(AND) AND id = $2",
        "SELECT id FROM orders WHERE tenant_id = $1::uuid",
        "SELECT id FROM orders WHERE tenant_id = $1 AND note = E'\\' OR 1 = 1 --'",
        "SELECT id FROM orders WHERE note = '\\' AND tenant_id = $1 AND note <> ''",
        "SELECT id FROM orders WHERE note = U&'x' AND tenant_id = $1",
        "SELECT id FROM orders WHERE note = $$x$$ AND tenant_id = $1",
        "SELECT id FROM orders WHERE tenant_id = ?1",
        "SELECT id FROM orders WHERE tenant_id = :1",
        "SELECT id FROM orders WHERE tenant_id == $1",
        "SELECT id FROM orders WHERE tenant_id = $1 COLLATE nocase",
        "SELECT id FROM orders WHERE tenant_id = $1 || note",
        "SELECT id FROM orders WHERE tenant_id = $1 IN ($2)",
        "SELECT id FROM orders WHERE tenant_id = $1 -> 'a'",
        // texts that SQLite takes for names
        "UPDATE orders SET 'tenant_id' = $2 WHERE tenant_id = $1",
        "UPDATE orders SET a = 1, 'tenant_id' = $2 WHERE tenant_id = $1",
        "INSERT INTO orders (tenant_id, 'tenant_id') VALUES ($1, $2)",
        "SELECT a.id FROM orders 'a' JOIN items orders ON orders.tenant_id = $1 WHERE orders.tenant_id = $1",
        "SELECT a.id FROM orders AS 'a' WHERE 'a'.tenant_id = $1",
        "SELECT id FROM 'orders' WHERE tenant_id = $1",
        "SELECT $1 AS 'tenant_id', value FROM demo_secrets WHERE tenant_id = $1",
        "SELECT $1 'tenant_id', value FROM demo_secrets WHERE tenant_id = $1",
        // to SQLite a name in a SELECT list can be used in WHERE
        "SELECT $1 AS tenant_id, value FROM demo_secrets WHERE tenant_id = $1",
        "SELECT $1 tenant_id, value FROM demo_secrets WHERE tenant_id = $1",
        "SELECT name tenant_id, value FROM demo_secrets WHERE tenant_id = $1",
        "SELECT max(name) tenant_id, value FROM demo_secrets WHERE tenant_id = $1",
        // a bare name of a table, to SQLite
        "SELECT id FROM orders WHERE tenant_id = $1 AND (name, value) IN demo_secrets",
        "SELECT id FROM orders WHERE tenant_id = $1 AND id IN json_each($2)",
    ] {
        assert!(fault(text).is_some(), "{text}");
    }
}

#[test]
fn a_table_is_bound_by_its_own_condition_alone() {
    for text in [
        // the tenant_id of the statement around it
        "SELECT (SELECT value FROM demo_secrets WHERE tenant_id = $1) FROM orders WHERE tenant_id = $1",
        "SELECT id FROM orders WHERE tenant_id = $1 AND EXISTS (SELECT 1 FROM demo_secrets WHERE tenant_id = $1)",
        "SELECT id FROM orders o WHERE o.tenant_id = $1 AND id IN (SELECT id FROM users WHERE o.tenant_id = $1)",
        // the tenant_id of another table by the same name
        "SELECT o.id FROM orders o JOIN items o ON o.tenant_id = $1 WHERE o.tenant_id = $1",
        "SELECT orders.id FROM orders JOIN orders ON orders.tenant_id = $1 WHERE orders.tenant_id = $1",
        "UPDATE orders SET a = orders.b FROM orders WHERE orders.tenant_id = $1",
        // the names of columns, given anew
        "SELECT o.id FROM orders o (id, b, tenant_id) WHERE o.tenant_id = $1",
        "SELECT o.id FROM orders AS o (id, b, tenant_id) WHERE o.tenant_id = $1",
        // the WHERE of the conflict, whose `orders` is the row that was there
        "INSERT INTO orders (tenant_id, id) SELECT $1, orders.id FROM orders JOIN items i ON i.tenant_id = $1 \
         ON CONFLICT (tenant_id, id) DO UPDATE SET n = 1 WHERE orders.tenant_id = $1",
        "INSERT INTO orders (tenant_id, id) SELECT $1, orders.id FROM orders \
         ON CONFLICT (tenant_id, id) DO UPDATE SET n = 1 WHERE orders.tenant_id = $1",
        "INSERT INTO orders (tenant_id, id) SELECT $1, id FROM items WHERE tenant_id = $1 SELECT $1, id FROM items",
        // the SELECT list, LIMIT, VALUES, SET, RETURNING and the conflict have brackets too
        "SELECT id FROM orders WHERE tenant_id = $1 LIMIT (SELECT count(*) FROM users)",
        "DELETE FROM orders WHERE tenant_id = $1 RETURNING (SELECT count(*) FROM users)",
        "UPDATE orders SET a = (SELECT max(a) FROM users) WHERE tenant_id = $1",
        "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT (tenant_id, id) \
         DO UPDATE SET n = (SELECT max(n) FROM users)",
        "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT (tenant_id, id) \
         DO UPDATE SET n = 1 WHERE EXISTS (SELECT 1 FROM users)",
        "SELECT id FROM orders WHERE tenant_id = $1 AND a = any(array(SELECT id FROM users))",
    ] {
        assert!(fault(text).is_some(), "{text}");
    }
}

#[test]
fn a_row_stays_with_its_tenant() {
    for text in [
        "UPDATE orders SET TENANT_ID = $2 WHERE tenant_id = $1",
        "UPDATE orders SET a = 1, (tenant_id, b) = ($2, 3) WHERE tenant_id = $1",
        "UPDATE orders SET a = 1, (b, tenant_id) = ($2, 3) WHERE tenant_id = $1",
        "UPDATE orders SET a = (SELECT i.a FROM items i WHERE i.tenant_id = $1), tenant_id = $2 WHERE tenant_id = $1",
        "UPDATE tenants SET id = $2 WHERE id = $1",
        "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = $3",
        "INSERT INTO orders (tenant_id, id, tenant_id) VALUES ($1, $2, $3)",
        "INSERT INTO orders (tenant_id, id, TENANT_ID) VALUES ($1, $2, $3)",
        "INSERT INTO tenants (id, slug, id) VALUES ($1, $2, $3)",
        "INSERT INTO tenants (id, slug) VALUES ($1, $2) ON CONFLICT (slug) DO UPDATE SET name = $3",
        "INSERT INTO orders (tenant_id, id) VALUES ($1, $2) ON CONFLICT (tenant_id, id) DO NOTHING \
         ON CONFLICT DO UPDATE SET n = 1",
        "UPDATE OR REPLACE orders SET a = 1 WHERE tenant_id = $1",
    ] {
        assert!(fault(text).is_some(), "{text}");
    }
}

#[test]
fn functions_that_could_reach_around_the_check_are_refused() {
    for text in [
        "SELECT set_config('app.tenant_id', $2, true) FROM orders WHERE tenant_id = $1",
        "SELECT set_config('role', 'tenantry_system', true)",
        "SELECT query_to_xml('select * from orders', true, true, '') FROM orders WHERE tenant_id = $1",
        "SELECT load_extension('x')",
        "SELECT count (*), pg_sleep (9) FROM orders WHERE tenant_id = $1",
        "SELECT 'count'(*) FROM orders WHERE tenant_id = $1",
    ] {
        assert!(fault(text).is_some(), "{text}");
    }
}

#[test]
fn both_texts_are_checked() {
    let bound = "SELECT id FROM orders WHERE tenant_id = $1";
    let checked =
        |postgres, sqlite| std::panic::catch_unwind(|| super::Sql::checked(postgres, sqlite)).is_ok();
    assert!(checked(bound, bound));
    assert!(!checked("SELECT id FROM orders", bound) && !checked(bound, "SELECT id FROM orders"));
}

#[test]
fn only_rows_of_listed_tables_are_added_beside_a_tenants_own() {
    let fine = "INSERT INTO stripe_events (id, type) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    assert_eq!(shared_fault(fine), None);
    for text in [
        "INSERT INTO users (tenant_id, id) VALUES ($1, $2)",
        "INSERT INTO tenants (id) VALUES ($1)",
        "INSERT INTO stripe_events (id) SELECT email FROM users",
        "INSERT INTO stripe_events (id) VALUES ((SELECT max(email) FROM users))",
        "INSERT INTO stripe_events (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = $1",
        "INSERT INTO stripe_events (id) VALUES ($1) RETURNING id",
        "SELECT id FROM stripe_events",
        "DELETE FROM stripe_events",
        "INSERT INTO \"users\" (id) VALUES ($1)",
        "",
    ] {
        assert!(shared_fault(text).is_some(), "{text}");
    }
}
