-- Three roles stand between a fault and the data (they belong to the server, so another database may have made them):
--   tenantry_login   every connection from its start; may do nothing
--   tenantry_tenant  a tenant's transaction; sees the rows of app.tenant_id alone
--   tenantry_system  what has no tenant yet; sees what is granted to it by name
-- They are made here where that is allowed; otherwise whoever runs the server makes them, as the hint says.
DO $$
DECLARE
  name text;
  -- since PostgreSQL 16 whoever makes a role is a member of it, but may not become it
  membership text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  FOREACH name IN ARRAY ARRAY['tenantry_login', 'tenantry_tenant', 'tenantry_system'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = name AND (rolsuper OR rolbypassrls OR rolcanlogin)) THEN
      RAISE 'the role % may log in or is above row-level security', name
        USING HINT = format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', name);
    END IF;
    IF NOT pg_has_role(current_user, name, membership) THEN
      EXECUTE format('GRANT %I TO %I', name, current_user);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
  END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE insufficient_privilege USING MESSAGE = SQLERRM, HINT = format(
    'Give %1$I the right CREATEROLE, or let a superuser run: '
    'CREATE ROLE tenantry_login NOLOGIN NOINHERIT; CREATE ROLE tenantry_tenant NOLOGIN NOINHERIT; '
    'CREATE ROLE tenantry_system NOLOGIN NOINHERIT; '
    'GRANT tenantry_login, tenantry_tenant, tenantry_system TO %1$I', current_user);
END $$;

-- Closes a table of tenants' rows: every migration that makes one calls this. Owner and superuser are meant too, hence
-- FORCE. After a transaction the setting is '' and not NULL, hence NULLIF.
CREATE FUNCTION tenantry_protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format(
    'CREATE POLICY tenant ON %s TO tenantry_tenant '
    'USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), '''')::uuid)', target);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO tenantry_tenant', target);
END $$;

-- The tenants themselves have no tenant_id: their id is it.
CREATE TABLE tenants (
  id UUID PRIMARY KEY,
  name TEXT NOT NULL,
  slug TEXT NOT NULL UNIQUE,
  plan TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants TO tenantry_tenant
  USING (id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY system ON tenants FOR SELECT TO tenantry_system USING (true);
GRANT SELECT, INSERT ON tenants TO tenantry_tenant;
GRANT UPDATE (name, plan, updated_at) ON tenants TO tenantry_tenant;
GRANT SELECT ON tenants TO tenantry_system;

CREATE TABLE users (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  id UUID NOT NULL,
  email TEXT NOT NULL,
  full_name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  status TEXT NOT NULL CHECK (status IN ('active', 'invited', 'deactivated')),
  password_hash TEXT,
  last_login_at TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_email ON users (tenant_id, email);
CREATE UNIQUE INDEX users_one_owner ON users (tenant_id) WHERE role = 'owner';
SELECT tenantry_protect('users');

-- A session is the family of refresh tokens that descend from one sign-in.
CREATE TABLE sessions (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL,
  user_id UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  last_used_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  ended_at TIMESTAMPTZ,
  ip TEXT,
  user_agent TEXT,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX sessions_of_user ON sessions (tenant_id, user_id);
SELECT tenantry_protect('sessions');

-- hash: SHA-256 of the token. replaced_at is by the database's clock.
CREATE TABLE refresh_tokens (
  tenant_id UUID NOT NULL,
  hash BYTEA NOT NULL,
  session_id UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  replaced_at TIMESTAMPTZ,
  replaced_by BYTEA,
  PRIMARY KEY (tenant_id, hash),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (tenant_id, session_id);
SELECT tenantry_protect('refresh_tokens');

-- Written in the transaction that causes an event; the payload is the text of a JSON object.
CREATE TABLE outbox (
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  id UUID NOT NULL,
  type TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT tenantry_protect('outbox');

-- Demo mode's own secrets, made at its first start.
CREATE TABLE demo_secrets (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
