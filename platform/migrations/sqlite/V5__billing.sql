-- A tenant's customer at Stripe: made once, and the only way from what Stripe says to a tenant.
ALTER TABLE tenants ADD COLUMN stripe_customer_id TEXT;
CREATE UNIQUE INDEX tenants_stripe_customer ON tenants (stripe_customer_id);

-- What Stripe said last: a row for each tenant that has a customer there. status is Stripe's word, 'none' without a
-- subscription; plan is that of its price, whatever the status grants. fetched_at, when the fetch of this state began,
-- and check_at, when it is compared with Stripe's next, are by the database's clock.
CREATE TABLE subscriptions (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  stripe_subscription_id TEXT,
  status TEXT NOT NULL,
  plan TEXT NOT NULL,
  current_period_end INTEGER,
  cancel_at_period_end INTEGER NOT NULL,
  trial_end INTEGER,
  past_due_since INTEGER,
  fetched_at INTEGER,
  check_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id)
) STRICT;
CREATE INDEX subscriptions_check ON subscriptions (check_at);
CREATE INDEX subscriptions_past_due ON subscriptions (past_due_since);

-- Events of Stripe that have taken effect, each written in the transaction of its effect. No tenant reads them.
CREATE TABLE stripe_events (
  id TEXT NOT NULL PRIMARY KEY,
  type TEXT NOT NULL,
  received_at INTEGER NOT NULL
) STRICT;
CREATE INDEX stripe_events_received ON stripe_events (received_at);

-- Work that one node does at a time: its holder has it until then, by the database's clock.
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY,
  holder BLOB NOT NULL,
  held_until INTEGER NOT NULL
) STRICT;
