-- Whatever updates a role, a status or a plan changes the copies in the live sessions within the same transaction.
CREATE TRIGGER tenantry_session_begins AFTER INSERT ON sessions BEGIN
  UPDATE sessions SET
    (user_role, user_status) =
      (SELECT role, status FROM users WHERE tenant_id = NEW.tenant_id AND id = NEW.user_id),
    tenant_plan = (SELECT plan FROM tenants WHERE id = NEW.tenant_id)
    WHERE tenant_id = NEW.tenant_id AND id = NEW.id;
END;
CREATE TRIGGER tenantry_user_changes AFTER UPDATE ON users
WHEN (OLD.role, OLD.status) IS NOT (NEW.role, NEW.status) BEGIN
  UPDATE sessions SET user_role = NEW.role, user_status = NEW.status
    WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id AND ended_at IS NULL;
END;
CREATE TRIGGER tenantry_plan_changes AFTER UPDATE ON tenants WHEN OLD.plan IS NOT NEW.plan BEGIN
  UPDATE sessions SET tenant_plan = NEW.plan WHERE tenant_id = NEW.id AND ended_at IS NULL;
END;
-- The service does neither; who ends sessions by mistake may want them back.
CREATE TRIGGER tenantry_session_resumes AFTER UPDATE ON sessions
WHEN (OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL) OR OLD.user_id <> NEW.user_id BEGIN
  UPDATE sessions SET
    (user_role, user_status) =
      (SELECT role, status FROM users WHERE tenant_id = NEW.tenant_id AND id = NEW.user_id),
    tenant_plan = (SELECT plan FROM tenants WHERE id = NEW.tenant_id)
    WHERE tenant_id = NEW.tenant_id AND id = NEW.id;
END;
