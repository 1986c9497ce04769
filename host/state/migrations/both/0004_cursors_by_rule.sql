-- A cursor belongs to the look-back rule whose slice gave it. Earlier cursors were saved before what they stand for was
-- committed, and nothing tells which rule they belong to: without them the next slice is read from its start.
DROP TABLE cursors;
CREATE TABLE cursors (
    network TEXT NOT NULL, account TEXT NOT NULL, stream TEXT NOT NULL, axis TEXT NOT NULL, rule TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (network, account, stream, axis, rule));
