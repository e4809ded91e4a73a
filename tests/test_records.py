"""records.py and errors.py: the words that all parts share."""

import re

import pytest
from pydantic import ValidationError

from autoresearch import errors
from autoresearch.records import COLUMNS, SUMMARY_KEYS, Attempt, Metrics, State, Status, Trial
from autoresearch.verdict import Verdict


def trial(**values: object) -> Trial:
    return Trial.model_validate({"commit": "c", "seed": 1, "folder": "f", **values})


def test_words_are_those_of_the_contract():
    assert COLUMNS == ("commit", "val_bpb", "memory_gb", "status", "description", "reasoning")
    assert [*map(str, Status)] == ["keep", "discard", "crash", "backtrack", "cancelled"]
    assert [*map(str, State)] == ["started", "running", "scored", "decided", "closed"]
    assert set(SUMMARY_KEYS) - {"val_bpb"} == Metrics.model_fields.keys() - {"others"}


def test_records_take_no_unknown_field_and_no_wrong_value():
    with pytest.raises(ValidationError):
        trial(sead=1)
    one = trial()
    for name, value in {"seed": "many", "score": float("nan"), "seconds": float("inf")}.items():
        with pytest.raises(ValidationError):
            setattr(one, name, value)


def test_records_share_nothing():
    one, other = trial(), trial()
    one.metrics.depth = 3
    one.metrics.others["a"] = "b"
    assert (other.metrics, trial().metrics) == (Metrics(), Metrics())


def test_attempt_with_a_verdict_is_read_back():
    verdict = Verdict("keep", -0.01, 0.001, 0.002, 1, 2, 0.999, "noise", "why")
    one = Attempt(tag="t", id=7, state=State.DECIDED, commit="c", parent="p", description="d", verdict=verdict,
                  status=Status.KEEP, trials=[trial(score=1.5), trial()])  # fmt: skip
    assert Attempt.model_validate_json(one.model_dump_json()) == one
    assert (one.name, one.scores()) == ("0007", [1.5])


def test_tree_of_errors_is_the_one_drawn():
    drawn = dict(re.findall(r"(\w+) +(\d+)\b", (errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]))
    found = {one.__name__: str(one.exit_code) for one in vars(errors).values()
             if isinstance(one, type) and issubclass(one, errors.AutoresearchError)}  # fmt: skip
    assert drawn == found


def test_metrics_give_numbers_by_name_and_give_way_to_what_was_measured():
    said = Metrics(peak_vram_mb=2048.0, num_steps=5, others={"artifact_mb": "0.1", "why": "x", "far": "inf"})
    numbers = [said.number(name) for name in ("memory_gb", "num_steps", "artifact_mb", "why", "far", "depth", "number")]
    assert numbers == [2.0, 5.0, 0.1, None, None, None, None]
    found = said.overruled(Metrics(peak_vram_mb=1024.0, others={"artifact_mb": "17"}))
    assert (found.number("memory_gb"), found.number("artifact_mb"), found.num_steps) == (1.0, 17.0, 5)
    assert Metrics().number("memory_gb") is None
