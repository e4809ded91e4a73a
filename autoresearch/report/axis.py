"""The axes of a chart: how far they reach, and the round values along them."""

import math
from collections.abc import Sequence


def span(losses: Sequence[float], way: Sequence[float], sigma: float, room_frac: float = 0.3) -> tuple[float, float]:
    """Lowest and highest loss to be shown: the whole way of the best one, and what lies near it.

    What is worse than the whole way by more than half of it is to be drawn at the edge, so that one bad score does not
    flatten the rest.

    Args:
        way: the losses that were the best of their time.
        sigma: noise of one score.
        room_frac: share of the height that stays free on the better side, for labels.
    """
    if not way:
        return 0.0, 1.0
    best, worst = min(way), max(way)
    reach = max(worst - best, 8 * sigma, 1e-4 * abs(best), 1e-12)
    near = [loss for loss in losses if best - 0.5 * reach <= loss <= worst + 0.5 * reach]
    best, worst = min([best, *near]), max([worst, *near])
    room = max(worst - best, reach / 2)
    return best - room_frac * room, worst + 0.1 * room


def ticks(low: float, high: float, about: int, whole: bool = False) -> list[tuple[float, str]]:
    """Round values between two, with the decimals that tell them apart."""
    if high <= low:
        return [(low, f"{low:g}")]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.7)
    step = max(1.0, round(step)) if whole else step
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    values = [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]
    if whole and values and values[0] > low:
        values = [low, *(value for value in values if value - low > step / 2)]
    return [(value, f"{value:.{decimals}f}") for value in values]
