"""Known response surfaces for steering: what a schedule of learning rates would score, and whether it would diverge.

A schedule is its learning rate at 200 points of progress, so a surface knows nothing of plans or of the memory's
features. Four families, each drawn anew from a seed: `mean` (the mean rate decides, as in the published rounds),
`cliff` (the same with divergence right above the optimum), `valley` (a bent valley over peak, decay and end), `modes`
(gradient descent on a noisy quadratic whose sharpness is highest at the start). Nothing here models a guard or a
controller.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

POINTS = 200
LOW, HIGH = 1e-4, 3e-2  # learning rates that may be planned
BASE = 1.2  # the best possible score is about this
SIGMA_REL = 0.003  # noise of one run as a share of the score
TOLERANCE = 2 * SIGMA_REL  # a schedule is in the optimum's region if it truly scores within this of the optimum
MOST_P_DIVERGE = 0.25  # and diverges no more often than this

Response = Callable[[np.ndarray], tuple[float, float]]
"""Learning rates (POINTS,) to the expected score and the probability that the run diverges."""


@dataclass(frozen=True)
class Surface:
    """One drawn surface."""

    name: str
    seed: int
    respond: Response

    def run(self, lr: np.ndarray, rng: random.Random) -> float | None:
        """The score of one run; None where it diverged."""
        score, p_diverge = self.respond(lr)
        return None if rng.random() < p_diverge else score * (1 + SIGMA_REL * rng.gauss(0, 1))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, x))))


def _rise(lr: np.ndarray) -> float:
    """Share of the run from a tenth of the peak to nine tenths."""
    peak = lr.max()
    return float(np.argmax(lr >= 0.9 * peak) - np.argmax(lr >= 0.1 * peak)) / len(lr)


def mean(seed: int, headroom: tuple[float, float] = (3.0, 8.0), name: str = "mean") -> Surface:
    """The log of the mean rate decides, and how much of it is left at the end.

    Args:
        headroom: range of the peak at which half the runs diverge, over the peak of a good linear schedule.
    """
    rng = random.Random(f"{name}{seed}")
    best_mean = math.exp(rng.uniform(math.log(8e-4), math.log(4e-3)))
    bend, tail_cost, rush_cost = rng.uniform(0.02, 0.05), rng.uniform(0.03, 0.08), rng.uniform(0.0, 0.02)
    edge = best_mean * 1.7 * rng.uniform(*headroom)
    steep = rng.uniform(4, 8)

    def respond(lr: np.ndarray) -> tuple[float, float]:
        left = float(lr[-len(lr) // 10 :].mean()) / best_mean
        off = math.log(float(lr.mean()) / best_mean)
        rush = math.exp(-_rise(lr) / 0.03)
        score = BASE * (1 + bend * off**2 + tail_cost * left + rush_cost * rush * float(lr.max()) / edge)
        return score, _logistic(steep * (math.log(float(lr.max()) / edge) + 0.3 * rush) - 1)

    return Surface(name, seed, respond)


def cliff(seed: int) -> Surface:
    """As `mean`, with half the runs diverging at little more than the best peak."""
    return mean(seed, headroom=(1.3, 1.8), name="cliff")


def valley(seed: int) -> Surface:
    """A quadratic in log peak, start of the decay and end ratio, in which a higher peak wants an earlier decay."""
    rng = random.Random(f"valley{seed}")
    peak, start, end = math.log(rng.uniform(2e-3, 1e-2)), rng.uniform(0.2, 0.7), rng.uniform(0.0, 0.2)
    bend, tie, steep = rng.uniform(0.02, 0.05), rng.uniform(0.3, 0.8), rng.uniform(4, 8)
    edge = math.exp(peak) * rng.uniform(2.0, 5.0)

    def respond(lr: np.ndarray) -> tuple[float, float]:
        top = float(lr.max())
        held = float(np.flatnonzero(lr >= 0.95 * top)[-1]) / (len(lr) - 1)
        x = (math.log(top) - peak) / 0.8
        y = (held - start) / 0.3
        z = (float(lr[-len(lr) // 20 :].mean()) / top - end) / 0.3
        score = BASE * (1 + bend * (x * x + y * y + 2 * tie * x * y + 0.7 * z * z))
        return score, _logistic(steep * (math.log(top / edge) + 0.2 * math.exp(-_rise(lr) / 0.03)))

    return Surface("valley", seed, respond)


def modes(seed: int) -> Surface:
    """Expected loss of stochastic gradient descent on a quadratic of 24 directions, by the exact recursion."""
    rng = random.Random(f"modes{seed}")
    curvature = np.logspace(0, -rng.uniform(3.0, 4.0), 24)
    scale = 0.5 / math.exp(rng.uniform(math.log(1.5e-3), math.log(5e-3)))  # rate 1/scale is half the stable limit
    sharp, noise, every, steps = rng.uniform(0.5, 2.0), rng.uniform(0.02, 0.08), 4, 80

    def respond(lr: np.ndarray) -> tuple[float, float]:
        power = curvature**-0.7  # squared distance of each direction at the start
        initial = float((curvature * power).sum())
        worst = 0.0
        for place, rate in enumerate(lr[::every]):
            h = curvature * (1 + sharp * math.exp(-every * place / len(lr) / 0.08))
            step = scale * rate
            worst = max(worst, step * float(h[0]))
            keep = np.minimum((1 - step * h) ** 2, 1.1)
            grown = keep**steps
            added = noise * step**2 * h
            power = grown * power + added * np.where(np.abs(1 - keep) < 1e-9, steps, (1 - grown) / (1 - keep))
            power = np.minimum(power, 1e6)
        loss = float((curvature * power).sum()) / initial
        return BASE * (1 + 4 * min(loss, 1.0)), _logistic(12 * (worst - 1.9))

    return Surface("modes", seed, respond)


FAMILIES: dict[str, Callable[[int], Surface]] = {"mean": mean, "cliff": cliff, "valley": valley, "modes": modes}


def optimum(surface: Surface, schedules: Sequence[np.ndarray]) -> tuple[int, float]:
    """Which of many schedules is truly the best of those that rarely diverge, and its expected score."""
    found = [surface.respond(lr) for lr in schedules]
    fair = [number for number, (_, p) in enumerate(found) if p <= MOST_P_DIVERGE]
    best = min(fair, key=lambda number: found[number][0])
    return best, found[best][0]


def is_in_region(surface: Surface, lr: np.ndarray, best: float) -> bool:
    """Whether a schedule is as good as the optimum, within the tolerance."""
    score, p_diverge = surface.respond(lr)
    return score <= best * (1 + TOLERANCE) and p_diverge <= MOST_P_DIVERGE
