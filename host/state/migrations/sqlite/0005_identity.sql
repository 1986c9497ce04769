-- Which store this is. Epochs of leases can be compared within one store only, so the lake keeps them by its id.
CREATE TABLE identity (id TEXT NOT NULL PRIMARY KEY);
INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));
