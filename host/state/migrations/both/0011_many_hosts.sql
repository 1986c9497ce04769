-- A lease is a process's now, and not a network's: 'process/1', 'process/2', … `lapsed`: above the epoch of its last holder that
-- lost it, 0 if none did. Interrupted runs are resumed.
DELETE FROM leases;
ALTER TABLE leases ADD COLUMN lapsed BIGINT NOT NULL DEFAULT 0;
-- What a process has claimed under its lease: accounts of a network by their ids, as a JSON list; all of it if there are none.
-- A claim is valid as long as its lease is held and has this epoch.
CREATE TABLE claims (
    claim_id TEXT NOT NULL PRIMARY KEY, network TEXT NOT NULL, accounts TEXT NOT NULL, lease TEXT NOT NULL,
    epoch BIGINT NOT NULL, since BIGINT NOT NULL);
CREATE INDEX claims_by_network ON claims (network);
-- Runs are a queue: one with `starts` 0 waits to be begun. `entry`: the entry of schedule_times that it is a part of, '' if
-- an operator began it. `priority`: the smaller one comes first.
ALTER TABLE runs ADD COLUMN entry TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
-- The look-back rules, as entries of schedule_times, that count as read once all runs of their entry are done.
CREATE TABLE rounds (
    network TEXT NOT NULL, entry TEXT NOT NULL, rule TEXT NOT NULL, began_at TEXT NOT NULL,
    PRIMARY KEY (network, entry, rule));
