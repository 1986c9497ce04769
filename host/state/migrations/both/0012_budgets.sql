-- How many requests of a credential processes were lately allowed to send: [milliseconds since 1970, requests] as a JSON list,
-- oldest first. credential: its network and some bits of a digest. paused_until: until when the network wants no request.
CREATE TABLE budgets (
    credential TEXT NOT NULL PRIMARY KEY, grants TEXT NOT NULL, paused_until BIGINT NOT NULL);
