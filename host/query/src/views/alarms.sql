-- Alarms, each as it now stands.
SELECT alarm_id, rule, subject, network, account, stream, host, severity, state, summary, evidence, advice, opened_at,
       acknowledged_at, acknowledged_by, snoozed_until, resolved_at, noted_at
FROM (
    SELECT *, row_number() OVER (PARTITION BY alarm_id ORDER BY resolved_at DESC NULLS LAST, noted_at DESC) AS place
    FROM meta.alarm_events
)
WHERE place = 1
