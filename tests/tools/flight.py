"""Asks SQL by Flight SQL: flight.py CLIENT PORT USER, with PGPASSWORD and questions as JSON on standard input.

CLIENT is adbc-token (a bearer token), adbc-login (name and token), or flight: pyarrow's client, which sees headers, metadata and
tickets. A question is {"sql": …} with "values" and their "types", or one of "update", "objects", "schema", "info". Prints for
each what was found, each value as text, or {"code": …, "error": …}."""

import datetime
import decimal
import json
import os
import sys

MAKERS = {
    "text": str,
    "int": int,
    "decimal": decimal.Decimal,
    "date": datetime.date.fromisoformat,
    "moment": datetime.datetime.fromisoformat,
    "bool": bool,
}


def text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return str(value)


def rows(table):
    return [[text(value) for value in row.values()] for row in table.to_pylist()]


def given(question):
    pairs = zip(question.get("values", []), question.get("types", []), strict=True)
    return [None if value is None else MAKERS[kind](value) for value, kind in pairs]


def adbc_answer(connection, question):
    if "objects" in question:
        found = connection.adbc_get_objects(depth=question["objects"], db_schema_filter=question.get("filter"))
        return {"objects": found.read_all().to_pylist()}
    if "schema" in question:
        schema, table = question["schema"]
        found = connection.adbc_get_table_schema(table, db_schema_filter=schema)
        return {"columns": {field.name: str(field.type) for field in found}}
    if "info" in question:
        return {"info": connection.adbc_get_info(), "types": connection.adbc_get_table_types()}
    with connection.cursor() as cursor:
        if "update" in question:
            cursor.adbc_statement.set_sql_query(question["update"])
            return {"changed": cursor.adbc_statement.execute_update()}
        cursor.execute(question["sql"], given(question) or None)
        table = cursor.fetch_arrow_table()
        return {"rows": rows(table), "columns": {field.name: str(field.type) for field in table.schema}}


def adbc_answers(client, port, user, token, questions):
    from adbc_driver_flightsql import DatabaseOptions, dbapi

    if client == "adbc-login":
        options = {"username": user, "password": token}
    else:
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    found = []
    with dbapi.connect(f"grpc://127.0.0.1:{port}", db_kwargs=options, autocommit=True) as connection:
        for question in questions:
            try:
                found.append(adbc_answer(connection, question))
            except dbapi.Error as error:
                found.append({"code": error.status_code.name, "error": str(error)})
    return found


def field(number, value):
    """A field of protobuf that holds bytes."""
    size, length = b"", len(value)
    while True:
        length, low = length >> 7, length & 0x7F
        size += bytes([low | (0x80 if length else 0)])
        if not length:
            return bytes([number << 3 | 2]) + size + value


def command(name, *fields):
    url = f"type.googleapis.com/arrow.flight.protocol.sql.{name}".encode()
    return field(1, url) + field(2, b"".join(fields))


def flight_answers(port, user, token, questions):
    from pyarrow import ArrowException, flight

    headers = {}

    class Headers(flight.ClientMiddleware):
        def received_headers(self, received):
            headers.update(received)

    class HeadersFactory(flight.ClientMiddlewareFactory):
        def start_call(self, info):
            return Headers()

    found = []
    with flight.FlightClient(f"grpc://127.0.0.1:{port}", middleware=[HeadersFactory()]) as client:
        for question in questions:
            headers.clear()
            try:
                name, value = client.authenticate_basic_token(user, question.get("token", token))
                options = flight.FlightCallOptions(headers=[(name, value)])
                if "ticket" not in question:
                    query = command("CommandStatementQuery", field(1, question["sql"].encode()))
                    info = client.get_flight_info(flight.FlightDescriptor.for_command(query), options)
                    ticket = info.endpoints[0].ticket
                else:
                    ticket = flight.Ticket(bytes.fromhex(question["ticket"]))
                if question.get("only_ticket"):
                    found.append({"ticket": ticket.ticket.hex()})
                    continue
                reader = client.do_get(ticket, options)
                table = reader.read_all()
                found.append({"rows": rows(table), "warnings": headers.get("sluice-warnings", [])})
            except ArrowException as error:
                found.append({"code": type(error).__name__, "error": str(error)})
    return found


def main():
    client, port, user = sys.argv[1:]
    questions, token = json.load(sys.stdin), os.environ["PGPASSWORD"]
    try:
        if client == "flight":
            found = flight_answers(port, user, token, questions)
        else:
            found = adbc_answers(client, port, user, token, questions)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    json.dump(found, sys.stdout, default=text)


main()
