"""The space: cells, draws, and what lies outside."""

import json
import random

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
