"""Whether a running trial can still beat the best: never wrongly given up, and given up where it is hopeless."""

import math
import random
from collections.abc import Callable

import pytest

from autoresearch.search.forecast import Direction, Point, is_below_median, probability

STEPS = 40
LEAST_REPORTS = 5
THRESHOLD = 0.05

Curve = Callable[[float], float]
FAMILY: dict[str, Curve] = {
    "power law": lambda t: 1.0 + 2.0 * (t + 1) ** -0.5,
    "slow power law": lambda t: 0.5 + 2.0 * (t + 1) ** -0.2,
    "steep power law": lambda t: 1.0 + 5.0 * (t + 1) ** -1.5,
    "exponential": lambda t: 0.5 + 1.5 * math.exp(-t / 8),
    "slow exponential": lambda t: 0.2 + 1.8 * math.exp(-t / 30),
    "line": lambda t: 3.0 - 0.05 * t,
    "logarithm": lambda t: 2.0 - 0.3 * math.log(t + 1),
    "warm-up": lambda t: 1.0 + 2.0 * math.exp(-t / 10) + (1.5 * t / 4 if t < 4 else 1.5 * math.exp(-(t - 4) / 3)),
    "cosine": lambda t: 1.5 + 0.5 * math.cos(math.pi * t / STEPS),
    "two speeds": lambda t: 0.4 + 1.0 * math.exp(-t / 2) + 0.8 * math.exp(-t / 25),
    "constant": lambda t: 1.0,
    "plateau": lambda t: 1.0 + 1.0 / (1.0 + math.exp((t - 12) / 3)),
    "square": lambda t: 3.0 - (t / STEPS) ** 2,
}
NOISES = (0.0, 0.005, 0.03)
MARGINS = (0.001, 0.2)  # of the whole range, by which the true last value beats the best


def reports(curve: Curve, noise: float, seed: int) -> list[Point]:
    generator = random.Random(seed)
    return [Point(t, curve(t) + generator.gauss(0, noise)) for t in range(1, STEPS + 1)]


def given_up_at(points: list[Point], best: float, every: int = 1) -> int | None:
    """The first number of reports at which a trial is cancelled; None if it is not."""
    for count in range(LEAST_REPORTS, len(points), every):
        if probability(points[:count], STEPS, best, "min") < THRESHOLD:
            return count
    return None


def height(curve: Curve) -> float:
    values = [curve(t) for t in range(1, STEPS + 1)]
    return (max(values) - min(values)) or 1.0


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", FAMILY)
def test_forecast_never_gives_up_what_would_have_won(name: str, noise: float) -> None:
    curve = FAMILY[name]
    for seed in range(2 if noise else 1):
        points = reports(curve, noise, seed)
        for margin in MARGINS:
            best = curve(STEPS) + margin * height(curve)
            assert given_up_at(points, best, every=2) is None, (seed, margin)


@pytest.mark.parametrize(
    ("name", "noise", "seed", "count"),
    [
        *(("power law", 0.03, 6, 5), ("slow power law", 0.03, 26, 5), ("logarithm", 0.03, 6, 5)),
        *(("cosine", 0.005, 54, 5), ("two speeds", 0.03, 6, 5), ("square", 0.005, 7, 7), ("square", 0.03, 8, 15)),
    ],
)
def test_forecast_is_not_led_astray_by_noise_that_looks_like_a_bend(
    name: str, noise: float, seed: int, count: int
) -> None:
    curve = FAMILY[name]
    best = curve(STEPS) + MARGINS[0] * height(curve)
    assert probability(reports(curve, noise, seed)[:count], STEPS, best, "min") >= THRESHOLD


@pytest.mark.parametrize("name", sorted({*FAMILY} - {"cosine", "plateau"}))
def test_forecast_gives_up_what_is_far_behind(name: str) -> None:
    curve = FAMILY[name]
    count = given_up_at(reports(curve, 0.005, 1), curve(STEPS) - 0.5 * height(curve))
    assert count is not None and count <= STEPS / 2


def test_forecast_gives_up_what_diverges() -> None:
    points = [Point(t, 2.0 + 0.1 * t) for t in range(1, STEPS + 1)]
    count = given_up_at(points, 1.5)
    assert count is not None and count <= 0.75 * STEPS


