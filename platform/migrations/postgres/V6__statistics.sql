-- A statement is planned once for all tenants. Where nearly each tenant has a single row, PostgreSQL holds any index that
-- begins with the tenant to be as good as the primary key, and may take it to find one row: for a tenant of thousands of
-- rows that is to read them all. So it is told to plan for tenants of a hundred rows.
CREATE OR REPLACE FUNCTION tenantry_protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format(
    'CREATE POLICY tenant ON %s TO tenantry_tenant '
    'USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), '''')::uuid)', target);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO tenantry_tenant', target);
  EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET (n_distinct = -0.01)', target);
END $$;

-- The tables that are there already. It counts from their next ANALYZE, which takes a sample of each; an empty one is left
-- alone, since PostgreSQL plans for some rows where it has never looked.
DO $$
DECLARE
  target regclass;
BEGIN
  FOR target IN
    SELECT p.polrelid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
    WHERE p.polname = 'tenant'
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET (n_distinct = -0.01)', target);
    IF pg_relation_size(target) > 0 THEN
      EXECUTE format('ANALYZE %s', target);
    END IF;
  END LOOP;
END $$;
