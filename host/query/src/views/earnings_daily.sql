-- What was earned, by the day of the transaction, of its validation or of its payment. Ask for one basis:
-- each transaction is in all three that it has a day for. Networks that don't report when they decided or paid count
-- by the day on which that was first seen, if what was before it was seen too. What is in no ISO 4217 currency (points) is
-- left out: no sum of it means anything.
WITH seen AS (
    SELECT later.network, later.transaction_key,
           max(later.observed_at) FILTER (WHERE later.validation_status <> prior.validation_status) AS validated_at,
           max(later.observed_at) FILTER (WHERE later.payment_status <> prior.payment_status) AS paid_at
    FROM unified.transaction_versions later
    JOIN unified.transaction_versions prior
      ON prior.network = later.network AND prior.transaction_key = later.transaction_key
     AND prior.version = later.version - 1
    WHERE later.version > 1
    GROUP BY later.network, later.transaction_key
),
earned AS (
    SELECT * FROM unified.live_transactions
    WHERE (sale_currency IS NOT NULL OR sale_currency_raw IS NULL)
      AND (commission_currency IS NOT NULL OR commission_currency_raw IS NULL)
),
dated AS (
    SELECT 'transaction' AS basis, t.transaction_day AS day, t.*
    FROM earned t
    UNION ALL
    SELECT 'validation', local_day(coalesce(t.validated_at, seen.validated_at), t.network_timezone), t.*
    FROM earned t
    LEFT JOIN seen ON seen.network = t.network AND seen.transaction_key = t.transaction_key
    WHERE t.validated_at IS NOT NULL
       OR seen.validated_at IS NOT NULL AND t.validation_status IN ('approved', 'declined')
    UNION ALL
    SELECT 'payment', local_day(coalesce(t.paid_at, seen.paid_at), t.network_timezone), t.*
    FROM earned t
    LEFT JOIN seen ON seen.network = t.network AND seen.transaction_key = t.transaction_key
    WHERE t.paid_at IS NOT NULL OR seen.paid_at IS NOT NULL AND t.payment_status = 'paid'
)
SELECT basis, day, network, account, advertiser_id, advertiser_name, sale_currency, commission_currency,
       validation_status, payment_status, kind,
       count(*) AS transactions,
       sum(sale_amount) AS sale_amount,
       sum(commission_amount) AS commission_amount,
       sum(commission_effective) AS commission_effective
FROM dated
GROUP BY basis, day, network, account, advertiser_id, advertiser_name, sale_currency, commission_currency,
         validation_status, payment_status, kind