def test_forecast_lets_a_trial_go_on_that_already_is_better() -> None:
    points = [Point(t, 1.0 + t) for t in range(10)]
    assert probability(points, 100, 1.5, "min") == 1.0
    assert probability([Point(one.step, -one.value) for one in points], 100, -1.5, "max") == 1.0


def test_forecast_of_one_step_decides_nothing() -> None:
    assert probability([Point(3, value) for value in (3.0, 2.9, 2.8, 2.7)], 100, 0.0, "min") == 1.0


def test_forecast_is_the_same_in_both_directions_and_units() -> None:
    points = reports(FAMILY["exponential"], 0.01, 3)[:15]
    there = probability(points, STEPS, 0.45, "min")
    mirrored = probability([Point(one.step, -one.value) for one in points], STEPS, -0.45, "max")
    scaled = probability([Point(1000 * one.step, 100 * one.value) for one in points], 1000 * STEPS, 45, "min")
    assert 0.001 < there < 0.999
    assert mirrored == pytest.approx(there)
    assert scaled == pytest.approx(there, rel=1e-6)


def test_forecast_knows_more_with_more_reports() -> None:
    points = reports(FAMILY["exponential"], 0.005, 5)
    best = points[-1].value - 0.3
    assert probability(points[:5], STEPS, best, "min") > probability(points[:30], STEPS, best, "min")


def test_forecast_is_finite_for_large_small_and_equal_values() -> None:
    for scale in (1e-12, 1.0, 1e12):
        points = [Point(t, scale * (1 + 1 / t)) for t in range(1, 20)]
        assert 0.0 <= probability(points, 100, 0.0, "min") <= 1.0
    assert 0.0 <= probability([Point(t, 0.0) for t in range(1, 20)], 100, -1.0, "min") <= 1.0


@pytest.mark.parametrize(("direction", "sign"), [("min", 1.0), ("max", -1.0)])
def test_median_rule_is_of_averages_up_to_the_same_step(direction: Direction, sign: float) -> None:
    peers = [[Point(t, sign * (level + 1 / t)) for t in range(1, 21)] for level in (1.0, 2.0, 3.0)]
    worse = [Point(t, sign * (3.5 + 1 / t)) for t in range(1, 6)]
    better = [Point(t, sign * (1.5 + 1 / t)) for t in range(1, 6)]
    assert is_below_median(worse, peers, direction)
    assert not is_below_median(better, peers, direction)
    assert not is_below_median(worse, peers[:2], direction), "two are no majority"
    late = [[Point(t, sign * 0.0) for t in range(10, 20)] for _ in range(3)]
    assert not is_below_median(worse, late, direction), "none of them reported by then"


@pytest.mark.parametrize("wild", [1e100, 1e160, 1e308])
def test_forecast_takes_a_trial_that_diverged_as_lost(wild: float) -> None:
    points = [Point(t, 2 + 1 / t) for t in range(1, 10)] + [Point(10, wild)]
    assert probability(points, 40, 1.0, "min") == 0.0
    assert probability([Point(one.step, -one.value) for one in points], 40, -1.0, "max") == 0.0
    back = [*points, *(Point(t, 2 + 1 / t) for t in range(11, 20))]
    assert 0.0 <= probability(back, 40, 1.9, "min") <= 1.0
    peers = [[Point(t, 0.1) for t in range(1, 10)], [Point(t, wild) for t in range(1, 10)]] * 2
    assert is_below_median(points, [*peers, peers[0]], "min")


def test_forecast_reckons_with_odd_steps_and_scales() -> None:
    falling = [Point(t, 2 + 1 / t) for t in range(1, 10)]
    for odd in ([Point(-1, 3.0)], [Point(-1e200, 3.0)], [Point(1e200, 3.0)], [Point(0, 3.0)]):
        assert 0.0 <= probability([*odd, *falling], 40, 1.0, "min") <= 1.0
        assert 0.0 <= probability([*falling, *odd], 0, 1.0, "min") <= 1.0
    assert 0.0 <= probability([Point(t, 1e-200 * (2 + 1 / t)) for t in range(1, 10)], 40, 1e-201, "min") <= 1.0
