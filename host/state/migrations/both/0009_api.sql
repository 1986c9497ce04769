-- Tokens of the HTTP API: their BLAKE3, never themselves.
CREATE TABLE api_tokens (
    name TEXT NOT NULL PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL);
-- Calls of the HTTP API that changed something, or tried to.
CREATE TABLE api_calls (
    called_at TEXT NOT NULL, token TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, status BIGINT NOT NULL);
CREATE INDEX api_calls_by_time ON api_calls (called_at);
