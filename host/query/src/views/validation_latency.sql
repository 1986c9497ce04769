-- Days from a transaction to the advertiser's decision, as calendar days of the network's zone. `network` rows go by
-- the network's own date, `observed` ones by when a decision was first seen after a version without one: what was
-- already decided when it was first read has no date.
WITH seen AS (
    SELECT later.network, later.transaction_key, min(later.observed_at) AS validated_at
    FROM unified.transaction_versions later
    JOIN unified.transaction_versions prior
      ON prior.network = later.network AND prior.transaction_key = later.transaction_key
     AND prior.version = later.version - 1
    WHERE later.version > 1
      AND later.validation_status IN ('approved', 'declined')
      AND prior.validation_status NOT IN ('approved', 'declined')
    GROUP BY later.network, later.transaction_key
),
decided AS (
    SELECT t.network, t.account, t.advertiser_id, t.advertiser_name,
           CASE WHEN t.validated_at IS NULL THEN 'observed' ELSE 'network' END AS basis,
           CAST(local_day(coalesce(t.validated_at, seen.validated_at), t.network_timezone) AS INT)
               - CAST(t.transaction_day AS INT) AS days
    FROM unified.live_transactions t
    LEFT JOIN seen ON seen.network = t.network AND seen.transaction_key = t.transaction_key
    WHERE t.validation_status IN ('approved', 'declined')
      AND coalesce(t.validated_at, seen.validated_at) IS NOT NULL
      AND t.kind NOT IN ('adjustment', 'event')
)
SELECT network, account, advertiser_id, advertiser_name, basis,
       count(*) AS transactions,
       min(days) AS days_min,
       percentile_cont(CAST(days AS DOUBLE), 0.5) AS days_median,
       percentile_cont(CAST(days AS DOUBLE), 0.9) AS days_p90,
       max(days) AS days_max
FROM decided
GROUP BY network, account, advertiser_id, advertiser_name, basis
