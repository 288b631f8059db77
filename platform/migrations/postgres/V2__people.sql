-- Invitations and password resets: one live token of a kind a person; a used one is deleted. hash: SHA-256 of it.
CREATE TABLE user_tokens (
  tenant_id UUID NOT NULL,
  user_id UUID NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('invitation', 'password_reset')),
  hash BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, user_id, kind),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX user_tokens_hash ON user_tokens (tenant_id, hash);
SELECT tenantry_protect('user_tokens');

-- Who did what. Rows are added and never changed, by no role of the service; details is the text of a JSON object.
CREATE TABLE audit_events (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  id UUID NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  action TEXT NOT NULL,
  actor_type TEXT,
  actor_id UUID,
  target_type TEXT,
  target_id UUID,
  ip TEXT,
  user_agent TEXT,
  request_id TEXT,
  details TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT tenantry_protect('audit_events');
REVOKE UPDATE, DELETE ON audit_events FROM tenantry_tenant;

-- hash: SHA-256 of the key; prefix: its first characters, for people to tell keys apart.
CREATE TABLE api_keys (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  hash BYTEA NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin')),
  created_by UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  last_used_at TIMESTAMPTZ,
  expires_at TIMESTAMPTZ,
  revoked_at TIMESTAMPTZ,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (tenant_id, hash);
SELECT tenantry_protect('api_keys');

-- Work to be done after a transaction, written in it. Claimed by whoever comes first, for as long as the lease lasts;
-- attempt is the fence: what an overtaken holder reports is ignored. Times are by the database's clock.
CREATE TABLE jobs (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  id UUID NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
  run_at TIMESTAMPTZ NOT NULL,
  attempt BIGINT NOT NULL,
  leased_until TIMESTAMPTZ,
  last_error TEXT,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX jobs_due ON jobs (state, run_at);
SELECT tenantry_protect('jobs');
CREATE POLICY system ON jobs TO tenantry_system USING (true);
GRANT SELECT, UPDATE, DELETE ON jobs TO tenantry_system;

-- What has ended is purged by the system, for all tenants at once.
DO $$
DECLARE
  target text;
BEGIN
  FOREACH target IN ARRAY ARRAY['sessions', 'refresh_tokens', 'user_tokens'] LOOP
    EXECUTE format('CREATE POLICY system ON %I TO tenantry_system USING (true)', target);
    EXECUTE format('GRANT SELECT, DELETE ON %I TO tenantry_system', target);
  END LOOP;
END $$;
CREATE INDEX sessions_over ON sessions (expires_at);
CREATE INDEX sessions_ended ON sessions (ended_at);
CREATE INDEX refresh_tokens_over ON refresh_tokens (expires_at);
