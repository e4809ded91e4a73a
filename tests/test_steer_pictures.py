"""The four pictures: drawn from any log, and of what they say."""

import random

import pytest
from steer_rows import SPACE, no_decay, plan, row

from autoresearch.steer import pictures
from autoresearch.steer.rows import Final

NAMES = ["rounds.png", "traces.png", "landscape.png", "head_to_head.png"]


def campaign() -> list[Final]:
    rng = random.Random(2)
    rows = [row(1.3 + rng.random() / 10, number, SPACE.draw(rng), arm="llm") for number in range(1, 8)]
    rows += [row(None, 8, no_decay(2e-2), arm="llm"), row(309.08, 9, no_decay(1e-2), arm="llm")]
    peaks = (1e-3, 3e-3, 1e-2, 3e-2)
    return rows + [
        row(value, number, plan(peak), arm="plain:cosine10")
        for number, (peak, value) in enumerate(zip(peaks, (1.35, 1.31, 1.33, None), strict=True))
    ]


@pytest.mark.parametrize(
    "finals",
    [
        [],
        [row(1.2)],
        [row(None)],
        [row(None, status="infra_fail", lr=[])],
        [row(1.2, lr=[], arm="plain:wsd")],
        [row(1.2, number) for number in range(4)],
        campaign(),
    ],
    ids=["empty", "one", "lost", "infra", "baseline alone", "constant", "campaign"],
)
def test_pictures_are_drawn_of_whatever_the_log_holds(finals):
    drawn = pictures.draw(finals, "a $title")
    assert list(drawn) == NAMES
    assert all(data.startswith(b"\x89PNG") and len(data) > 5000 for data in drawn.values())


def test_pictures_show_the_peaks_that_were_never_tried():
    gaps = pictures.gaps([1e-3, 1.1e-3, 9e-3], [1e-3, 1e-2])
    assert any(low < 3e-3 < high for low, high in gaps)
    assert not any(low < peak < high for low, high in gaps for peak in (1.05e-3, 9e-3))
    assert pictures.gaps([], [1e-3, 1e-2]) == [] and pictures.gaps([1e-3], [1e-3]) == []
    assert pictures.gaps([79.998], [79.998, 80.0]) == [], "one peak, as near as a trace tells"


def test_pictures_leave_room_for_the_good_and_not_for_one_bad_result():
    low, top = pictures.limits([1.3, 1.31, 1.32, 1.33, 1.34, 1.36, 309.08])
    assert low == 1.3 and 1.36 <= top < 2.0
    assert pictures.limits([1.2]) < (1.2, 1.3) and pictures.limits([]) == (0.0, 1.0)
