-- A tenant's customer at Stripe: made once, and the only way from what Stripe says to a tenant.
ALTER TABLE tenants ADD COLUMN stripe_customer_id TEXT;
CREATE UNIQUE INDEX tenants_stripe_customer ON tenants (stripe_customer_id);
GRANT UPDATE (stripe_customer_id) ON tenants TO tenantry_tenant;

-- What Stripe said last: a row for each tenant that has a customer there. status is Stripe's word, 'none' without a
-- subscription; plan is that of its price, whatever the status grants. fetched_at, when the fetch of this state began,
-- and check_at, when it is compared with Stripe's next, are by the database's clock.
CREATE TABLE subscriptions (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  stripe_subscription_id TEXT,
  status TEXT NOT NULL,
  plan TEXT NOT NULL,
  current_period_end TIMESTAMPTZ,
  cancel_at_period_end BOOLEAN NOT NULL,
  trial_end TIMESTAMPTZ,
  past_due_since TIMESTAMPTZ,
  fetched_at TIMESTAMPTZ,
  check_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id)
);
CREATE INDEX subscriptions_check ON subscriptions (check_at);
CREATE INDEX subscriptions_past_due ON subscriptions (past_due_since);
SELECT tenantry_protect('subscriptions');
-- The system finds out what is due, for all tenants at once.
CREATE POLICY system ON subscriptions TO tenantry_system USING (true);
GRANT SELECT, UPDATE (check_at) ON subscriptions TO tenantry_system;

-- Events of Stripe that have taken effect, each written in the transaction of its effect. No tenant reads them.
CREATE TABLE stripe_events (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  received_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX stripe_events_received ON stripe_events (received_at);
GRANT INSERT ON stripe_events TO tenantry_tenant;
GRANT SELECT, DELETE ON stripe_events TO tenantry_system;

-- Work that one node does at a time: its holder has it until then, by the database's clock.
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder UUID NOT NULL,
  held_until TIMESTAMPTZ NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON leases TO tenantry_system;
