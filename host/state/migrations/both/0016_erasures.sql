CREATE TABLE erasure_key (id BIGINT NOT NULL PRIMARY KEY, secret TEXT NOT NULL);
CREATE TABLE erasures (
    digest TEXT NOT NULL PRIMARY KEY, bytes BIGINT NOT NULL, tokens BIGINT NOT NULL, is_number BIGINT NOT NULL,
    is_distinctive BIGINT NOT NULL,    stand_in TEXT NOT NULL, began_at TEXT NOT NULL, done_at TEXT);
