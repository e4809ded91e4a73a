"""The limits of a campaign, and none beside them."""

import pytest

from autoresearch.search import guards
from autoresearch.search.config import Controller
from autoresearch.search.guards import Tally


@pytest.mark.parametrize(
    ("limits", "changes", "reason"),
    [
        ({"max_iterations": 5}, {"iterations": 5}, "max_iterations"),
        ({"max_iterations": 5}, {"iterations": 4}, None),
        ({"max_wall_time_s": 10}, {"seconds": 10.0}, "max_wall_time"),
        ({"max_gpu_hours": 0.5}, {"gpu_seconds": 1800.0}, "max_gpu_hours"),
        ({"max_gpu_hours": 0.5}, {"gpu_seconds": 1799.0}, None),
        ({"no_improve_limit": 3}, {"streak": 3}, "no_improvement"),
        ({"failure_rate_limit": 0.5, "failure_window": 4}, {"failures": (True,) * 3}, None),
        ({"failure_rate_limit": 0.5, "failure_window": 4}, {"failures": (True, True, False, False)}, "failure_rate"),
        ({"failure_rate_limit": 0.5, "failure_window": 4}, {"failures": (True, True, True, False, False, False)}, None),
        ({}, {"iterations": 10**6, "seconds": 1e9, "streak": 10**6, "failures": (True,) * 50}, None),
    ],
)
def test_guard_stops_at_its_limit(limits: dict, changes: dict, reason: str | None) -> None:
    tally = Tally(iterations=0, seconds=0.0, gpu_seconds=0.0, streak=0, failures=())
    stop = guards.reached(Controller(**limits), Tally(**(vars(tally) | changes)))
    assert (stop and stop.reason) == reason
