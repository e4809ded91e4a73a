"""autoresearch/hub/server/openapi.py, reference.py and guide.py: the API says what it is, and docs/api.md the same."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import requests
from hubs import serving
from pages import fenced, read
from starlette.routing import Route

from autoresearch.hub.server import guide, openapi, reference
from autoresearch.hub.server.app import OPERATIONS, make_app

COMMAND = "uv run --extra hub -m autoresearch hub api"


def routes_in(text: str) -> set[str]:
    """Paths below $HUB, as the shell blocks of a text call them."""
    blocks = "\n".join(fenced(text, "bash"))
    return {path.partition("?")[0] for path in re.findall(r"\$HUB(/[^\s\"']*)", blocks)}


def test_openapi_describes_every_route(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        served = live.anybody().get("/openapi.json").json()
        app = make_app(live.hub).app  # type: ignore[attr-defined]
    described = {(method.upper(), path) for path, methods in served["paths"].items() for method in methods}
    there = {
        (name, re.sub(r":\w+", "", one.path))
        for one in app.routes
        if isinstance(one, Route)
        for name in one.methods or ()
    }
    assert described == {pair for pair in there if pair[0] != "HEAD"}
    assert served == openapi.document(OPERATIONS) and served["openapi"] == "3.1.0"


def test_openapi_names_are_unique_and_summaries_are_one_line() -> None:
    described = [one for _, one in reference.operations_of(openapi.document(OPERATIONS))]
    names = Counter(one["operationId"] for one in described)
    assert not [name for name, count in names.items() if count > 1]
    for one in described:
        assert re.fullmatch(r"[A-Z][^\n]*[^.\n]", one["summary"])
        assert all(answer["description"] for answer in one["responses"].values())


def test_openapi_keys_and_refusals_are_those_of_the_table() -> None:
    paths = openapi.document(OPERATIONS)["paths"]
    assert paths["/api/admin/agents"]["post"]["security"] == [{"admin": []}]
    assert paths["/api/channels"]["get"]["security"] == [{"agent": []}]
    assert "security" not in paths["/api/register"]["post"]
    assert list(paths["/api/channels"]["post"]["responses"]) == ["201", "400", "401", "403", "409", "413"]
    listed = paths["/api/channels/{name}/posts"]["get"]
    assert [one["name"] for one in listed["parameters"]] == ["name", "limit", "offset"]
    assert set(listed["responses"]["200"]["headers"]) == {"X-Total-Count", "Link"}
    assert "Retry-After" in paths["/api/register"]["post"]["responses"]["429"]["headers"]


def test_reference_in_docs_is_what_the_code_prints() -> None:
    text = reference.full(openapi.document(OPERATIONS))
    assert COMMAND in text
    assert read("docs/api.md") == text, f"docs/api.md is old; run `{COMMAND} > docs/api.md`"


def test_reference_writes_shapes_in_one_line() -> None:
    schema = {"type": "array", "items": {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}}
    assert reference.shape(schema) == '[{"a"?: integer or null}]'
    assert reference.shape({"enum": ["keep", "crash"]}) == '"keep" or "crash"'


def test_guide_has_the_address_that_was_asked(tmp_path: Path) -> None:
    secure = {"Host": "hub.example", "X-Forwarded-Proto": "https"}
    with serving(tmp_path / "a", hosts=["hub.example"], proxies="127.0.0.1") as live:
        for path in ("/api/guide", "/llms.txt"):
            text = requests.get(live.url + path, headers=secure, timeout=20).text
            assert "https://hub.example" in text and "127.0.0.1" not in text
    with serving(tmp_path / "b", hosts=["hub.example"]) as live:
        text = requests.get(live.url + "/api/guide", headers=secure, timeout=20).text
        assert "HUB=http://hub.example\n" in text and "https://" not in text


def test_guide_names_every_route_and_calls_only_those_there_are(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        answer = live.anybody().get("/api/guide")
        links = re.findall(r"\]\((\S+)\)", live.anybody().get("/llms.txt").text)
        assert links and all(requests.get(link, timeout=20).status_code == 200 for link in links)
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    for one in OPERATIONS:
        assert f"`{one.method} {one.template}" in answer.text
    patterns = [re.sub(r"\{\w+\}", "[^/]+", one.template) for one in OPERATIONS]
    called = routes_in(guide.TEXT.read_text())
    assert called and not [path for path in called if not any(re.fullmatch(one, path) for one in patterns)]


def test_guide_blocks_run_as_they_are_written(tmp_path: Path) -> None:
    """With bash, curl and git; a block whose call is refused ends the script."""
    with serving(tmp_path / "hub") as live:
        blocks = fenced(live.anybody().get("/api/guide").text, "bash")
        register, *others = blocks
        script = "\n".join([
            "set -euo pipefail; curl() { command curl -f --noproxy '*' \"$@\"; }",
            "git init -q .; git config user.name a; git config user.email a@example.org",
            "git commit -q --allow-empty -m baseline; HASH=$(git rev-parse HEAD)",
            f"ANSWER=$({register.rstrip()})", *register.splitlines()[:1],
            "HUB_KEY=$(sed 's/.*\"api_key\":\"\\([0-9a-f]*\\)\".*/\\1/' <<< \"$ANSWER\")",
            *others,
        ]).replace("/tmp/", f"{tmp_path}/")  # fmt: skip
        folder = tmp_path / "work"
        folder.mkdir()
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        db = live.hub.db
        assert [db.value(f"SELECT count(*) FROM {noun}") for noun in ("commits", "claims", "posts")] == [1, 1, 1]
        assert db.value("SELECT description FROM results") == "increase LR to 0.04"
