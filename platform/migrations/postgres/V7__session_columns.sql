-- What is asked of a session at each request stands in its own row: the role and status of its user, and the plan of its
-- tenant. The database keeps these copies, by the triggers of V8. Three migrations and not one, so that what locks whole
-- tables does not wait for what writes many rows.
ALTER TABLE sessions
  ADD COLUMN user_role TEXT,
  ADD COLUMN user_status TEXT,
  ADD COLUMN tenant_plan TEXT;
