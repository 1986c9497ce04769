-- What an operator has paused: a network, under an empty account, or one account of it.
CREATE TABLE pauses (
    network TEXT NOT NULL, account TEXT NOT NULL, paused_at TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (network, account));
-- Backfills that aren't over: what was asked for, and up to where it was read.
CREATE TABLE backfills (
    network TEXT NOT NULL, selection TEXT NOT NULL, read_until TEXT NOT NULL, PRIMARY KEY (network, selection));
