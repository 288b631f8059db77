-- Requests that were sent with an Idempotency-Key, for a day. hash: SHA-256 of who asked, what for, and the key;
-- fingerprint: SHA-256 of what was asked; answer: sealed, bound to tenant and hash, NULL while the request is under way.
-- reserved_at is by the database's clock and set where the work itself is done outside of a transaction; attempt is
-- then the fence: whoever was overtaken stores nothing. No foreign key: a row is of use to nobody but who asks again.
CREATE TABLE idempotency_keys (
  tenant_id UUID NOT NULL,
  hash BYTEA NOT NULL,
  fingerprint BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  attempt BIGINT NOT NULL,
  reserved_at TIMESTAMPTZ,
  answer BYTEA,
  PRIMARY KEY (tenant_id, hash)
);
-- what is sealed cannot be compressed
ALTER TABLE idempotency_keys ALTER COLUMN answer SET STORAGE EXTERNAL;
CREATE INDEX idempotency_keys_over ON idempotency_keys (created_at);
SELECT tenantry_protect('idempotency_keys');

-- Purged by the system, which need not read what was answered.
CREATE POLICY system ON idempotency_keys TO tenantry_system USING (true);
GRANT SELECT (tenant_id, hash, created_at), DELETE ON idempotency_keys TO tenantry_system;
