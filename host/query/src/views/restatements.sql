-- What was observed after `$from` and by `$to`, each transaction's state at the one against that at the other.
-- Commission is what counts: nothing when declined or gone. What moved to another currency is two rows: it goes
-- from the one and comes to the other. Amounts in no ISO 4217 currency (points) are 0.
WITH arrived AS (
    SELECT network, transaction_key, count(*) AS versions, max(version) AS version,
           string_agg(DISTINCT change, ', ' ORDER BY change) AS cause
    FROM unified.transaction_versions
    WHERE observed_at > $from AND observed_at <= $to
    GROUP BY network, transaction_key
),
known AS (
    SELECT v.network, v.transaction_key, max(v.version) AS version
    FROM unified.transaction_versions v
    JOIN arrived ON arrived.network = v.network AND arrived.transaction_key = v.transaction_key
    WHERE v.observed_at <= $from
    GROUP BY v.network, v.transaction_key
),
compared AS (
    SELECT later.transaction_key, later.network, later.account, later.stream, later.transaction_id,
           later.advertiser_id, later.advertiser_name, later.kind, later.transacted_at, later.transaction_day,
           arrived.cause, arrived.versions, prior.version AS version_before, later.version AS version_after,
           later.observed_at,
           prior.validation_status AS validation_before, later.validation_status AS validation_after,
           prior.payment_status AS payment_before, later.payment_status AS payment_after,
           prior.sale_currency AS sale_currency_before, later.sale_currency AS sale_currency_after,
           CASE WHEN is_live(prior.content_hash) AND (prior.sale_currency IS NOT NULL OR prior.sale_currency_raw IS NULL)
                THEN prior.sale_amount ELSE 0 END AS sale_before,
           CASE WHEN is_live(later.content_hash) AND (later.sale_currency IS NOT NULL OR later.sale_currency_raw IS NULL)
                THEN later.sale_amount ELSE 0 END AS sale_after,
           prior.commission_currency AS commission_currency_before,
           later.commission_currency AS commission_currency_after,
           CASE WHEN is_live(prior.content_hash) THEN prior.commission_effective ELSE 0 END AS commission_before,
           CASE WHEN is_live(later.content_hash) THEN later.commission_effective ELSE 0 END AS commission_after,
           prior.version IS NOT NULL AND prior.sale_currency IS DISTINCT FROM later.sale_currency AS sale_moved,
           prior.version IS NOT NULL AND prior.commission_currency IS DISTINCT FROM later.commission_currency
               AS commission_moved
    FROM arrived
    JOIN unified.transaction_versions later
      ON later.network = arrived.network AND later.transaction_key = arrived.transaction_key
     AND later.version = arrived.version
    LEFT JOIN known ON known.network = later.network AND known.transaction_key = later.transaction_key
    LEFT JOIN unified.transaction_versions prior
      ON prior.network = later.network AND prior.transaction_key = later.transaction_key
     AND prior.version = known.version
    WHERE known.version IS NULL OR known.version < arrived.version
),
parts AS (
    SELECT compared.*,
           side.leaves AND sale_moved AS sale_leaves, NOT side.leaves AND sale_moved AS sale_comes,
           side.leaves AND commission_moved AS commission_leaves,
           NOT side.leaves AND commission_moved AS commission_comes,
           side.leaves
    FROM compared
    JOIN (VALUES (false), (true)) AS side (leaves) ON NOT side.leaves OR sale_moved OR commission_moved
),
amounts AS (
    SELECT parts.*,
           CASE WHEN sale_leaves THEN sale_currency_before ELSE sale_currency_after END AS sale_currency,
           CASE WHEN sale_comes OR leaves AND NOT sale_moved THEN NULL ELSE sale_before END AS sale_old,
           CASE WHEN leaves THEN NULL ELSE sale_after END AS sale_new,
           CASE WHEN commission_leaves THEN commission_currency_before ELSE commission_currency_after END
               AS commission_currency,
           CASE WHEN commission_comes OR leaves AND NOT commission_moved THEN NULL ELSE commission_before END
               AS commission_old,
           CASE WHEN leaves THEN NULL ELSE commission_after END AS commission_new
    FROM parts
)
SELECT transaction_key, network, account, stream, transaction_id, advertiser_id, advertiser_name, kind,
       transacted_at, transaction_day, cause, versions, version_before, version_after, observed_at,
       validation_before, validation_after, payment_before, payment_after,
       sale_currency, sale_old AS sale_before, sale_new AS sale_after,
       coalesce(sale_new, 0) - coalesce(sale_old, 0) AS sale_difference,
       commission_currency, commission_old AS commission_before, commission_new AS commission_after,
       coalesce(commission_new, 0) - coalesce(commission_old, 0) AS commission_difference
FROM amounts
