-- What was approved or is payable and wasn't paid yet, oldest debts with the highest age. What is in no ISO 4217 currency
-- (points) is left out.
SELECT network, account, stream, transaction_key, transaction_id, advertiser_id, advertiser_name, order_id, kind,
       transacted_at, transaction_day, validated_at, payable_at,
       validation_status, payment_status,
       sale_amount, sale_currency, commission_amount, commission_effective, commission_currency,
       CAST(local_day(now(), network_timezone) AS INT) - CAST(transaction_day AS INT) AS age_days,
       CAST(local_day(now(), network_timezone) AS INT)
           - CAST(local_day(payable_at, network_timezone) AS INT) AS overdue_days
FROM unified.live_transactions
WHERE (validation_status = 'approved' OR payment_status = 'payable')
  AND validation_status <> 'declined'
  AND payment_status NOT IN ('paid', 'clawed-back')
  AND (commission_currency IS NOT NULL OR commission_currency_raw IS NULL)
