"""Style and scripts of the pages, served under names that hold their digests, so that a browser asks for each once."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.server.context import Call

HERE = Path(__file__).parent / "static"
STYLES = (HERE.parents[2] / "report" / "base.css", HERE / "hub.css")
SCRIPTS = (HERE / "live.js", HERE / "chart.js")
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    name: str
    body: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """The style and the script, by kind."""
    return {
        "css": _bundle("hub", "css", STYLES, "text/css; charset=utf-8"),
        "js": _bundle("hub", "js", SCRIPTS, "text/javascript; charset=utf-8"),
    }


def _bundle(stem: str, kind: str, paths: tuple[Path, ...], media_type: str) -> Asset:
    body = "\n".join(path.read_text() for path in paths).encode()
    return Asset(f"{stem}.{hashlib.sha256(body).hexdigest()[:16]}.{kind}", body, media_type)


def url(kind: str) -> str:
    """Where the style or the script is served."""
    return f"/static/{assets()[kind].name}"


async def show(call: Call) -> Response:
    """One of the files."""
    for asset in assets().values():
        if asset.name == call.path("name"):
            etag = f'"{asset.name}"'
            headers = {"Cache-Control": FOREVER, "ETag": etag}
            if etag in call.request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            return Response(asset.body, headers=headers, media_type=asset.media_type)
    raise HubError(404, "not found")
