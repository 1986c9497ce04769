"""Asks Sail, an engine that understands Spark's SQL, as a cluster of two workers on this machine.

usage: sail.py ROUNDS, with {name: SQL, …} on standard input; prints
{"workers": n, "answers": {name: {"seconds": [of each round], "rows": "CSV without a header"}}}

Tables are named by their place: delta.`s3://bucket/folder`. The AWS_* variables say where the store is.
"""

import csv
import io
import json
import os
import sys
import time
from decimal import Decimal

# Sail reads them when it is loaded.
os.environ["SAIL_MODE"] = "local-cluster"
os.environ["SAIL_CLUSTER__WORKER_INITIAL_COUNT"] = "2"
os.environ["SAIL_CLUSTER__WORKER_MAX_COUNT"] = "2"

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

# The types of other columns of these tables can't be sent to this client.
WORKERS = "SELECT CAST(worker_id AS BIGINT) AS id FROM system.cluster.workers WHERE status = 'RUNNING'"


def as_csv(rows):
    text = io.StringIO()
    plain = ([f"{value:f}" if isinstance(value, Decimal) else value for value in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows(plain)
    return text.getvalue()


def ask(spark, sql, rounds):
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        rows = spark.sql(sql).collect()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "rows": as_csv(rows)}


def main():
    rounds, questions = int(sys.argv[1]), json.load(sys.stdin)
    server = SparkConnectServer()
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    answers = {name: ask(spark, sql, rounds) for name, sql in questions.items()}
    workers = len(spark.sql(WORKERS).collect())
    spark.stop()
    server.stop()
    print(json.dumps({"workers": workers, "answers": answers}))


main()
