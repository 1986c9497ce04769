-- The tables of the releases before there were migrations. A store that such a release made is adopted as it is.
CREATE TABLE IF NOT EXISTS looks (
    network TEXT NOT NULL, rule BIGINT NOT NULL, looked_at TEXT NOT NULL, PRIMARY KEY (network, rule));
CREATE TABLE IF NOT EXISTS cursors (
    network TEXT NOT NULL, account TEXT NOT NULL, stream TEXT NOT NULL, axis TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (network, account, stream, axis));
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT NOT NULL PRIMARY KEY, network TEXT NOT NULL, verb TEXT NOT NULL, selection TEXT NOT NULL,
    slices TEXT NOT NULL, connector TEXT NOT NULL, started_at TEXT NOT NULL, starts BIGINT NOT NULL,
    kept BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    network TEXT NOT NULL, account TEXT NOT NULL, sign_in TEXT NOT NULL, version BIGINT NOT NULL, sealed TEXT NOT NULL,
    PRIMARY KEY (network, account, sign_in));
CREATE TABLE IF NOT EXISTS services (
    id TEXT NOT NULL PRIMARY KEY, noted_at TEXT NOT NULL, vitals TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS active_connectors (
    network TEXT NOT NULL PRIMARY KEY, file TEXT NOT NULL, digest TEXT NOT NULL, version TEXT NOT NULL,
    rights TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS connector_words (
    network TEXT NOT NULL, digest TEXT NOT NULL, word TEXT NOT NULL, said_at TEXT NOT NULL,
    PRIMARY KEY (network, digest));
CREATE TABLE IF NOT EXISTS connector_candidates (
    network TEXT NOT NULL, digest TEXT NOT NULL, version TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    hint TEXT NOT NULL, smoke TEXT NOT NULL, comparison TEXT NOT NULL, seen_at TEXT NOT NULL,
    PRIMARY KEY (network, digest));
