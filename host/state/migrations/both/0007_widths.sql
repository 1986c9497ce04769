-- How wide a window of a stream of an account may be, in seconds: wider ones had to be halved, at the moment `set_at`.
CREATE TABLE widths (
    network TEXT NOT NULL, account TEXT NOT NULL, stream TEXT NOT NULL, axis TEXT NOT NULL, secs BIGINT NOT NULL,
    set_at TEXT NOT NULL, PRIMARY KEY (network, account, stream, axis));
