-- Of PostgreSQL alone: SQLite takes the primary key wherever it is given whole.
SELECT 1;
