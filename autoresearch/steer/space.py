"""Which plans a campaign may try: the free numbers of a plan, each with its range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from autoresearch.steer.plan import LEAST_DECAY, MOST_FINAL, Plan, Shape

# Fractional parts of multiples of these fill four dimensions evenly however many are taken: powers of the inverse of
# the positive root of x^5 = x + 1 (Roberts 2018).
ALPHAS = tuple(1.1673039782614187**-power for power in (1, 2, 3, 4))


@dataclass(frozen=True)
class Space:
    """Ranges; warmup and the learning rate after it are fixed for a campaign."""

    lr_low: float
    """Lowest peak."""
    lr_high: float
    """Highest peak."""
    lr_start: float
    """At the end of the warmup, and the peak where that is lower."""
    warmup: float = 0.05
    ramp: tuple[float, float] = (0.0, 0.4)
    decay: tuple[float, float] = (LEAST_DECAY, 0.9)
    final: tuple[float, float] = (0.0, MOST_FINAL)
    shapes: tuple[Shape, ...] = ("linear", "cosine", "sqrt")

    def plan(self, places: Sequence[float], shape: Shape = "linear") -> Plan:
        """The plan at four places, each 0 to 1: peak (in its logarithm), ramp, decay, final.

        Where both do not fit into the run, the ramp is shortened.
        """
        peak, ramp, decay, final = (min(1.0, max(0.0, place)) for place in places)
        lr_peak = _rounded(self.lr_low * (self.lr_high / self.lr_low) ** peak)
        fall = min(_rounded(_between(self.decay, decay)), 1 - self.warmup)
        return Plan(
            warmup=self.warmup,
            ramp=min(_rounded(_between(self.ramp, ramp)), max(0.0, 1 - self.warmup - fall)),
            lr_start=min(self.lr_start, lr_peak),
            lr_peak=lr_peak,
            decay=fall,
            shape=shape,
            final=_rounded(_between(self.final, final)),
        )

    def places(self, plan: Plan) -> list[float]:
        """The inverse of `plan`, also beyond the ranges."""
        peak = math.log(plan.lr_peak / self.lr_low) / math.log(self.lr_high / self.lr_low)
        pairs = ((plan.ramp, self.ramp), (plan.cooldown, self.decay), (plan.final, self.final))
        return [peak, *((value - low) / (high - low) if high > low else 0.0 for value, (low, high) in pairs)]

    def draw(self, random: Random) -> Plan:
        """Any plan."""
        return self.plan([random.random() for _ in ALPHAS], random.choice(self.shapes))

    def near(self, plan: Plan, step: float, random: Random) -> Plan:
        """A plan that differs in one to four numbers, each by about `step` of its range."""
        places = self.places(plan)
        for turned in random.sample(range(len(places)), random.randint(1, len(places))):
            places[turned] += step * random.gauss(0, 1)
        shape = plan.shape if plan.shape in self.shapes and random.random() < 0.8 else random.choice(self.shapes)
        return self.plan(places, shape)

    def spread(self, number: int) -> Plan:
        """The plan number 0, 1, ... of a sequence that fills the space evenly, beginning in its middle."""
        return self.plan([(0.5 + number * alpha) % 1 for alpha in ALPHAS])


def _between(ends: tuple[float, float], place: float) -> float:
    return ends[0] + place * (ends[1] - ends[0])


def _rounded(value: float) -> float:
    """Three digits, as it is printed."""
    return float(f"{value:.3g}")
