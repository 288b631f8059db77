-- The live sessions that were there before the triggers. Tenant by tenant, as that tenant: row-level security binds the owner
-- of the tables too. What a trigger has written since is newer and stays.
DO $$
DECLARE
  before text := current_setting('role');
  tenants_of_sessions uuid[];
  tenant uuid;
BEGIN
  PERFORM set_config('search_path', quote_ident(current_schema()), true); -- "$user" would be another with each role
  PERFORM set_config('role', 'tenantry_system', true);
  SELECT coalesce(array_agg(DISTINCT tenant_id), '{}') INTO tenants_of_sessions
    FROM sessions WHERE ended_at IS NULL AND expires_at > now() - interval '1 day';
  PERFORM set_config('role', 'tenantry_tenant', true);
  FOREACH tenant IN ARRAY tenants_of_sessions LOOP
    PERFORM set_config('app.tenant_id', tenant::text, true);
    UPDATE sessions s SET
      user_role = coalesce(s.user_role, u.role),
      user_status = coalesce(s.user_status, u.status),
      tenant_plan = coalesce(s.tenant_plan, t.plan)
      FROM users u, tenants t
      WHERE s.tenant_id = tenant AND u.tenant_id = tenant AND u.id = s.user_id AND t.id = tenant
      AND (s.user_role IS NULL OR s.tenant_plan IS NULL)
      -- others may be on the way to be purged; a day, since the clocks of nodes may differ from the database's
      AND s.ended_at IS NULL AND s.expires_at > now() - interval '1 day';
  END LOOP;
  PERFORM set_config('app.tenant_id', '', true);
  PERFORM set_config('role', before, true);
END $$;
