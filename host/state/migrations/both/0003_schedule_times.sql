-- When the schedule's entries last happened. entry: 'start', the start of the network's last scheduled run; 'maintenance'
-- of the network ''; or what a look-back rule says, like '3600s/3d/modified'. What was kept under a rule's place in the
-- list may belong to another rule by now: those rules are due.
CREATE TABLE schedule_times (
    network TEXT NOT NULL, entry TEXT NOT NULL, happened_at TEXT NOT NULL, PRIMARY KEY (network, entry));
INSERT INTO schedule_times (network, entry, happened_at)
    SELECT network, 'start', looked_at FROM looks WHERE rule = -1;
INSERT INTO schedule_times (network, entry, happened_at)
    SELECT '', 'maintenance', looked_at FROM looks WHERE network = '(upkeep)' AND rule = 0;
DROP TABLE looks;
