"""A push: from what a stranger sends to commits that everybody sees, or to a refusal that leaves no trace.

The order makes it safe to be cut off anywhere: the pack comes before its commits are recorded, and the references come
last. What a push that was cut off left over, doctor.py clears up.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import BinaryIO

from autoresearch.errors import GitFailed, HubError
from autoresearch.hub import arrivals, bundle
from autoresearch.hub.folder import INCOMING
from autoresearch.hub.limits import Limits
from autoresearch.hub.server.context import Hub
from autoresearch.hub.store import acts, commits
from autoresearch.repo.bare import Bare
from autoresearch.repo.quarantine import Quarantine

LOG = logging.getLogger(__name__)
UPLOAD_S = 600
UPLOADS_BYTES = 1 << 30  # of all uploads that are under way
BUSY_S = 10
MOST_WORDS = 400


async def push(hub: Hub, agent: str, parts: AsyncIterator[bytes], announced: int = 0) -> list[str]:
    """Take a bundle in; returns the hashes of its heads.

    Args:
        announced: how many bytes are to come; 0 where nobody said.

    Raises:
        HubError: 400, 408, 413, 429, 503; nothing was changed, but that the push counts.
        OSError, sqlite3.OperationalError: the disk is full; nothing was changed either.
    """
    try:
        with hub.db.transaction():
            acts.admit(hub.db, "pushes", agent, hub.limits.pushes_per_hour, hub.now)
    except HubError:
        await _let_finish(parts, hub.limits)
        raise
    if announced > hub.limits.bundle_bytes:
        raise too_large(hub.limits)
    hub.reached("admitted")
    with tempfile.TemporaryFile(dir=hub.folder / INCOMING) as file:
        async with _uploaded(hub, parts, file):
            hub.reached("uploaded")
            sent = await hub.work(bundle.read, file, hub.limits)
            _check_prerequisites(hub, sent)
            await _take_in(hub, agent, file, sent)
    return [*sent.heads]


async def _let_finish(parts: AsyncIterator[bytes], limits: Limits) -> None:
    """Drop an upload: who is still sending when the answer comes would not read it."""
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(UPLOAD_S):
            async for part in parts:
                size += len(part)
                if size > limits.bundle_bytes:
                    break


@asynccontextmanager
async def _uploaded(hub: Hub, parts: AsyncIterator[bytes], file: BinaryIO) -> AsyncIterator[None]:
    """Write an upload into a file; it counts among all that are under way until the block ends."""
    size, most_bytes = 0, hub.limits.bundle_bytes
    try:
        try:
            async with asyncio.timeout(UPLOAD_S):
                async for part in parts:
                    size += len(part)
                    hub.uploading_bytes += len(part)
                    if size > most_bytes:
                        raise too_large(hub.limits)
                    if hub.uploading_bytes > max(UPLOADS_BYTES, most_bytes):
                        raise HubError(503, f"too many uploads are under way; try again in {BUSY_S} s", BUSY_S)
                    file.write(part)
        except TimeoutError as error:
            raise HubError(408, f"an upload must take at most {UPLOAD_S} s") from error
        file.flush()
        yield
    finally:
        hub.uploading_bytes -= size


def too_large(limits: Limits) -> HubError:
    """The refusal of a bundle that is too large as it is sent."""
    most = f"a bundle must have at most {limits.bundle_bytes} bytes"
    return HubError(413, f"{most}; leave out what the hub has: `git bundle create FILE HEAD ^HASH`")


def _check_prerequisites(hub: Hub, sent: bundle.Bundle) -> None:
    known = commits.known(hub.db, sent.prerequisites)
    if missing := [one for one in sent.prerequisites if one not in known]:
        raise bundle.invalid(f"it is built on {missing[0]}, which was not pushed; `git bundle create FILE HEAD`")


async def _take_in(hub: Hub, agent: str, file: BinaryIO, sent: bundle.Bundle) -> None:
    """Bring what is new into the store."""
    room = await hub.work(Quarantine, hub.bare, hub.folder / INCOMING)
    try:
        with _blaming_the_bundle():
            found = await hub.work(_index, room, file, sent, hub.limits)
            hub.reached("indexed")
            known = commits.known(hub.db, {*arrivals.names_of(found), *sent.heads})
            new = await hub.work(arrivals.prepare, room, sent, found, known)
        hub.reached("packed")
        if new:
            await _publish(hub, agent, room, new)
    finally:
        await hub.work(room.close)
    await hub.work(_keep, hub.bare, sent.heads)
    hub.reached("kept")
    hub.workers.submit(_tidy, hub.bare)


def _keep(bare: Bare, heads: Sequence[str]) -> None:
    """Make the references; one that is missing fails no push: it is made before anything is ever dropped."""
    try:
        bare.keep(heads)
    except (GitFailed, OSError) as error:
        LOG.warning("no reference for %s, see `hub doctor`: %s", ", ".join(heads), error)


def _tidy(bare: Bare) -> None:
    try:
        bare.tidy_if_due()
    except (GitFailed, OSError) as error:
        LOG.warning("the repository cannot be tidied, see `hub doctor`: %s", error)


def _index(room: Quarantine, file: BinaryIO, sent: bundle.Bundle, limits: Limits) -> dict[str, arrivals.Commit]:
    return arrivals.read_commits(room, room.take(file, sent.pack_start), limits)


async def _publish(hub: Hub, agent: str, room: Quarantine, new: Sequence[commits.Arrival]) -> None:
    """Move the pack and record its commits; one push after the other, so that a pack taken back is nobody else's."""
    async with hub.publishing:
        try:
            await hub.work(room.publish, hub.reached)
            with hub.db.transaction():
                commits.record(hub.db, hub.limits, agent, new, hub.now)
                hub.reached("recording")
        except BaseException:
            await hub.work(room.withdraw)
            raise
    hub.reached("recorded")
    hub.bell.ring()


@contextmanager
def _blaming_the_bundle() -> Iterator[None]:
    """What git says of a bundle, to whoever sent it."""
    try:
        yield
    except GitFailed as error:
        lines = [line for line in str(error).splitlines() if line.startswith(("error:", "fatal:", "it "))]
        raise bundle.invalid("; ".join(lines)[:MOST_WORDS] or "git does not take it") from error
