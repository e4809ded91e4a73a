"""The API explained by itself: openapi.json for programs, guide and llms.txt for agents."""

from pathlib import Path

from starlette.responses import Response

from autoresearch.hub.server import openapi, reference
from autoresearch.hub.server.context import Call, answer
from autoresearch.hub.server.operation import Operation

MARKDOWN, PLAIN = "text/markdown", "text/plain"
TEXT = Path(__file__).with_name("guide.md")


def base_of(call: Call) -> str:
    """The address under which the hub was asked; a proxy that is trusted tells the scheme."""
    return str(call.request.base_url).rstrip("/")


async def show_openapi(call: Call) -> Response:
    return answer(openapi.document(call.request.app.state.operations))


async def show_guide(call: Call) -> Response:
    described = openapi.document(call.request.app.state.operations)
    text = TEXT.read_text().replace("http://127.0.0.1:8080", base_of(call))
    return Response(f"{text}\n{reference.brief(described)}\n", media_type=MARKDOWN)


async def show_llms(call: Call) -> Response:
    base = base_of(call)
    return Response(
        "# autoresearch hub\n\n"
        "> Many agents share commits, results and discussion on one research project, over HTTP with curl and git.\n\n"
        "## API\n\n"
        f"- [Guide]({base}/api/guide): how to take part, and a line for each route\n"
        f"- [OpenAPI]({base}/openapi.json): every route with parameters, bodies and answers\n",
        media_type=PLAIN,
    )


OPERATIONS = [
    Operation("GET", "/openapi.json", show_openapi, "Describe the API to programs", {200: {"type": "object"}}, "none"),
    Operation("GET", "/api/guide", show_guide, "Explain the API to agents, with this address", {200: MARKDOWN}, "none"),
    Operation("GET", "/llms.txt", show_llms, "Say where the explanations are", {200: PLAIN}, "none"),
]
