"""Counts the rows of a Delta table and sums its decimal columns, as somebody else's software reads it.

usage: readers.py duckdb|polars|deltalake TABLE [COLUMN …]; prints {"rows": n, "sums": {column: "exact text"}}
"""

import json
import pathlib
import sys
from decimal import Decimal


def with_duckdb(table, columns):
    import duckdb
    import duckdb_extension_delta

    # The package brings the extension's file; nothing is fetched.
    folder = pathlib.Path(duckdb_extension_delta.__file__).parent
    extension = next(folder.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))
    connection = duckdb.connect()
    connection.load_extension(str(extension))
    sums = "".join(f', sum("{column}")' for column in columns)
    return connection.execute(f"SELECT count(*){sums} FROM delta_scan(?)", [table]).fetchone()


def with_polars(table, columns):
    import polars

    frame = polars.scan_delta(table)
    sums = [polars.col(column).sum() for column in columns]
    return frame.select(polars.len().alias("__rows"), *sums).collect().row(0)


def with_deltalake(table, columns):
    from deltalake import DeltaTable, QueryBuilder

    sums = "".join(f', sum("{column}")' for column in columns)
    answer = QueryBuilder().register("t", DeltaTable(table)).execute(f"SELECT count(*){sums} FROM t")
    batch = answer.read_all()
    return [column[0].as_py() for column in batch.columns]


READERS = {"duckdb": with_duckdb, "polars": with_polars, "deltalake": with_deltalake}


def main():
    reader, table, *columns = sys.argv[1:]
    rows, *sums = READERS[reader](table, columns)
    for column, total in zip(columns, sums):
        if not isinstance(total, Decimal):
            sys.exit(f"column {column} is no decimal for {reader} but {type(total).__name__}")
    print(json.dumps({"rows": rows, "sums": {c: f"{s:f}" for c, s in zip(columns, sums)}}))


main()
