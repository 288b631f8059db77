-- Whatever changes a role, a status or a plan, be it the service, an older node or somebody at psql, changes the copies in
-- the live sessions within the same transaction. The functions run with the rights of whoever makes the change, so
-- row-level security binds them too.

-- A session that begins takes what holds then. It must not miss a change that is about to commit: that of its user, whose
-- row it locks, or that of the plan. For the latter it shares a lock that a change of plan takes for itself; a lock on the
-- tenant's row would wait for those who count seats, and they for the user. Who changes a user shares it too: otherwise the
-- two might each hold a session that the other is to change. 1024 such locks serve for all tenants: whoever changes all
-- plans at once shall not run out of room for locks. The number is the first bytes of SHA-256("tenantry plans").
CREATE FUNCTION lock_of_plan(tenant uuid) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
  SELECT 3184612743307277312 + (hashtext(tenant::text) & 1023)
$$;

CREATE FUNCTION session_begins() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  SELECT role, status INTO NEW.user_role, NEW.user_status
    FROM users WHERE tenant_id = NEW.tenant_id AND id = NEW.user_id FOR SHARE;
  PERFORM pg_advisory_xact_lock_shared(lock_of_plan(NEW.tenant_id));
  SELECT plan INTO NEW.tenant_plan FROM tenants WHERE id = NEW.tenant_id;
  RETURN NEW;
END $$;

CREATE FUNCTION user_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(lock_of_plan(NEW.tenant_id));
  UPDATE sessions SET user_role = NEW.role, user_status = NEW.status
    WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id AND ended_at IS NULL;
  RETURN NULL;
END $$;

CREATE FUNCTION plan_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(lock_of_plan(NEW.id));
  UPDATE sessions SET tenant_plan = NEW.plan WHERE tenant_id = NEW.id AND ended_at IS NULL;
  RETURN NULL;
END $$;

-- in the order in which the service writes to these tables
CREATE TRIGGER plan_changes AFTER UPDATE OF plan ON tenants FOR EACH ROW
  WHEN (OLD.plan IS DISTINCT FROM NEW.plan) EXECUTE FUNCTION plan_changes();
CREATE TRIGGER user_changes AFTER UPDATE OF role, status ON users FOR EACH ROW
  WHEN ((OLD.role, OLD.status) IS DISTINCT FROM (NEW.role, NEW.status)) EXECUTE FUNCTION user_changes();
CREATE TRIGGER session_begins BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION session_begins();
