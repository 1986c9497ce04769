-- Work that was asked for over the HTTP API, which process does it, and its outcome.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY, work TEXT NOT NULL, token TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT,
    host TEXT NOT NULL, machine TEXT NOT NULL, process_id BIGINT NOT NULL, process_start BIGINT NOT NULL,
    heartbeat_ms BIGINT NOT NULL, ended_at TEXT, outcome TEXT, result TEXT, error TEXT);
CREATE INDEX jobs_by_time ON jobs (created_at);
