"""Spans from many threads, and a timeline that is valid at any time."""

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch.search.spans import Span, Spans
from autoresearch.search.timeline import Timeline


def test_spans_may_be_noted_by_many_threads() -> None:
    spans = Spans()

    def note() -> None:
        for _ in range(100):
            with spans.span("a.b", x=1) as args:
                args["y"] = 2

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = spans.drain()
    assert len(found) == 400 and not spans.drain()
    assert {(one.lane, one.args["x"], one.args["y"]) for one in found} == {("a", 1, 2)}


def test_span_tells_the_error() -> None:
    spans = Spans()
    with pytest.raises(ValueError, match="why"), spans.span("a"):
        raise ValueError("why")
    assert spans.drain()[0].args == {"error": "ValueError: why"}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=5))
def test_timeline_is_valid_after_every_call(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("timeline") / "timeline.json"
    timeline = Timeline(path, "name", 100.0)
    for number, name in enumerate(names):
        timeline.add([Span(name=name, begun_s=100.0 + number, seconds=0.5, lane=name, args={"a": name})])
        events = [one for one in json.loads(path.read_text())["traceEvents"] if one["ph"] == "X"]
        assert [one["name"] for one in events] == names[: number + 1]
        assert events[-1]["ts"] == 1e6 * number and events[-1]["dur"] == 5e5
