-- Accounts that a look-back rule was last read of at another time than `schedule_times` has it of the network: the round in which
-- it was read of the others failed for them. `entry` is the rule's in schedule_times; `read_at` is '' if it never was.
CREATE TABLE rule_reads (
    network TEXT NOT NULL, entry TEXT NOT NULL, account TEXT NOT NULL, read_at TEXT NOT NULL,
    PRIMARY KEY (network, entry, account));
-- When nothing of a budget counts any more, in milliseconds since 1970: those of credentials that aren't used are deleted. And when
-- it was used last, by the clock of then.
ALTER TABLE budgets ADD COLUMN ends_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE budgets ADD COLUMN noted_at BIGINT NOT NULL DEFAULT 0;
