-- What is asked of a session at each request stands in its own row: the role and status of its user, and the plan of its
-- tenant. The database keeps these copies, by the triggers of V8.
ALTER TABLE sessions ADD COLUMN user_role TEXT;
ALTER TABLE sessions ADD COLUMN user_status TEXT;
ALTER TABLE sessions ADD COLUMN tenant_plan TEXT;
