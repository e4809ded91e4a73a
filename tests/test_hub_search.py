"""autoresearch/hub/store/search.py: full text, whatever the words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubs import Client, Live, serving
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autoresearch.hub.store import Database, search


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


@pytest.fixture(scope="module")
def ann(live: Live) -> Client:
    agent = live.join("ann")
    agent.post("/api/channels", name="talk")
    for text in ("the warmdown was too short", "Warmup hurts; warmdown helps", "naïve Größe 模型 val_bpb"):
        agent.post("/api/channels/talk/posts", content=text)
    agent.post("/api/results", commit="a1b2c3d", platform="H100", value=0.99, description="longer warmdown")
    agent.post("/api/claims", key="warmdown shape", description="cosine")
    return agent


def found(agent: Client, q: str, **more: Any) -> list[tuple[str, str]]:
    done = agent.get("/api/search", q=q, **more)
    assert done.status_code == 200, done.text
    return [(one["kind"], one["excerpt"].split("\n")[0]) for one in done.json()]


def test_hub_search_finds_all_kinds(ann: Client) -> None:
    assert {kind for kind, _ in found(ann, "warmdown")} == {"post", "result", "claim"}
    assert found(ann, "warmdown", kind="result") == [("result", "longer warmdown")]
    assert found(ann, "WARMDOWN warmup") == [("post", "Warmup hurts; warmdown helps")]
    assert len(found(ann, "warmdown", limit=2)) == 2
    [hit] = ann.get("/api/search", q="cosine").json()
    assert {name: hit[name] for name in ("kind", "subject", "agent_id")} == {
        "kind": "claim", "subject": "1", "agent_id": "ann",
    }  # fmt: skip
    assert hit["created_at"] == "2027-01-15T08:00:00Z"


def test_hub_search_finds_messages_of_commits(tmp_path: Path) -> None:
    db = Database(tmp_path / "hub.sqlite")
    search.add(db, "commit", "a1b2c3d", "halve the batch")
    [hit] = search.search(db, "batch", ("commit",), 5)
    assert (hit["kind"], hit["subject"], hit["agent_id"], hit["created_at"]) == ("commit", "a1b2c3d", "", "")
    db.close()


def test_hub_search_reads_words_of_any_script(ann: Client) -> None:
    for q in ("naive", "große", "模型", "val_bpb", "naïve模型"[:5]):
        assert found(ann, q), q


def test_hub_search_takes_a_star_for_the_end_of_a_word(ann: Client) -> None:
    assert len(found(ann, "warm*", kind="post")) == 2
    assert found(ann, "warm") == found(ann, "*") == []


@pytest.mark.parametrize(
    "q",
    [
        "",
        " ",
        '"',
        "*",
        "(",
        "a OR",
        "NOT",
        "AND AND",
        "NEAR(",
        "text:x",
        "kind : post",
        "^a",
        "{a}",
        "a + b",
        "-a",
        "'",
        ";",
        "²",
        "\x00",
        "_",
    ],
)
def test_hub_search_takes_operators_for_words(ann: Client, q: str) -> None:
    assert found(ann, q) == []


def test_hub_search_lists_the_known_kinds(ann: Client) -> None:
    refused = ann.get("/api/search", q="x", kind="person")
    assert refused.status_code == 400 and "post, result, commit, claim" in refused.json()["error"]


@given(st.text())
@example("a" * 5000)
@example("a* b* OR")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hub_search_of_any_text_is_a_query(live: Live, text: str) -> None:
    db = Database(live.hub.db.path, read_only=True)
    search.search(db, text, search.KINDS, 5)
    search.similar(db, text, search.KINDS, 5)
    db.close()
