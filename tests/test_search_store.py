"""What is put into the store, and what a broken one says."""

import sqlite3
from pathlib import Path

import pytest

from autoresearch.errors import Damaged
from autoresearch.search.proposal import Proposal, Report, Result, TrialStatus
from autoresearch.search.spans import Span
from autoresearch.search.store import Entry, Store


def test_store_gives_back_what_was_put(tmp_path: Path) -> None:
    result = Result(number=1, proposal=Proposal(source="x"), status=TrialStatus.OK, metric=1.5, decision="keep")
    entry = Entry(number=1, proposal=Proposal(params={"a": 1, "b": True}, source="x", notes={"k": [1]}), result=result)
    store = Store(tmp_path / "s")
    with store.transaction(durable=True):
        store.put(entry)
        store.put_reports(1, [Report(step=1, metrics={"a": 1.0}), Report(step=2)])
        store.set_fact("policy", {"x": [1, 2]})
        assert store.add_event(5.0, "kind", {"a": 1}).id == 1
        store.add_spans([Span(name="n", begun_s=1.0, seconds=2.0, lane="l")])
    store.close()
    again = Store(tmp_path / "s", readonly=True)
    [found] = again.entries()
    assert found.model_dump(exclude={"result"}) == entry.model_dump(exclude={"result"})
    assert found.result and [one.step for one in found.result.reports] == [1, 2]
    assert (again.fact("policy"), again.fact("none", 7)) == ({"x": [1, 2]}, 7)
    assert [event.body for event in again.events()] == [{"a": 1}] and next(again.spans()).lane == "l"
    with pytest.raises(sqlite3.OperationalError):
        again.set_fact("a", 1)


def test_store_takes_back_a_transaction_that_fails(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")

    def write_and_fail() -> None:
        with store.transaction():
            store.set_fact("a", 1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_and_fail()
    assert store.fact("a") is None


def test_store_of_a_later_version_or_damaged_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with store.transaction():
        store.connection.execute("INSERT INTO trials VALUES (1, '{\"number\": 1}')")
    with pytest.raises(Damaged, match="trial 1"):
        store.entries()
    store.connection.execute("PRAGMA user_version=9")
    store.close()
    with pytest.raises(Damaged, match="update"):
        Store(tmp_path / "s")
