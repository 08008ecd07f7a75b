-- One process after another.
SELECT pg_advisory_xact_lock(7305818);
-- What SQLite has: bytes travel in JSON as hex digits.
CREATE OR REPLACE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT
        AS $$ SELECT encode($1, 'hex') $$;
CREATE OR REPLACE FUNCTION unhex(text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
        AS $$ SELECT decode($1, 'hex') $$;
