CREATE TABLE orders (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  id UUID NOT NULL,
  customer_id UUID NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'processing', 'completed', 'cancelled')),
  total_minor BIGINT NOT NULL,
  currency TEXT NOT NULL,
  notes TEXT,
  version BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX orders_by_status ON orders (tenant_id, status, id);
CREATE INDEX orders_by_customer ON orders (tenant_id, customer_id, id);
SELECT tenantry_protect('orders');

CREATE TABLE order_items (
  tenant_id UUID NOT NULL,
  order_id UUID NOT NULL,
  line BIGINT NOT NULL,
  id UUID NOT NULL,
  product_id TEXT NOT NULL,
  product_name TEXT NOT NULL,
  quantity BIGINT NOT NULL,
  unit_price_minor BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, order_id, line),
  FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);
SELECT tenantry_protect('order_items');

-- One row a version of the order: the key alone makes its history one straight line.
CREATE TABLE order_history (
  tenant_id UUID NOT NULL,
  order_id UUID NOT NULL,
  version BIGINT NOT NULL,
  from_status TEXT,
  to_status TEXT NOT NULL,
  note TEXT,
  actor_type TEXT NOT NULL,
  actor_id UUID NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, order_id, version),
  FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);
SELECT tenantry_protect('order_history');
