"""Asks DuckDB a question several times.

usage: questions.py SQL ROUNDS; prints {"seconds": [of each round], "rows": [each row as CSV]}
"""

import json
import os
import pathlib
import sys
import time

import duckdb
import duckdb_extension_delta


def main():
    sql, rounds = sys.argv[1], int(sys.argv[2])
    folder = pathlib.Path(duckdb_extension_delta.__file__).parent
    extension = next(folder.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))
    connection = duckdb.connect()
    connection.load_extension(str(extension))
    connection.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        rows = connection.execute(sql).fetchall()
        seconds.append(time.perf_counter() - start)
    text = [",".join("" if value is None else str(value) for value in row) for row in rows]
    print(json.dumps({"seconds": seconds, "rows": text}))


main()
