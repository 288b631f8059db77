-- dispatched_at: when it was seen which endpoints an event goes to; wanted: whether there were any. What was written
-- before there were endpoints goes to none.
ALTER TABLE outbox ADD COLUMN dispatched_at INTEGER;
UPDATE outbox SET dispatched_at = created_at;
ALTER TABLE outbox ADD COLUMN wanted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_undispatched ON outbox (tenant_id, id) WHERE dispatched_at IS NULL;
CREATE INDEX outbox_over ON outbox (wanted, dispatched_at) WHERE dispatched_at IS NOT NULL;

-- event_types: the text of a JSON array of names and patterns; an empty one means all. failing_since: the first failure
-- since the last success. An endpoint that was deleted stays while the log of its deliveries does.
CREATE TABLE webhook_endpoints (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  id BLOB NOT NULL,
  url TEXT NOT NULL,
  description TEXT,
  event_types TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  disabled_reason TEXT CHECK (disabled_reason IN ('manual', 'gone', 'failing')),
  failing_since INTEGER,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (deleted_at) WHERE deleted_at IS NOT NULL;

-- All that have not expired sign. secret is sealed under WEBHOOK_SIGNING_SECRET for its tenant and endpoint.
CREATE TABLE webhook_secrets (
  tenant_id BLOB NOT NULL,
  endpoint_id BLOB NOT NULL,
  id BLOB NOT NULL,
  secret BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (tenant_id, endpoint_id, id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id)
) STRICT;
CREATE INDEX webhook_secrets_over ON webhook_secrets (expires_at) WHERE expires_at IS NOT NULL;

-- An event on its way to an endpoint. claims counts the claims and is the fence: what an overtaken holder reports is
-- ignored. tries counts those of the present schedule. next_attempt_at and leased_until are by the database's clock.
CREATE TABLE webhook_deliveries (
  tenant_id BLOB NOT NULL,
  id BLOB NOT NULL,
  endpoint_id BLOB NOT NULL,
  event_id BLOB NOT NULL,
  event_type TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
  attempt_count INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  claims INTEGER NOT NULL,
  next_attempt_at INTEGER,
  leased_until INTEGER,
  created_at INTEGER NOT NULL,
  completed_at INTEGER,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id),
  FOREIGN KEY (tenant_id, event_id) REFERENCES outbox (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (tenant_id, event_id, endpoint_id);
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (tenant_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (tenant_id, endpoint_id, next_attempt_at)
  WHERE status = 'pending';
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (tenant_id, id) WHERE status = 'failed';
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE status <> 'pending';

CREATE TABLE webhook_attempts (
  tenant_id BLOB NOT NULL,
  delivery_id BLOB NOT NULL,
  number INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'timeout', 'blocked')),
  response_status INTEGER,
  response_body TEXT,
  error TEXT,
  PRIMARY KEY (tenant_id, delivery_id, number),
  FOREIGN KEY (tenant_id, delivery_id) REFERENCES webhook_deliveries (tenant_id, id) ON DELETE CASCADE
) STRICT;
