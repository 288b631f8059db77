-- Invitations and password resets: one live token of a kind a person; a used one is deleted. hash: SHA-256 of it.
CREATE TABLE user_tokens (
  tenant_id BLOB NOT NULL,
  user_id BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('invitation', 'password_reset')),
  hash BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, user_id, kind),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX user_tokens_hash ON user_tokens (tenant_id, hash);

-- Who did what. Rows are added and never changed; details is the text of a JSON object.
CREATE TABLE audit_events (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  id BLOB NOT NULL,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  actor_type TEXT,
  actor_id BLOB,
  target_type TEXT,
  target_id BLOB,
  ip TEXT,
  user_agent TEXT,
  request_id TEXT,
  details TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events BEGIN
  SELECT RAISE(ABORT, 'audit events are not changed');
END;
CREATE TRIGGER audit_events_last BEFORE DELETE ON audit_events BEGIN
  SELECT RAISE(ABORT, 'audit events are not deleted');
END;

-- hash: SHA-256 of the key; prefix: its first characters, for people to tell keys apart.
CREATE TABLE api_keys (
  tenant_id BLOB NOT NULL,
  id BLOB NOT NULL,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  hash BLOB NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin')),
  created_by BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER,
  expires_at INTEGER,
  revoked_at INTEGER,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX api_keys_hash ON api_keys (tenant_id, hash);

-- Work to be done after a transaction, written in it. Claimed by whoever comes first, for as long as the lease lasts;
-- attempt is the fence: what an overtaken holder reports is ignored. Times are by the database's clock.
CREATE TABLE jobs (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  id BLOB NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
  run_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  leased_until INTEGER,
  last_error TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX jobs_due ON jobs (state, run_at);

CREATE INDEX sessions_over ON sessions (expires_at);
CREATE INDEX sessions_ended ON sessions (ended_at);
CREATE INDEX refresh_tokens_over ON refresh_tokens (expires_at);
