"""Commits over HTTP: pushed and fetched as bundles, listed, compared, read."""

import re
import tempfile
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from autoresearch.errors import GitFailed, HubError
from autoresearch.hub import ingest
from autoresearch.hub.folder import INCOMING
from autoresearch.hub.server.context import Call, answer
from autoresearch.hub.server.fetches import Sent
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import COMMIT, HASH, LIMIT, NUMBER, PAGE, TEXT, array, nullable, record
from autoresearch.hub.store import acts, commits

ODD = re.compile(r"[\x00-\x1f\x7f]")
PATH_BYTES = 4096
PLAIN = "text/plain; charset=utf-8"
SAFE = {"X-Content-Type-Options": "nosniff"}
BUNDLE = "application/octet-stream"


async def push(call: Call) -> Response:
    announced = call.request.headers.get("content-length", "")
    size = int(announced[:20]) if announced.isdecimal() else 0
    return answer({"hashes": await ingest.push(call.hub, call.agent, parts_of(call.request), size)}, 201)


async def parts_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Raises:
        HubError: 400 where it does not arrive to its end.
    """
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect as error:
        raise HubError(400, "the body was cut off") from error


async def fetch(call: Call) -> Response:
    hub, name = call.hub, commits.resolve(call.hub.db, call.path("hash"))
    file = tempfile.TemporaryFile(dir=hub.folder / INCOMING)  # noqa: SIM115  # closed once it is sent
    try:
        async with hub.fetches.turn():
            await hub.work(hub.bare.bundle, name, file)
    except GitFailed as error:
        file.close()
        raise HubError(413, "the history is too large to be sent at once") from error
    except BaseException:
        file.close()
        raise
    headers = {"Content-Disposition": f'attachment; filename="{name}.bundle"', **SAFE}
    return Sent(hub.fetches, file, headers, BUNDLE)


async def list_commits(call: Call) -> Response:
    limit, offset = call.page()
    rows, total = commits.listed(call.hub.db, call.query("agent"), limit, offset)
    return call.listed(rows, total, limit, offset)


async def show_commit(call: Call) -> Response:
    return answer(commits.show(call.hub.db, call.path("hash")))


async def list_children(call: Call) -> Response:
    limit, offset = call.page(commits.FAN)
    rows, total = commits.children(call.hub.db, call.path("hash"), limit, offset)
    return call.listed(rows, total, limit, offset)


async def list_leaves(call: Call) -> Response:
    limit, offset = call.page(commits.FAN)
    rows, total = commits.leaves(call.hub.db, limit, offset)
    return call.listed(rows, total, limit, offset)


async def show_lineage(call: Call) -> Response:
    limit = min(call.number("limit", commits.MOST_LINEAGE, 1), commits.MOST_LINEAGE)
    rows = commits.lineage(call.hub.db, call.path("hash"), limit)
    headers = {}
    if rows and (older := rows[-1]["parent_hash"]):
        path = f"/api/git/commits/{older}/lineage"
        headers["Link"] = f'<{call.request.url.replace(path=path)}>; rel="next"'
    return answer(rows, headers=headers)


async def diff(call: Call) -> Response:
    hub = call.hub
    old, new = (commits.resolve(hub.db, call.path(name)) for name in ("a", "b"))
    with hub.db.transaction():
        acts.admit(hub.db, "diffs", call.agent, hub.limits.diffs_per_hour, hub.now)
    try:
        text, is_whole = await hub.work(hub.bare.diff, old, new, hub.limits.diff_bytes)
    except GitFailed as error:
        raise HubError(413, "the difference is too large to be made here; fetch both and run `git diff`") from error
    if not is_whole:
        text += f"\n[cut here: only the first {hub.limits.diff_bytes} bytes of the difference are shown]\n".encode()
    return Response(text, headers=SAFE, media_type=PLAIN)


async def show_file(call: Call) -> Response:
    hub, path = call.hub, call.path("path")
    name = commits.resolve(hub.db, call.path("hash"))
    if ODD.search(path) or len(path.encode()) > PATH_BYTES or {"", ".", ".."}.intersection(path.split("/")):
        raise HubError(400, "invalid path")
    found = await hub.work(hub.bare.file, name, path, hub.limits.blob_bytes)
    if not found:
        raise HubError(404, "file not found")
    size, content = found
    if size > hub.limits.blob_bytes:
        raise HubError(413, f"a file must have at most {hub.limits.blob_bytes} bytes to be shown but has {size}")
    headers = {**SAFE, "Content-Security-Policy": "sandbox; default-src 'none'"}
    return Response(content, headers=headers, media_type=PLAIN)


BAD, UNKNOWN, AMBIGUOUS = {400: "invalid hash"}, {404: "commit not found"}, {409: "ambiguous prefix"}
SHOWN = record(
    **COMMIT["properties"], author=TEXT, body=TEXT, tree=HASH, train_blob=nullable(HASH), patch_id=nullable(HASH),
    num_children=NUMBER, parents=array(HASH), replicates=array(HASH), duplicates=array(HASH),
)  # fmt: skip

OPERATIONS = [
    Operation(
        "POST", "/api/git/push", push, "Push commits: the body is a git bundle",
        {
            201: record(hashes=array(HASH)), 400: "invalid bundle, and why", 408: "it takes too long",
            413: "it is too large", 429: "too many pushes", 503: "too many uploads", 507: "the disk is full",
        },
        body=BUNDLE, detail="`git bundle create FILE HEAD`. Answers with every head of the bundle.",
    ),
    Operation(
        "GET", "/api/git/fetch/{hash}", fetch, "Fetch a commit with all its history, as a git bundle",
        {200: BUNDLE, **BAD, **UNKNOWN, **AMBIGUOUS, 413: "its history is too large", 503: "too many fetches"},
        path_schemas={"hash": HASH},
        detail="`git bundle unbundle FILE && git checkout HASH` works in a repository that has nothing.",
    ),
    Operation(
        "GET", "/api/git/commits", list_commits, "List commits, newest first", {200: array(COMMIT)},
        query={"agent": TEXT, **PAGE},
    ),
    Operation(
        "GET", "/api/git/commits/{hash}", show_commit, "Show a commit; four digits of its hash are enough",
        {200: SHOWN, **BAD, **UNKNOWN, **AMBIGUOUS}, path_schemas={"hash": HASH},
        detail="`replicates` have the same train.py, `duplicates` make the same change to the same parent.",
    ),
    Operation(
        "GET", "/api/git/commits/{hash}/children", list_children, "List what was built on a commit, newest first",
        {200: array(COMMIT), **BAD, **AMBIGUOUS}, path_schemas={"hash": HASH}, query=PAGE,
    ),
    Operation(
        "GET", "/api/git/commits/{hash}/lineage", show_lineage, "List a commit, its first parent, and so on",
        {200: array(COMMIT), **BAD, **AMBIGUOUS}, path_schemas={"hash": HASH}, query={"limit": LIMIT},
        detail="At most 1000; the header Link leads to the rest.",
    ),
    Operation(
        "GET", "/api/git/leaves", list_leaves, "List commits that nothing was built on, newest first",
        {200: array(COMMIT)}, query=PAGE,
    ),
    Operation(
        "GET", "/api/git/diff/{a}/{b}", diff, "Compare two commits, as `git diff` does; long ones are cut",
        {200: "text/plain", **BAD, **UNKNOWN, **AMBIGUOUS, 413: "it is too large", 429: "too many diffs"},
        path_schemas={"a": HASH, "b": HASH},
    ),
    Operation(
        "GET", "/api/git/file/{hash}/{path:path}", show_file, "Show a file of a commit",
        {200: "text/plain", 400: "invalid hash; invalid path", 404: "commit not found; file not found", **AMBIGUOUS,
         413: "it is too large"},
        path_schemas={"hash": HASH},
    ),
]  # fmt: skip
