CREATE TABLE orders (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  id BLOB NOT NULL,
  customer_id BLOB NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'processing', 'completed', 'cancelled')),
  total_minor INTEGER NOT NULL,
  currency TEXT NOT NULL,
  notes TEXT,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX orders_by_status ON orders (tenant_id, status, id);
CREATE INDEX orders_by_customer ON orders (tenant_id, customer_id, id);

CREATE TABLE order_items (
  tenant_id BLOB NOT NULL,
  order_id BLOB NOT NULL,
  line INTEGER NOT NULL,
  id BLOB NOT NULL,
  product_id TEXT NOT NULL,
  product_name TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  unit_price_minor INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, order_id, line),
  FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
) STRICT;

-- One row a version of the order: the key alone makes its history one straight line.
CREATE TABLE order_history (
  tenant_id BLOB NOT NULL,
  order_id BLOB NOT NULL,
  version INTEGER NOT NULL,
  from_status TEXT,
  to_status TEXT NOT NULL,
  note TEXT,
  actor_type TEXT NOT NULL,
  actor_id BLOB NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, order_id, version),
  FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
) STRICT;
