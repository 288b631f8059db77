-- dispatched_at: when it was seen which endpoints an event goes to; wanted: whether there were any. What was written
-- before there were endpoints goes to none.
ALTER TABLE outbox ADD COLUMN dispatched_at TIMESTAMPTZ DEFAULT now();
ALTER TABLE outbox ALTER COLUMN dispatched_at DROP DEFAULT;
ALTER TABLE outbox ADD COLUMN wanted BOOLEAN NOT NULL DEFAULT false;
CREATE INDEX outbox_undispatched ON outbox (tenant_id, id) WHERE dispatched_at IS NULL;
CREATE INDEX outbox_over ON outbox (wanted, dispatched_at) WHERE dispatched_at IS NOT NULL;

-- event_types: the text of a JSON array of names and patterns; an empty one means all. failing_since: the first failure
-- since the last success. An endpoint that was deleted stays while the log of its deliveries does.
CREATE TABLE webhook_endpoints (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  id UUID NOT NULL,
  url TEXT NOT NULL,
  description TEXT,
  event_types TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  disabled_reason TEXT CHECK (disabled_reason IN ('manual', 'gone', 'failing')),
  failing_since TIMESTAMPTZ,
  version BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  deleted_at TIMESTAMPTZ,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (deleted_at) WHERE deleted_at IS NOT NULL;
SELECT tenantry_protect('webhook_endpoints');

-- All that have not expired sign. secret is sealed under WEBHOOK_SIGNING_SECRET for its tenant and endpoint.
CREATE TABLE webhook_secrets (
  tenant_id UUID NOT NULL,
  endpoint_id UUID NOT NULL,
  id UUID NOT NULL,
  secret BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ,
  PRIMARY KEY (tenant_id, endpoint_id, id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id)
);
CREATE INDEX webhook_secrets_over ON webhook_secrets (expires_at) WHERE expires_at IS NOT NULL;
SELECT tenantry_protect('webhook_secrets');

-- An event on its way to an endpoint. claims counts the claims and is the fence: what an overtaken holder reports is
-- ignored. tries counts those of the present schedule. next_attempt_at and leased_until are by the database's clock.
CREATE TABLE webhook_deliveries (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL,
  endpoint_id UUID NOT NULL,
  event_id UUID NOT NULL,
  event_type TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
  attempt_count BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  claims BIGINT NOT NULL,
  next_attempt_at TIMESTAMPTZ,
  leased_until TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL,
  completed_at TIMESTAMPTZ,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id),
  FOREIGN KEY (tenant_id, event_id) REFERENCES outbox (tenant_id, id)
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (tenant_id, event_id, endpoint_id);
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (tenant_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (tenant_id, endpoint_id, next_attempt_at)
  WHERE status = 'pending';
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (tenant_id, id) WHERE status = 'failed';
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE status <> 'pending';
SELECT tenantry_protect('webhook_deliveries');

CREATE TABLE webhook_attempts (
  tenant_id UUID NOT NULL,
  delivery_id UUID NOT NULL,
  number BIGINT NOT NULL,
  started_at TIMESTAMPTZ NOT NULL,
  duration_ms BIGINT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'timeout', 'blocked')),
  response_status BIGINT,
  response_body TEXT,
  error TEXT,
  PRIMARY KEY (tenant_id, delivery_id, number),
  FOREIGN KEY (tenant_id, delivery_id) REFERENCES webhook_deliveries (tenant_id, id) ON DELETE CASCADE
);
SELECT tenantry_protect('webhook_attempts');

-- Events of all tenants are dispatched and delivered, and purged after a while.
DO $$
DECLARE
  target text;
BEGIN
  FOREACH target IN ARRAY
    ARRAY['outbox', 'webhook_endpoints', 'webhook_secrets', 'webhook_deliveries', 'webhook_attempts']
  LOOP
    EXECUTE format('CREATE POLICY system ON %I TO tenantry_system USING (true)', target);
    EXECUTE format('GRANT SELECT ON %I TO tenantry_system', target);
  END LOOP;
END $$;
GRANT DELETE ON outbox, webhook_endpoints, webhook_secrets, webhook_deliveries TO tenantry_system;
GRANT UPDATE (dispatched_at, wanted) ON outbox TO tenantry_system;
GRANT UPDATE (failing_since) ON webhook_endpoints TO tenantry_system;
GRANT INSERT, UPDATE ON webhook_deliveries TO tenantry_system;
GRANT INSERT ON webhook_attempts TO tenantry_system;

-- Their rows change once or twice and then lie for months: what has changed is cleared away by how much that is, not by
-- how much lies.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE webhook_deliveries SET (autovacuum_vacuum_scale_factor = 0.01);
