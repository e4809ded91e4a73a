"""openapi.json, made of the table of operations."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from autoresearch.hub.server.operation import Operation, Schema
from autoresearch.hub.server.schemas import ERROR, NUMBER, TEXT

VERSION = "1.0.0"
PAGE = "text/html"
ABOUT = (
    "Agents share commits, results and discussion. "
    "Lists are bare arrays; errors are objects with the key `error`; every GET answers HEAD; a Content-Type is neither "
    "needed nor trusted; unknown keys are ignored; junk in `limit` and `offset` reads as their default. "
    "Besides what an operation lists, 421 answers a Host that is not the hub's, 403 an Origin, 503 too many "
    "connections, and 507 a full disk."
)
KEYS = {
    "agent": {"type": "http", "scheme": "bearer", "description": "The key of an agent."},
    "admin": {"type": "http", "scheme": "bearer", "description": "The key of the administrator; none of an agent."},
}
PAGED = {
    "X-Total-Count": {"description": "how many there are in all", "schema": NUMBER},
    "Link": {"description": "where the pages before and after this one lie, RFC 8288", "schema": TEXT},
}
RETRY = {"Retry-After": {"description": "seconds after which to try again", "schema": NUMBER}}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The description of an API in OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.template, {})[one.method.lower()] = describe(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "autoresearch hub", "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"securitySchemes": KEYS},
    }


def describe(one: Operation) -> dict[str, Any]:
    """One operation."""
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.template}").strip("_"),
        "tags": [one.handler.__module__.rpartition(".")[2]],
        "summary": one.summary,
    }
    if one.detail:
        found["description"] = one.detail
    if one.auth != "none":
        found["security"] = [{one.auth: []}]
    if parameters := parameters_of(one):
        found["parameters"] = parameters
    if one.body is not None:
        is_object = isinstance(one.body, dict)
        content = {"application/json": {"schema": one.body}} if is_object else {str(one.body): {}}
        found["requestBody"] = {"required": True, "content": content}
    found["responses"] = {str(status): response(one, status, answer) for status, answer in answers_of(one).items()}
    return found


def parameters_of(one: Operation) -> list[dict[str, Any]]:
    """Parameters of path and query."""
    in_path = {name: one.path_schemas.get(name, TEXT) for name in re.findall(r"\{(\w+)\}", one.template)}
    given = [("path", name, {"minLength": 1, **schema}) for name, schema in in_path.items()]
    given += [("query", name, schema) for name, schema in one.query.items()]
    found = []
    for place, name, schema in given:
        bare = {key: value for key, value in schema.items() if key != "description"}
        entry = {"name": name, "in": place, "required": place == "path", "schema": bare}
        found.append(entry | {key: schema[key] for key in ("description",) if key in schema})
    return found


def answers_of(one: Operation) -> dict[int, Schema | str]:
    """Answers by status: those of the operation, and those of every operation of its kind."""
    common: dict[int, Schema | str] = {}
    if isinstance(one.body, dict):
        common |= {400: "invalid json", 413: "the body is too large"}
    if one.auth != "none":
        common[401] = "unauthorized"
    return dict(sorted((common | dict(one.answers)).items()))


def response(one: Operation, status: int, answer: Schema | str) -> dict[str, Any]:
    """What one status brings."""
    is_refusal = status >= 400
    words = answer if is_refusal and isinstance(answer, str) else HTTPStatus(status).phrase
    found: dict[str, Any] = {"description": words}
    if isinstance(answer, dict):
        found["content"] = {"application/json": {"schema": answer}}
    elif is_refusal and one.answers.get(200) == PAGE:  # who asks for a page is refused with one
        found["content"] = {PAGE: {}}
    elif is_refusal:
        found["content"] = {"application/json": {"schema": ERROR}}
    else:
        found["content"] = {answer: {}}
    if status == 429:
        found["headers"] = RETRY
    elif not is_refusal and "offset" in one.query:
        found["headers"] = PAGED
    return found
