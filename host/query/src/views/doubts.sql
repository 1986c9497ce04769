-- Slices whose answers were doubted, each with what was last decided of it.
SELECT doubt_id, network, account, stream, axis, since, until, run_id, kind, field, reason, request_ids, records,
       money_in_tables, money_in_answer, connector_version, found_at, agrees_since, state, decided_at, decided_by, decision
FROM (
    SELECT *, row_number() OVER (PARTITION BY doubt_id ORDER BY decided_at DESC NULLS LAST) AS place
    FROM meta.doubt_events
)
WHERE place = 1
