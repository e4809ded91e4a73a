"""Campaigns of attempts as a simulation: how scores scatter, what ideas are worth, how an attempt is played out.

Effects and qualities are in units of sigma, the noise of one run; positive is better. Effects add up, a kept change
costs nothing, and ideas never repeat: nothing here models ideas that interact or a search that gets stuck.
"""

import copy
import math
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autoresearch import verdict as rule
from autoresearch.signals import Measured, drift, is_champion_stale
from autoresearch.verdict import Noise, Verdict, estimate_noise

PRIOR_SIGMA = 5e-4  # at a score of 1, so that the prior is right where `noise_ratio` is 1


@dataclass(frozen=True)
class World:
    """How scores scatter and move."""

    name: str
    shape: str = "normal"
    """`normal`; `t3` is Student's t with 3 degrees of freedom; `uneven` gives each configuration its own noise."""
    noise_ratio: float = 1.0
    """True noise of one run over the prior's."""
    known: bool = False
    """The rule is told the true noise."""
    runs_between_drifts: float = math.inf
    """Mean number of runs after which the machine moves all scores."""
    drift_sigmas: float = 0.0
    """Standard deviation of the machine's offset."""
    spent: bool = False
    """No idea is left that changes the score for the better."""

    def draw_effect(self, rng: random.Random) -> float:
        """Draw from the mix: of 100 ideas 10 gains of 0.5-20 sigma (5 under 2), 45 within 1, 45 worse by 1-20."""
        u = rng.random()
        if u >= 0.55:
            return -(20 ** rng.random())
        if u >= 0.10 or self.spent:
            return 0.0 if self.spent else rng.uniform(-1, 1)
        return rng.uniform(0.5, 2) if u < 0.05 else 2 * 10 ** rng.random()


@dataclass
class Branch:
    """One campaign: the champion, its measurements, and the true quality that only the simulation knows."""

    world: World
    rng: random.Random
    quality: float = 0.0
    spread: float = 1.0
    offset: float = 0.0
    champion: list[float] = field(default_factory=list)
    closed: list[list[float]] = field(default_factory=list)  # runs of every configuration that is not the champion
    judged: Verdict | None = None  # the last one of our rule
    kept: Verdict | None = None  # the one that made the champion, as long as its runs are part of the mean
    num_runs: int = 0
    num_attempts: int = 0
    since_check: int = 0
    keeps: list[float] = field(default_factory=list)  # true effects of what was kept
    claimed: float = 0.0  # sum of the steps as they were measured

    def fork(self) -> "Branch":
        """Return a copy that shares only the random numbers."""
        return Branch(**{**vars(self), **{k: copy.copy(getattr(self, k)) for k in ("champion", "closed", "keeps")}})

    def draw_spread(self) -> float:
        return math.exp(0.4 * self.rng.gauss(0, 1) - 0.16) if self.world.shape == "uneven" else 1.0

    def measure(self, quality: float, spread: float) -> float:
        """Run one configuration once and return its score, lower is better."""
        self.num_runs += 1
        if self.rng.random() < 1 / self.world.runs_between_drifts:
            self.offset = self.rng.gauss(0, self.world.drift_sigmas)
        noise = self.rng.gauss(0, 1)
        if self.world.shape == "t3":  # over its own standard deviation, sqrt(3)
            noise /= math.sqrt(self.rng.gammavariate(1.5, 2))
        return 1 - PRIOR_SIGMA * self.world.noise_ratio * (quality + self.offset + spread * noise)

    def noise(self, candidate: list[float]) -> Noise:
        if self.world.known:
            return Noise(PRIOR_SIGMA * self.world.noise_ratio, math.inf)
        return estimate_noise([*(runs for runs in self.closed if len(runs) > 1), self.champion, candidate])

    def luck(self) -> float:
        return rule.luck_of(self.kept, len(self.champion)) if self.kept else 0.0

    def measure_champion(self, watch_drift: bool) -> None:
        """Add a run of the champion; where it disagrees with the earlier ones, start its measurements anew."""
        self.since_check = 0
        latest = self.measure(self.quality, self.spread)
        history = [Measured(score, 0) for score in self.champion]
        if watch_drift and drift(history, Measured(latest, 0), self.noise([latest])):
            self.closed.append(self.champion)
            self.kept = None
            self.champion = [latest, self.measure(self.quality, self.spread)]
        else:
            self.champion = [*self.champion, latest]


@dataclass(frozen=True)
class Rule:
    """A way to decide: `judge` answers like `decide`."""

    name: str
    judge: Callable[[list[float], Branch], str]
    setup_runs: int
    watches: bool = False  # measures a stale champion again and looks for drift


def start(world: World, how: Rule, rng: random.Random) -> Branch:
    branch = Branch(world, rng)
    branch.spread = branch.draw_spread()
    branch.champion = [branch.measure(0.0, branch.spread) for _ in range(how.setup_runs)]
    return branch


def attempt(branch: Branch, how: Rule, effect: float) -> bool:
    """Play one attempt to its verdict and return whether it was kept."""
    branch.num_attempts += 1
    if how.watches and is_champion_stale(branch.since_check):
        branch.measure_champion(how.watches)
    branch.since_check += 1
    quality, spread = branch.quality + effect, branch.draw_spread()
    runs = [branch.measure(quality, spread)]
    while (decision := how.judge(runs, branch)).startswith("again"):
        if decision == "again":
            runs.append(branch.measure(quality, spread))
        else:
            branch.measure_champion(how.watches)
    if decision == "discard":
        branch.closed.append(runs)
        return False
    sigma = PRIOR_SIGMA * branch.world.noise_ratio
    branch.claimed += (statistics.fmean(branch.champion) - statistics.fmean(runs)) / sigma
    branch.closed.append(branch.champion)
    branch.keeps.append(effect)
    branch.champion, branch.quality, branch.spread, branch.since_check = runs, quality, spread, 0
    branch.kept = branch.judged
    return True
