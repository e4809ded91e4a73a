"""The space: cells, draws, and what lies outside."""

import json
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.search.space import Range, Space

SPACE = Space.model_validate(
    {
        "rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "depth": {"low": 2, "high": 8},
        "width": {"low": 64, "high": 256, "step": 64},
        "share": {"low": 0.0, "high": 1.0, "step": 0.25},
        "kind": ["a", "b"],
        "flag": [True, False],
    }
)


def test_space_knows_its_size_and_every_cell_once() -> None:
    finite = Space.model_validate({name: domain for name, domain in SPACE.items() if name != "rate"})
    assert SPACE.size() is None and finite.size() == 7 * 4 * 5 * 2 * 2
    cells = [finite.cell(number) for number in range(finite.size() or 0)]
    assert len({json.dumps(cell) for cell in cells}) == len(cells)
    assert cells[0] == {"depth": 2, "width": 64, "share": 0.0, "kind": "a", "flag": True}
    assert cells[1] == {**cells[0], "flag": False}, "the last name varies fastest"


def test_space_holds_its_draws_and_names_what_it_does_not_hold() -> None:
    generator = random.Random(1)
    draws = [SPACE.draw(generator) for _ in range(300)]
    assert not [problem for draw in draws for problem in SPACE.problems(draw)]
    assert {type(draw["depth"]) for draw in draws} == {int} and {draw["width"] for draw in draws} == {64, 128, 192, 256}
    assert 0.3 < sum(float(draw["rate"]) < 1e-3 for draw in draws) / 300 < 0.7, "by orders of magnitude"
    wrong = draws[0] | {"depth": 2.5, "kind": "c", "flag": 1, "other": 3}
    del wrong["share"]
    problems = " ".join(SPACE.problems(wrong))
    for word in (
        "depth must be an integer from 2 to 8",
        "kind must be one of 'a', 'b'",
        "flag",
        "other is no",
        "share",
    ):
        assert word in problems


def test_space_takes_a_choice_that_is_named_twice_once() -> None:
    assert dict(Space.model_validate({"x": [1, 2, 1, 1.0, True]}).items()) == {"x": (1, 2, True)}


@given(st.floats(-0.5, 1.5), st.sampled_from([one for one in SPACE.root.values() if isinstance(one, Range)]))
def test_range_at_any_share_is_within_it(share: float, domain: Range) -> None:
    assert domain.holds(domain.at(share))


@pytest.mark.parametrize("high", [10**7, 2**31, 2**62])
def test_range_of_many_integers_takes_no_memory(high: int) -> None:
    space = Space.model_validate({"n": {"low": 0, "high": high}, "even": {"low": 0, "high": high, "step": 2}})
    tracemalloc.start()
    try:
        assert space.size() == (high + 1) * (high // 2 + 1)
        assert not space.problems(space.draw(random.Random(1)))
        assert space.cell(high // 2 + 2) == {"n": 1, "even": 2}
        assert space.root["even"].at(1.0) == high  # type: ignore[union-attr]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_range_holds_its_steps_alone() -> None:
    quarters, odd = Range(low=0.0, high=1.0, step=0.25), Range(low=1, high=10, step=2)
    assert [one for one in (0, 0.25, 0.3, 0.75, 1.0) if quarters.holds(one)] == [0, 0.25, 0.75, 1.0]
    assert [one for one in range(12) if odd.holds(one)] == [1, 3, 5, 7, 9]
    tenths = Range(low=0.0, high=1.0, step=0.1)
    assert all(tenths.holds(number / 10) and tenths.holds(tenths.nth(number)) for number in range(11))
    assert tenths.count() == 11 and odd.count() == 5
    assert "in steps of 2" in Space.model_validate({"x": odd}).problems({"x": 10})[0]
