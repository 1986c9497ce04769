-- The latest version of each transaction that is there: neither gone from the network nor removed by a replay.
SELECT * FROM unified.transactions WHERE is_live(content_hash)
