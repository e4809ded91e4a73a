"""The API as Markdown: a line for each operation, or all that openapi.json says."""

import json
from collections.abc import Iterator
from typing import Any

CALLERS = {"agent": "the key of an agent", "admin": "the key of the administrator"}
Described = dict[str, Any]


def operations_of(document: Described) -> Iterator[tuple[str, Described]]:
    """Method and path of each operation, and its description."""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            yield f"{method.upper()} {path}", one


def brief(document: Described) -> str:
    """A line for each operation, under a heading for each noun."""
    lines: list[str] = []
    for name in dict.fromkeys(one["tags"][0] for _, one in operations_of(document)):
        lines += ["", f"### {name}", ""]
        for call, one in operations_of(document):
            if one["tags"][0] == name:
                lines.append(f"- `{call}{query_of(one)}`{sent(one)}: {one['summary']}.{caller(one, ' Needs {}.')}")
    return "\n".join(lines[1:])


def full(document: Described) -> str:
    """All that there is to say about each operation."""
    lines = ["# The API of the hub", "", document["info"]["description"].replace(". ", ".\n")]
    lines += ["This page is what `uv run --extra hub -m autoresearch hub api` prints."]
    for call, one in operations_of(document):
        lines += ["", f"## {call}", "", f"{one['summary']}."]
        lines += [*one.get("description", "").splitlines(), *filter(None, [caller(one, "Needs {}.")])]
        if parameters := one.get("parameters"):
            lines += ["", "| parameter | in | type | meaning |", "|---|---|---|---|"]
            for each in parameters:
                about = each.get("description", "")
                lines.append(f"| `{each['name']}` | {each['in']} | {cell(shape(each['schema']))} | {cell(about)} |")
        if body := sent(one):
            lines += ["", f"Body:{body}"]
        lines += ["", "| status | answer |", "|---|---|"]
        for status, answer in one["responses"].items():
            lines.append(f"| {status} | {cell(what_comes(status, answer))} |")
    return "\n".join(lines) + "\n"


def caller(one: Described, form: str) -> str:
    """Whose key an operation needs; nothing where it needs none."""
    return "".join(form.format(CALLERS[name]) for each in one.get("security", ()) for name in each)


def query_of(one: Described) -> str:
    """The parameters of the query, as they are written."""
    names = [each["name"] for each in one.get("parameters", ()) if each["in"] == "query"]
    return "?" + "&".join(f"{name}=" for name in names) if names else ""


def sent(one: Described) -> str:
    """What is sent; nothing where nothing is."""
    for kind, content in one.get("requestBody", {}).get("content", {}).items():
        return f" `{shape(content['schema'])}`" if content else f" `{kind}`"
    return ""


def what_comes(status: str, answer: Described) -> str:
    """What a status brings: words of a refusal, the shape of JSON, or a media type."""
    for kind, content in answer["content"].items():
        words = shape(content["schema"]) if content else kind
        return answer["description"] if status >= "400" else f"`{words}`"
    return ""


def shape(schema: Described) -> str:
    """A schema in one line: optional keys end with a question mark."""
    if "properties" in schema:
        needed = schema.get("required", ())
        inner = [f'"{name}"{"" if name in needed else "?"}: {shape(one)}' for name, one in schema["properties"].items()]
        return "{" + ", ".join(inner) + "}"
    if "items" in schema:
        return f"[{shape(schema['items'])}]"
    if "anyOf" in schema:
        return " or ".join(map(shape, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(map(json.dumps, schema["enum"]))
    kind = schema.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else kind


def cell(text: str) -> str:
    """Text within a table."""
    return text.replace("|", "\\|").replace("\n", " ")
