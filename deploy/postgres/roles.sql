-- The roles of tenantry on one database, for psql. To be run as a superuser (or as whoever owns the database and may
-- make roles), before the first migration; it may be run again, for instance with new passwords:
--
--   psql -v ON_ERROR_STOP=1 -v migrate_password=… -v app_password=… -d tenantry -f roles.sql
--
-- tenantry_migrate owns the database and brings it up to date. tenantry_app serves; it owns nothing and may become the
-- three roles that statements run as. Those are made here and not by the migration, which then needs no CREATEROLE.
BEGIN;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['tenantry_login', 'tenantry_tenant', 'tenantry_system'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
    END IF;
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_migrate') THEN
    CREATE ROLE tenantry_migrate LOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantry_app') THEN
    CREATE ROLE tenantry_app LOGIN NOINHERIT;
  END IF;
END $$;
ALTER ROLE tenantry_migrate PASSWORD :'migrate_password';
ALTER ROLE tenantry_app PASSWORD :'app_password';
GRANT tenantry_login, tenantry_tenant, tenantry_system TO tenantry_migrate, tenantry_app;

-- Nobody else may connect. (Only the owner may make anything: so it is since PostgreSQL 15.)
DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I OWNER TO tenantry_migrate', current_database());
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO tenantry_app', current_database());
END $$;
COMMIT;
