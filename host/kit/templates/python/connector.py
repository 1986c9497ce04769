"""Brightlink, publisher side: sales by their date. `Connector` is the interface `connector` of `wit/connector.wit`:
pure functions, with WIT's kebab-case names in snake_case."""

from urllib.parse import quote

from wit_world import exports
from wit_world.imports.requests import Method, Op_Secret, Op_Text, Request, Slice
from wit_world.imports.responses import Judgement, Response, Retry, Verdict, Verdict_Done, Verdict_More, Verdict_Retry
from wit_world.imports.sluice_connector_columns_0_1_0 import TextColumn
from wit_world.imports.sluice_connector_columns_0_2_0 import Mapped
from wit_world.imports.sluice_connector_manifests_0_1_0 import (
    Axis,
    Format_Json,
    Grain,
    Kind,
    Layout,
    LookBack,
    Pin,
    Rate,
    SecretSlot,
    Setting,
    StatusWord,
)
from wit_world.imports.sluice_connector_manifests_0_2_0 import Manifest, Stream

from columns import read_texts
from mapping import DECIMALS, INPUTS, STATUSES, map_records
from values import format_time

HOST = "api.brightlink.example"
DAY_SECS = 86_400

SALES = Stream(
    name="sales",
    unified=True,
    axes=[Axis.TRANSACTION],
    complete_windows=[],
    max_window_secs=31 * DAY_SECS,
    history_days=None,
    grain=Grain.SECOND,
    timezone="UTC",
    layout=Layout(
        format=Format_Json("/sales"),
        pins=[Pin(path, Kind.DECIMAL) for path in DECIMALS],
        inputs=INPUTS,
        key=["id"],
    ),
)


class Connector(exports.Connector):
    def describe(self) -> Manifest:
        return Manifest(
            network="brightlink",
            title="Brightlink",
            version="0.1.0",
            hosts=[HOST],
            streams=[SALES],
            settings=[Setting("site", "the site's number", required=True, default=None)],
            secrets=[SecretSlot("token", "API token, from your profile's page", required=True)],
            tokens=[],
            rate=Rate(requests=60, per_secs=60, concurrency=2),
            schedule="0 * * * *",
            look_back=[
                LookBack(every_secs=3_600, days=3, axis=Axis.TRANSACTION),
                LookBack(every_secs=DAY_SECS, days=45, axis=Axis.TRANSACTION),
            ],
            statuses=[StatusWord(word, *meaning, locked=None) for word, meaning in STATUSES.items()],
        )

    def plan(self, slice: Slice) -> list[Request]:
        return [page(slice, 1)]

    def follow(self, slice: Slice, request: Request, response: Response) -> Judgement:
        if response.status in (401, 403):
            return retry(f"the network answers {response.status}")
        problem = response.problem if response.status == 200 else f"status {response.status}"
        if problem:
            return retry(problem)
        if response.body.value_at("/next_page") is None:
            return judged(Verdict_Done())
        return judged(Verdict_More([page(slice, int(request.state) + 1)]))

    def map_response(self, slice: Slice, request: Request, response: Response, records: list[TextColumn]) -> Mapped:
        return map_records([read_texts(column) for column in records])


def judged(verdict: Verdict) -> Judgement:
    return Judgement(verdict, cursor=None)


def retry(reason: str) -> Judgement:
    return judged(Verdict_Retry(Retry(reason, after_secs=None)))


def page(slice: Slice, number: int) -> Request:
    """The request of a page."""
    since, until = format_time(slice.window.since), format_time(slice.window.until)
    site = quote(dict(slice.settings).get("site", ""), safe="")
    return Request(
        key=f"page-{number}",
        method=Method.GET,
        url=[Op_Text(f"https://{HOST}/v1/sales?site={site}&from={since}&to={until}&page={number}")],
        # The host puts the secret in: the connector never sees it.
        headers=[("authorization", [Op_Text("Bearer "), Op_Secret("token")])],
        body=None,
        state=str(number),
        yields_records=True,
    )
