-- Sales and leads that may be one: reported to several accounts under one transaction id, with the same amounts and the
-- same second, as a network does that gives each account the list of all; or under several ids, though the account, the
-- advertiser, the SKU, the amounts and the second are the same, and
-- - the sub-ids or the click, with several orders: some advertisers send a sale at once and again in a batch; or
-- - the order. Two pieces of one article may look so too, and are for people to decide.
-- Articles of one order that differ aren't suspected of each other, nor are the items that a network lists under one
-- conversion, nor those of one order without an SKU, nor equal rows to which it gives no id. Where only one of the rows
-- names its SKU, the others may be of it.
-- `duplicate_of` is the least of the ids, `duplicate_account` the first of the accounts. Only rows that share network and
-- second with another one are compared: the rest is never held in memory.
WITH seconds AS (
    SELECT network, transacted_at
    FROM unified.live_transactions
    WHERE kind IN ('sale', 'lead') AND commission_effective > 0
    GROUP BY network, transacted_at
    HAVING count(*) > 1
),
candidates AS (
    SELECT *, map_values(sub_ids) AS sub_id_values, coalesce(order_id, group_key, transaction_id) AS order_or_id,
           coalesce(sku, CASE WHEN min(sku) OVER alike = max(sku) OVER alike THEN min(sku) OVER alike END) AS article
    FROM unified.live_transactions JOIN seconds USING (network, transacted_at)
    WHERE kind IN ('sale', 'lead') AND commission_effective > 0
    WINDOW alike AS (
        PARTITION BY network, account, advertiser_id, sale_amount, sale_currency, commission_amount,
                     commission_currency, transacted_at
    )
),
conversions AS (
    SELECT *,
           CASE WHEN id_basis = 'row-hash' OR (group_key = order_id AND article IS NULL) THEN NULL
                WHEN group_key <> order_id THEN group_key
                ELSE transaction_id
           END AS conversion
    FROM candidates
),
grouped AS (
    SELECT *,
           (sub_ids IS NOT NULL OR click_id IS NOT NULL)
               AND min(order_or_id) OVER by_sub_id <> max(order_or_id) OVER by_sub_id AS is_by_sub_id,
           order_id IS NOT NULL
               AND coalesce(min(conversion) OVER by_order <> max(conversion) OVER by_order, false) AS is_by_order,
           id_basis <> 'row-hash' AND min(account) OVER by_id <> max(account) OVER by_id AS is_by_id,
           min(account) OVER by_id AS first_account,
           count(*) OVER by_id AS copies_by_id,
           count(*) OVER by_sub_id AS copies_by_sub_id,
           count(*) OVER by_order AS copies_by_order,
           min(transaction_id) OVER by_sub_id AS least_by_sub_id,
           min(transaction_id) OVER by_order AS least_by_order
    FROM conversions
    WINDOW by_sub_id AS (
               PARTITION BY network, account, advertiser_id, article, sale_amount, sale_currency, commission_amount,
                            commission_currency, transacted_at, sub_id_values, click_id
           ),
           by_order AS (
               PARTITION BY network, account, advertiser_id, article, sale_amount, sale_currency, commission_amount,
                            commission_currency, transacted_at, order_id
           ),
           by_id AS (
               PARTITION BY network, transaction_id, sale_amount, sale_currency, commission_amount, commission_currency,
                            transacted_at
           )
)
SELECT network, account, advertiser_id, advertiser_name,
       CASE WHEN is_by_id THEN transaction_id
            WHEN is_by_sub_id AND (NOT is_by_order OR least_by_sub_id < least_by_order) THEN least_by_sub_id
            ELSE least_by_order
       END AS duplicate_of,
       CASE WHEN is_by_id THEN first_account ELSE account END AS duplicate_account,
       transaction_id, transaction_key, order_id, sku, sub_ids, click_id, kind, sale_amount, sale_currency,
       commission_amount, commission_effective, commission_currency, transacted_at, observed_at, run_id,
       CASE WHEN is_by_id THEN copies_by_id
            WHEN is_by_sub_id AND (NOT is_by_order OR copies_by_sub_id > copies_by_order) THEN copies_by_sub_id
            ELSE copies_by_order
       END AS copies
FROM grouped
WHERE is_by_sub_id OR is_by_order OR is_by_id
