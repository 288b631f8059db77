-- Requests that were sent with an Idempotency-Key, for a day. hash: SHA-256 of who asked, what for, and the key;
-- fingerprint: SHA-256 of what was asked; answer: sealed, bound to tenant and hash, NULL while the request is under way.
-- reserved_at is by the database's clock and set where the work itself is done outside of a transaction; attempt is
-- then the fence: whoever was overtaken stores nothing. No foreign key: a row is of use to nobody but who asks again.
CREATE TABLE idempotency_keys (
  tenant_id BLOB NOT NULL,
  hash BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  reserved_at INTEGER,
  answer BLOB,
  PRIMARY KEY (tenant_id, hash)
) STRICT;
CREATE INDEX idempotency_keys_over ON idempotency_keys (created_at);
