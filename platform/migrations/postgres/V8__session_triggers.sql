-- Whatever updates a role, a status or a plan, be it the service, an older node or somebody at psql, changes the copies in
-- the live sessions within the same transaction. The functions run with the rights of whoever makes the change, so
-- row-level security binds them too; and on the tables of this schema, whatever the search path of whoever calls them.

-- A session that begins takes what holds then. It must not miss a change that is about to commit: that of its user, whose
-- row it locks, or that of the plan. For the latter it shares a lock that a change of plan takes for itself; a lock on the
-- tenant's row would wait for those who count seats, and they for the user. Who changes a user shares it too: otherwise the
-- two might each hold a session that the other is to change. 1024 such locks serve for all tenants: whoever changes all
-- plans at once shall not run out of room for locks. The number is the first bytes of SHA-256("tenantry plans").
--
-- Whoever has waited must see what it has waited for, which other isolation levels keep from them.
CREATE FUNCTION tenantry_lock_of_plan(tenant uuid) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE 'roles, statuses, plans and sessions are changed in transactions of the level READ COMMITTED alone'
      USING HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
  END IF;
  RETURN 3184612743307277312 + (hashtext(tenant::text) & 1023);
END $$;
GRANT EXECUTE ON FUNCTION tenantry_lock_of_plan TO tenantry_tenant;

CREATE FUNCTION tenantry_session_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT role, status INTO NEW.user_role, NEW.user_status
    FROM users WHERE tenant_id = NEW.tenant_id AND id = NEW.user_id FOR SHARE;
  PERFORM pg_advisory_xact_lock_shared(tenantry_lock_of_plan(NEW.tenant_id));
  SELECT plan INTO NEW.tenant_plan FROM tenants WHERE id = NEW.tenant_id;
  RETURN NEW;
END $$;

CREATE FUNCTION tenantry_user_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(tenantry_lock_of_plan(NEW.tenant_id));
  UPDATE sessions SET user_role = NEW.role, user_status = NEW.status
    WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id AND ended_at IS NULL;
  RETURN NULL;
END $$;

CREATE FUNCTION tenantry_plan_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(tenantry_lock_of_plan(NEW.id));
  UPDATE sessions SET tenant_plan = NEW.plan WHERE tenant_id = NEW.id AND ended_at IS NULL;
  RETURN NULL;
END $$;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['session_begins', 'user_changes', 'plan_changes'] LOOP
    EXECUTE format('ALTER FUNCTION tenantry_%s() SET search_path = %I, pg_temp', name, current_schema());
  END LOOP;
END $$;

-- in the order in which the service writes to these tables
CREATE TRIGGER tenantry_plan_changes AFTER UPDATE ON tenants FOR EACH ROW
  WHEN (OLD.plan IS DISTINCT FROM NEW.plan) EXECUTE FUNCTION tenantry_plan_changes();
CREATE TRIGGER tenantry_user_changes AFTER UPDATE ON users FOR EACH ROW
  WHEN ((OLD.role, OLD.status) IS DISTINCT FROM (NEW.role, NEW.status)) EXECUTE FUNCTION tenantry_user_changes();
CREATE TRIGGER tenantry_session_begins BEFORE INSERT ON sessions FOR EACH ROW
  EXECUTE FUNCTION tenantry_session_begins();
-- the service does neither; who ends sessions by mistake may want them back
CREATE TRIGGER tenantry_session_resumes BEFORE UPDATE ON sessions FOR EACH ROW
  WHEN ((OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL) OR OLD.user_id <> NEW.user_id)
  EXECUTE FUNCTION tenantry_session_begins();
