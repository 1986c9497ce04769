"""Asks SQL over the wire by a driver of Python: drivers.py DRIVER HOST PORT USER, with PGPASSWORD and questions as JSON on
standard input: [{"sql": …, "values": […], "types": […]}, …]. Prints for each {"rows": [[…]], "kinds": […]}, each value as
text, or {"code": SQLSTATE, "error": …}; drivers have to keep every digit."""

import asyncio
import datetime
import decimal
import json
import os
import sys

UTC = datetime.timezone.utc


def given(question):
    """The values of a question, in the types of Python that its `types` name."""
    makers = {
        "text": str,
        "int": int,
        "decimal": decimal.Decimal,
        "date": datetime.date.fromisoformat,
        "moment": lambda text: datetime.datetime.fromisoformat(text),
        "bytes": bytes.fromhex,
        "bool": bool,
        "float": float,
        "texts": list,
        "ints": list,
    }
    pairs = zip(question.get("values", []), question.get("types", []), strict=True)
    return [None if value is None else makers[kind](value) for value, kind in pairs]


def text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=text, sort_keys=True)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return str(value)


def answer(rows):
    rows = [list(row) for row in rows]
    kinds = [type(value).__name__ for value in rows[0]] if rows else []
    return {"rows": [[text(value) for value in row] for row in rows], "kinds": kinds}


def psycopg_answers(host, port, user, questions, binary):
    import psycopg

    found = []
    with psycopg.connect(host=host, port=port, user=user, dbname="sluice") as connection:
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        for question in questions:
            notices.clear()
            numbered = question["sql"]
            for at in range(len(question.get("values", [])), 0, -1):
                numbered = numbered.replace(f"${at}", "%s")
            try:
                with connection.cursor(binary=binary) as cursor:
                    cursor.execute(numbered, given(question) or None, prepare=True if binary else None)
                    found.append(answer(cursor.fetchall()) | {"notices": list(notices)})
                connection.commit()
            except psycopg.Error as error:
                connection.rollback()
                found.append({"code": error.sqlstate, "error": str(error)})
    return found


async def asyncpg_answers(host, port, user, questions):
    import asyncpg

    found = []
    connection = await asyncpg.connect(host=host, port=port, user=user, database="sluice", ssl=False)
    notices = []
    connection.add_log_listener(lambda _, message: notices.append(message.message))
    for question in questions:
        notices.clear()
        try:
            found.append(answer(await connection.fetch(question["sql"], *given(question))) | {"notices": list(notices)})
        except asyncpg.PostgresError as error:
            found.append({"code": error.sqlstate, "error": str(error)})
        except asyncpg.InterfaceError as error:
            found.append({"code": None, "error": str(error)})
    # What a pool does with a connection that is given back.
    await connection.reset()
    # A cursor takes rows in portions.
    async with connection.transaction():
        taken = [row[0] async for row in connection.cursor("SELECT value FROM generate_series(1, 25)", prefetch=10)]
    assert taken == list(range(1, 26)), taken
    await connection.close()
    return found


def adbc_answers(host, port, user, questions):
    from adbc_driver_postgresql import dbapi

    found = []
    password = os.environ["PGPASSWORD"]
    with dbapi.connect(f"postgresql://{user}:{password}@{host}:{port}/sluice", autocommit=True) as connection:
        for question in questions:
            try:
                with connection.cursor() as cursor:
                    # Rows come by COPY otherwise, which there is none of.
                    cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
                    cursor.execute(question["sql"], given(question) or None)
                    found.append(answer(cursor.fetchall()))
            except Exception as error:
                found.append({"code": getattr(error, "sqlstate", None), "error": str(error)})
    return found


def main():
    driver, host, port, user = sys.argv[1:]
    questions = json.load(sys.stdin)
    try:
        if driver == "asyncpg":
            found = asyncio.run(asyncpg_answers(host, int(port), user, questions))
        elif driver == "adbc":
            found = adbc_answers(host, int(port), user, questions)
        else:
            found = psycopg_answers(host, int(port), user, questions, driver == "psycopg-binary")
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    json.dump(found, sys.stdout)


main()
