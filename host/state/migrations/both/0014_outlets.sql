-- How far other systems have got the lake's changes. outlet: `feed/<receiver>` or `publish/<database>`. cursor: where a feed goes
-- on; empty for its beginning. attempts: since the last success. due_at: nobody tries before, milliseconds since 1970.
CREATE TABLE outlets (
    outlet TEXT NOT NULL PRIMARY KEY, cursor TEXT, attempts BIGINT NOT NULL, due_at BIGINT NOT NULL);
