-- The sessions that were there before the triggers.
UPDATE sessions SET
  (user_role, user_status) =
    (SELECT role, status FROM users u WHERE u.tenant_id = sessions.tenant_id AND u.id = sessions.user_id),
  tenant_plan = (SELECT plan FROM tenants t WHERE t.id = sessions.tenant_id)
  WHERE ended_at IS NULL;
