-- One process after another.
SELECT pg_advisory_xact_lock(7305818);
-- `unhex`, which SQLite has, is what turns bytes in a JSON batch into bytes.
CREATE OR REPLACE FUNCTION unhex(text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
        AS $$ SELECT decode($1, 'hex') $$;
