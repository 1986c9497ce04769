"""Parses the statements of `sluice tables --ddl`, as sqlglot knows the engine's dialect; runs those of DuckDB.

usage: dialects.py ENGINE < the command's JSON; prints {"tables": [registered], "rows": {table: n, of DuckDB}}

What sqlglot takes for an unknown command isn't parsed. The few statements that it doesn't know are written out below, and of
each as much is parsed as can be: the rest is compared letter by letter.
"""

import json
import pathlib
import re
import sys

import sqlglot
from sqlglot import exp

DIALECTS = {"redshift-spectrum": "redshift"}


def parse(statement, dialect):
    parsed = sqlglot.parse(statement, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    if len(parsed) != 1 or isinstance(parsed[0], exp.Command):
        sys.exit(f"{dialect} can't parse: {statement}")
    return parsed[0]


def table(call):
    """Trino's CALL: a procedure, and its named arguments."""
    procedure = parse(f"SELECT {call}", "trino").find(exp.Anonymous, exp.Dot)
    if procedure is None or "register_table" not in procedure.sql():
        sys.exit(f"no procedure: {call}")
    arguments = dict(re.findall(r"(\w+) => '((?:[^']|'')*)'", call))
    if sorted(arguments) != ["schema_name", "table_location", "table_name"]:
        sys.exit(f"other arguments: {arguments}")
    return f"{arguments['schema_name']}.{arguments['table_name']}"


def registered(statement, dialect):
    """The table that a statement registers, if it does."""
    if dialect == "trino" and statement.startswith("CALL "):
        return table(statement.removeprefix("CALL "))
    if dialect == "bigquery" and statement.startswith("CREATE EXTERNAL TABLE "):
        clause = re.search(r" WITH CONNECTION (`[^`]+`)", statement)
        parse(f"SELECT 1 FROM {clause.group(1)}", dialect)
        statement = statement.replace(clause.group(0), "")
    known = {
        "duckdb": r"LOAD \w+|CREATE OR REPLACE SECRET sluice \(TYPE s3, PROVIDER credential_chain\)",
        "snowflake": r"CREATE CATALOG INTEGRATION IF NOT EXISTS \w+ CATALOG_SOURCE = OBJECT_STORE TABLE_FORMAT = DELTA ENABLED = TRUE",
        "redshift": r"CREATE EXTERNAL SCHEMA IF NOT EXISTS \"\w+\" FROM DATA CATALOG DATABASE '\w+' IAM_ROLE default CREATE EXTERNAL DATABASE IF NOT EXISTS",
    }
    if re.fullmatch(known.get(dialect, "(?!)"), statement):
        return None
    parsed = parse(statement, dialect)
    if not isinstance(parsed, exp.Create) or parsed.kind not in ("TABLE", "VIEW"):
        return None
    name = parsed.this.find(exp.Table)
    return f"{name.db}.{name.name}".lower()


def run(statements):
    """DuckDB: every statement but those that would fetch an extension, then the rows of each view."""
    import duckdb
    import duckdb_extension_delta

    folder = pathlib.Path(duckdb_extension_delta.__file__).parent
    extension = next(folder.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))
    connection = duckdb.connect()
    connection.load_extension(str(extension))
    for statement in statements:
        if statement.split()[0] not in ("INSTALL", "LOAD"):
            connection.execute(statement)
    views = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
    names = [name for (name,) in connection.execute(views).fetchall()]
    return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def main():
    engine = sys.argv[1]
    statements = json.load(sys.stdin)["statements"]
    dialect = DIALECTS.get(engine, engine)
    tables = [registered(statement, dialect) for statement in statements]
    is_run = engine == "duckdb" and not any("s3://" in statement for statement in statements)
    rows = run(statements) if is_run else {}
    print(json.dumps({"tables": sorted(name for name in tables if name), "rows": rows}))


main()
