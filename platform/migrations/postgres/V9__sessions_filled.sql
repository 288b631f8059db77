-- The sessions that were there before the triggers. Tenant by tenant, as that tenant: row-level security binds the owner of
-- the tables too. What a trigger has written since is newer and stays.
DO $$
DECLARE
  before text := current_setting('role');
  tenants_of_sessions uuid[];
  tenant uuid;
BEGIN
  PERFORM set_config('role', 'tenantry_system', true);
  SELECT coalesce(array_agg(DISTINCT s.tenant_id), '{}') INTO tenants_of_sessions
    FROM sessions s WHERE s.ended_at IS NULL;
  PERFORM set_config('role', 'tenantry_tenant', true);
  FOREACH tenant IN ARRAY tenants_of_sessions LOOP
    PERFORM set_config('app.tenant_id', tenant::text, true);
    UPDATE sessions s SET user_role = u.role, user_status = u.status FROM users u
      WHERE s.tenant_id = tenant AND s.ended_at IS NULL AND s.user_role IS NULL
      AND u.tenant_id = tenant AND u.id = s.user_id;
    UPDATE sessions s SET tenant_plan = t.plan FROM tenants t
      WHERE s.tenant_id = tenant AND s.ended_at IS NULL AND s.tenant_plan IS NULL AND t.id = tenant;
  END LOOP;
  PERFORM set_config('app.tenant_id', '', true);
  PERFORM set_config('role', before, true);
END $$;
