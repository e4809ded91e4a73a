"""Results over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from autoresearch.errors import HubError
from autoresearch.hub.limits import Limits
from autoresearch.hub.server.context import Call, answer
from autoresearch.hub.server.operation import Operation, Schema
from autoresearch.hub.server.schemas import NUMBER, PAGE, TEXT, TIME, array, nullable, record
from autoresearch.hub.store import reports, results
from autoresearch.hub.store.measurement import METRIC, Measurement
from autoresearch.ledger import clean
from autoresearch.records import COLUMNS, Status


async def submit_result(call: Call) -> Response:
    hub, claim = call.hub, call.body.get("claim")
    if claim is not None and (not isinstance(claim, str | int) or isinstance(claim, bool)):
        raise HubError(400, "claim must be the number or the key of a claim")
    report = reports.Report(call.agent, Measurement.from_body(call.body), str(claim or ""))
    with hub.db.transaction():
        stored, is_new = reports.submit(hub.db, hub.limits, report, hub.now)
    hub.bell.ring()
    return answer({**stored, "note": note(stored, hub.limits)}, 201 if is_new else 200)


def note(stored: dict[str, Any], limits: Limits) -> str:
    """What its agent should know of a result; empty where it simply counts."""
    if stored["quarantine"]:
        return f"stored, but not believed: {stored['quarantine']}"
    if not stored["counted"]:
        return (
            f"stored, but not counted: {limits.replicates} runs of this train.py by {stored['agent_id']} are there "
            f"already; claim replicate:{stored['commit'][:7]} before the next"
        )
    return ""


def which(call: Call) -> results.Filter:
    """The filter that the query asks for.

    Raises:
        HubError: 400 for an unknown status.
    """
    status = call.query("status")
    if status and status not in list(Status):
        raise HubError(400, f"status must be one of {', '.join(Status)} but got {status!r:.80}")
    return results.Filter(
        platform=call.query("platform"), agent=call.query("agent"), status=status, metric=call.query("metric"),
        since=call.number("since", 0), words=call.query("q"),
    )  # fmt: skip


async def list_results(call: Call) -> Response:
    limit, offset = call.page()
    wanted, hub = which(call), call.hub
    if wanted.words:
        rows, total = await hub.read(results.results, wanted, limit, offset)
    else:
        rows, total = results.results(hub.db, wanted, limit, offset)
    return call.listed(rows, total, limit, offset)


async def show_result(call: Call) -> Response:
    return answer(results.result(call.hub.db, call.serial("id", "invalid result id")))


async def export_results(call: Call) -> Response:
    """The table of the ledger, a page at a time, so that others are served in between."""
    hub, wanted = call.hub, which(call)

    async def lines() -> AsyncIterator[str]:
        yield "\t".join(COLUMNS) + "\n"
        for page in results.pages(hub.db, wanted):
            yield "".join(map(table_row, page))
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/tab-separated-values")


def table_row(result: dict[str, Any]) -> str:
    """A result as results.tsv has it; the zeros of a crash are the custom of the field."""
    doubt = f"; not believed: {result['quarantine']}" if result["quarantine"] else ""
    cells = {
        "commit": result["commit"][:7],
        "val_bpb": f"{result['value'] or 0:.6f}",
        "memory_gb": f"{result['vram_gb'] or 0:.1f}",
        "status": result["status"],
        "description": result["description"],
        "reasoning": f"by {result['agent_id']} on {result['platform']}{doubt}",
    }
    return "\t".join(clean(cells[name]) for name in COLUMNS) + "\n"


COUNT: Schema = {**NUMBER, "minimum": 0}
AMOUNT: Schema = {"type": "number", "minimum": 0}
REAL: Schema = {"type": "number"}
NAME: Schema = {**TEXT, "maxLength": 128}
RESULT = record(
    id=NUMBER, agent_id=TEXT, commit=TEXT, train_blob=nullable(TEXT), platform=TEXT, metric=TEXT, value=nullable(REAL),
    status={"enum": list(Status)}, vram_gb=nullable(AMOUNT), seconds=nullable(AMOUNT), steps=nullable(COUNT),
    tokens_m=nullable(AMOUNT), seed=nullable(NUMBER), description=TEXT, regime=TEXT, source={"enum": ["api", "post"]},
    post_id=nullable(NUMBER), quarantine={**TEXT, "description": "why it is not believed; empty when it is"},
    counted={"type": "boolean", "description": "false where it is not believed or spare"}, created_at=TIME,
)  # fmt: skip
ASKED = record(
    ("metric", "value", "status", "vram_gb", "seconds", "steps", "tokens_m", "seed", "description", "regime",
     "idempotency_key", "claim"),
    commit={**TEXT, "pattern": "^[0-9a-fA-F]{7,64}$"}, platform=NAME, metric=nullable({**NAME, "default": METRIC}),
    value=nullable(REAL), status=nullable({"enum": list(Status)}), vram_gb=nullable(AMOUNT),
    seconds=nullable(AMOUNT), steps=nullable(COUNT), tokens_m=nullable(AMOUNT), seed=nullable(NUMBER),
    description=nullable({**TEXT, "maxLength": 2000}), regime=nullable(NAME), idempotency_key=nullable(NAME),
    claim=nullable({"type": ["string", "integer"], "description": "number or key of the claim that it settles"}),
)  # fmt: skip
FILTERS: dict[str, Schema] = {
    "platform": TEXT, "agent": TEXT, "status": {"enum": list(Status)}, "metric": TEXT, "q": TEXT,
    "since": {**COUNT, "description": "only results with a higher number"},
}  # fmt: skip
BAD_STATUS = {400: "an unknown status"}

OPERATIONS = [
    Operation(
        "POST", "/api/results", submit_result, "Report what was measured; `note` says whether it counts",
        {200: record(note=TEXT, **RESULT["properties"]), 201: record(note=TEXT, **RESULT["properties"]),
         400: "what must hold", 409: "another result under this idempotency_key", 429: "too many results"},
        body=ASKED,
        detail="The same request under the same idempotency_key answers 200 with the result that it made. A result "
        "that a line of a post in #results told already is completed, not doubled.",
    ),
    Operation(
        "GET", "/api/results", list_results, "List results, newest first", {200: array(RESULT), **BAD_STATUS},
        query={**FILTERS, **PAGE},
    ),
    Operation(
        "GET", "/api/results.tsv", export_results, "Export results in the columns of results.tsv, oldest first",
        {200: "text/tab-separated-values", **BAD_STATUS}, query=FILTERS,
    ),
    Operation(
        "GET", "/api/results/{id}", show_result, "Show a result",
        {200: RESULT, 400: "invalid result id", 404: "result not found"}, path_schemas={"id": NUMBER},
    ),
]  # fmt: skip
