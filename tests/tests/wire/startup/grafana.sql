SELECT 1;

SELECT current_setting('server_version_num')::int/100 as version;

-- tables of unified
SELECT CASE WHEN quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
      string_to_array(current_setting('search_path'),',') s
  ) THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
FROM information_schema.tables
WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental')
ORDER BY CASE WHEN quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
      string_to_array(current_setting('search_path'),',') s
  ) THEN 0 ELSE 1 END, 1;

-- columns of unified
SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
WHERE CASE WHEN array_length(parse_ident('unified.transactions'),1) = 2
  THEN quote_ident(table_schema) = (parse_ident('unified.transactions'))[1] AND quote_ident(table_name) = (parse_ident('unified.transactions'))[2]
  ELSE quote_ident(table_name) = 'unified.transactions' AND quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
      string_to_array(current_setting('search_path'),',') s
  ) END;

SELECT extversion FROM pg_extension WHERE extname = 'timescaledb';

SELECT floor(extract(epoch from transacted_at)/86400)*86400 AS "time", sum(commission_effective) AS "value"
FROM unified.live_transactions WHERE transacted_at BETWEEN '2025-11-01T00:00:00Z' AND '2025-11-30T00:00:00Z' GROUP BY 1 ORDER BY 1;
