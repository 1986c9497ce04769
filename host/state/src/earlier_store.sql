-- What the release before migrations wrote (commit adff512): a row in each table of `0001_first_release.sql`.
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
