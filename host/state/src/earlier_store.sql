-- What the release before migrations made (commit adff512), with a row in each table.
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
INSERT INTO looks VALUES
    ('awin', -1, '2026-01-05T10:00:00+00:00'), ('awin', 0, '2026-01-05T10:00:00+00:00'),
    ('awin', 1, '2026-01-05T00:00:00+00:00'), ('(upkeep)', 0, '2026-01-05T03:00:00+00:00');
INSERT INTO cursors VALUES ('awin', 'uk', 'transactions', 'modified', 'c-17');
INSERT INTO runs VALUES (
    '0199f3a0-0000-7000-8000-000000000001', 'awin', '"run"',
    '{"account":null,"stream":null,"axis":null,"since":null,"until":null,"rules":[0,1]}',
    '[{"network":"awin","account":"uk","stream":"transactions","settings":[["publisher_id","123456"]],"window":{"since":"2026-01-02T10:00:00Z","until":"2026-01-05T10:00:00Z"},"timezone":"UTC","axis":"transaction","cursor":null}]',
    'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', '2026-01-05T10:00:00+00:00', 1, 0);
INSERT INTO tokens VALUES ('awin', 'uk', 'session', 3, 'v1.sealed');
INSERT INTO services VALUES ('s', '2026-01-05T10:00:00+00:00', '{}');
INSERT INTO active_connectors VALUES (
    'awin', 'awin.wasm', 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', '1.2.0', '',
    '2026-01-01T00:00:00+00:00');
INSERT INTO connector_words VALUES (
    'awin', 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', 'approve', '2026-01-01T00:00:00+00:00');
INSERT INTO connector_candidates VALUES (
    'awin', 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', '1.2.0', 'serving', '', '', '', '',
    '2026-01-01T00:00:00+00:00');
