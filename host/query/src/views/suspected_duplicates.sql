-- Sales and leads that may be one: reported under several transaction ids and several orders, though the account, the
-- advertiser, the sub-ids or the click, the amounts and the second are the same. Some advertisers send a sale at once
-- and again in a batch. Items of one order aren't suspected of each other. `duplicate_of` is the least of the ids.
-- Only rows that share account and second with another one are compared: the rest is never held in memory.
WITH seconds AS (
    SELECT network, account, transacted_at
    FROM unified.live_transactions
    WHERE kind IN ('sale', 'lead') AND commission_effective > 0
    GROUP BY network, account, transacted_at
    HAVING count(*) > 1
),
candidates AS (
    SELECT *, map_values(sub_ids) AS sub_id_values, coalesce(order_id, transaction_id) AS order_or_id
    FROM unified.live_transactions JOIN seconds USING (network, account, transacted_at)
    WHERE kind IN ('sale', 'lead') AND commission_effective > 0 AND (sub_ids IS NOT NULL OR click_id IS NOT NULL)
),
grouped AS (
    SELECT *,
           count(*) OVER same AS copies,
           min(transaction_id) OVER same AS duplicate_of,
           min(order_or_id) OVER same AS first_order,
           max(order_or_id) OVER same AS last_order
    FROM candidates
    WINDOW same AS (
        PARTITION BY network, account, advertiser_id, sub_id_values, click_id, sale_amount, sale_currency,
                     commission_amount, commission_currency, transacted_at
    )
)
SELECT network, account, advertiser_id, advertiser_name, duplicate_of, transaction_id, transaction_key, order_id,
       sub_ids, click_id, kind, sale_amount, sale_currency, commission_amount, commission_effective,
       commission_currency, transacted_at, observed_at, run_id, copies
FROM grouped
WHERE first_order <> last_order
