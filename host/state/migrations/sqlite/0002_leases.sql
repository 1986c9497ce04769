-- Who may write what, for how long. A row stays when its lease is released (holder '', expires_at 0), because the epoch
-- must never become smaller. since and expires_at: milliseconds since 1970 by SQLite's clock. process_start: what tells
-- a process from a later one with the same id; machine: what tells whose process ids these are, '' if that isn't known.
CREATE TABLE leases (
    resource TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    holder TEXT NOT NULL,
    host TEXT NOT NULL,
    machine TEXT NOT NULL,
    process_id BIGINT NOT NULL,
    process_start BIGINT NOT NULL,
    since BIGINT NOT NULL,
    expires_at BIGINT NOT NULL);
