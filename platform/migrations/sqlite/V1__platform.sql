-- The same tables as on PostgreSQL: ids as 16 bytes, instants as microseconds since 1970, booleans as 0 and 1.

-- The tenants themselves have no tenant_id: their id is it.
CREATE TABLE tenants (
  id BLOB NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  slug TEXT NOT NULL UNIQUE,
  plan TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  id BLOB NOT NULL,
  email TEXT NOT NULL,
  full_name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  status TEXT NOT NULL CHECK (status IN ('active', 'invited', 'deactivated')),
  password_hash TEXT,
  last_login_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX users_email ON users (tenant_id, email);
CREATE UNIQUE INDEX users_one_owner ON users (tenant_id) WHERE role = 'owner';

-- A session is the family of refresh tokens that descend from one sign-in.
CREATE TABLE sessions (
  tenant_id BLOB NOT NULL,
  id BLOB NOT NULL,
  user_id BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  ended_at INTEGER,
  ip TEXT,
  user_agent TEXT,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) STRICT;
CREATE INDEX sessions_of_user ON sessions (tenant_id, user_id);

-- hash: SHA-256 of the token. replaced_at is by the database's clock.
CREATE TABLE refresh_tokens (
  tenant_id BLOB NOT NULL,
  hash BLOB NOT NULL,
  session_id BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  replaced_at INTEGER,
  replaced_by BLOB,
  PRIMARY KEY (tenant_id, hash),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (tenant_id, session_id);

-- Written in the transaction that causes an event; the payload is the text of a JSON object.
CREATE TABLE outbox (
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  id BLOB NOT NULL,
  type TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;

-- Demo mode's own secrets, made at its first start.
CREATE TABLE demo_secrets (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
