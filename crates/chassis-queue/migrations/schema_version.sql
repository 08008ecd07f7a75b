CREATE TABLE IF NOT EXISTS schema_version (
    component TEXT PRIMARY KEY, version BIGINT NOT NULL, min_reader BIGINT NOT NULL);
