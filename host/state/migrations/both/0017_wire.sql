-- What a token is checked against over the wire: a verifier of SCRAM-SHA-256, never the token. '' for those made before.
ALTER TABLE api_tokens ADD COLUMN scram TEXT NOT NULL DEFAULT '';
