"""A sampler over the space that is trained by PPO (arXiv 1707.06347) on the trials as they end.

Numbers are drawn from normal distributions over 0 to 1, texts and booleans from a softmax; all of them follow features
of the search so far. Every proposal carries its own draw, features and probability, so that a trial of a batch is
credited with what was known when it was drawn, however late it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoresearch.search.policies import Context
from autoresearch.search.proposal import FAILURES, History, Proposal, Result, TrialStatus
from autoresearch.search.space import Domain, Range, Scalar

KEY = "ppo"  # of a proposal's notes: draw, features, log probability
BATCH = 6  # new results before an update
WINDOW = 24  # results that an update learns from
EPOCHS = 20
CLIP = 0.3
RATE = 0.03  # of Adam
ENTROPY = 0.003
SPREAD, LEAST_SPREAD, MOST_SPREAD = 0.3, 0.03, 0.5
NUM_FEATURES = 5
FEATURE_SCALE = 0.1  # features move the distributions late and little: there are few trials

Vector = NDArray[np.float64]
Grad = tuple[Vector, Vector]
"""Of a log probability: by the location, by the spread."""


@dataclass(frozen=True)
class Number:
    """A range, or choices of numbers in their order: one location and one spread."""

    domain: Domain
    size = 1

    def first(self) -> tuple[Vector, Vector]:
        """Location and spread before anything is known."""
        return np.array([0.5]), np.array([np.log(SPREAD)])

    def draw(self, location: Vector, spread: Vector, generator: np.random.Generator) -> float:
        """A draw, which may lie beyond 0 to 1."""
        return float(generator.normal(location[0], np.exp(spread[0])))

    def value(self, draw: float) -> Scalar:
        """What a draw means."""
        if isinstance(self.domain, Range):
            return self.domain.at(draw)
        places = sorted(self.domain)  # type: ignore[type-var]
        return places[min(len(places) - 1, max(0, int(draw * len(places))))]

    def log_probability(self, draws: Vector, location: Vector, spread: Vector) -> Vector:
        """Of each draw, given each its location: (N,), (N, 1), (1,) -> (N,)."""
        found: Vector = -0.5 * ((draws - location[:, 0]) / np.exp(spread[0])) ** 2 - spread[0]
        return found

    def gradient(self, draws: Vector, location: Vector, spread: Vector) -> Grad:
        """Of the log probability: (N, 1), (N, 1)."""
        away = (draws - location[:, 0]) / np.exp(spread[0])
        return (away / np.exp(spread[0]))[:, None], (away**2 - 1)[:, None]

    def clip(self, location: Vector, spread: Vector) -> tuple[Vector, Vector]:
        """Kept where draws mean something."""
        return np.clip(location, 0, 1), np.clip(spread, np.log(LEAST_SPREAD), np.log(MOST_SPREAD))


@dataclass(frozen=True)
class Choice:
    """Texts or booleans: one logit each."""

    domain: tuple[Scalar, ...]

    @property
    def size(self) -> int:
        """Number of choices."""
        return len(self.domain)

    def first(self) -> tuple[Vector, Vector]:
        """All alike; there is no spread."""
        return np.zeros(self.size), np.zeros(0)

    def draw(self, location: Vector, spread: Vector, generator: np.random.Generator) -> float:
        """The place of a choice."""
        return float(generator.choice(self.size, p=_softmax(location[None])[0]))

    def value(self, draw: float) -> Scalar:
        """What a draw means."""
        return self.domain[min(self.size - 1, int(draw))]

    def log_probability(self, draws: Vector, location: Vector, spread: Vector) -> Vector:
        """Of each draw: (N,), (N, size), (0,) -> (N,)."""
        found: Vector = np.log(_softmax(location))[np.arange(len(draws)), draws.astype(int)]
        return found

    def gradient(self, draws: Vector, location: Vector, spread: Vector) -> Grad:
        """Of the log probability: (N, size), (N, 0)."""
        return np.eye(self.size)[draws.astype(int)] - _softmax(location), np.zeros((len(draws), 0))

    def clip(self, location: Vector, spread: Vector) -> tuple[Vector, Vector]:
        """No choice is ever given up."""
        return np.clip(location - location.mean(), -2, 2), spread


def _softmax(logits: Vector) -> Vector:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Vector = raised / raised.sum(axis=1, keepdims=True)
    return found


class Adam:
    """Steps uphill."""

    def __init__(self) -> None:
        self.first: dict[str, Vector] = {}
        self.second: dict[str, Vector] = {}
        self.num_steps: dict[str, int] = {}

    def step(self, name: str, gradient: Vector) -> Vector:
        """What to add to a parameter."""
        self.num_steps[name] = count = self.num_steps.get(name, 0) + 1
        self.first[name] = 0.9 * self.first.get(name, np.zeros_like(gradient)) + 0.1 * gradient
        self.second[name] = 0.99 * self.second.get(name, np.zeros_like(gradient)) + 0.01 * gradient**2
        scale = np.sqrt(self.second[name] / (1 - 0.99**count)) + 1e-6
        found: Vector = RATE * self.first[name] / (1 - 0.9**count) / scale
        return found


class Learned:
    """Policy `learned`; all that it learned follows from the results, in order, so it keeps no state but its draws."""

    def __init__(self, context: Context):
        config = context.config
        self.seed, self.objective, self.num_drawn = config.policy.seed, config.objective, 0
        self.axes = {name: _axis(domain) for name, domain in config.policy.params.items()}
        self.locations = {name: axis.first()[0] for name, axis in self.axes.items()}
        self.spreads = {name: axis.first()[1] for name, axis in self.axes.items()}
        self.slopes = {name: np.zeros((axis.size, NUM_FEATURES)) for name, axis in self.axes.items()}
        self.adam, self.results, self.num_new = Adam(), list[Result](), 0

    def propose(self, count: int, history: History) -> list[Proposal]:
        """Draw a batch."""
        return [self._draw() for _ in range(count)]

    def _draw(self) -> Proposal:
        generator = np.random.default_rng((self.seed, self.num_drawn))
        self.num_drawn += 1
        features = self.features()
        draws = {
            name: axis.draw(self.locations[name] + self.slopes[name] @ features, self.spreads[name], generator)
            for name, axis in self.axes.items()
        }
        chance = self.log_probability({name: np.array([one]) for name, one in draws.items()}, features[None])
        notes = {"draws": draws, "features": features.tolist(), "log_probability": float(chance[0])}
        params = {name: axis.value(draws[name]) for name, axis in self.axes.items()}
        return Proposal(params=params, source="learned", notes={KEY: notes})

    def features(self) -> Vector:
        """The search so far: its length, streak and failures, and how the last trial and the best one were moving."""
        if not self.results:
            return np.zeros(NUM_FEATURES)
        good = [one for one in self.results if one.status == TrialStatus.OK and one.metric is not None]
        best = min(good, key=lambda one: self._loss(one), default=None)
        streak = self.results[-1].number - best.number if best else len(self.results)
        failed = sum(one.status in FAILURES for one in self.results) / len(self.results)
        moving = [self._trend(one) if one else 0.0 for one in (self.results[-1], best)]
        number = len(self.results)
        return FEATURE_SCALE * np.array([number / (number + 20), streak / (streak + 5), failed, *moving])

    def _loss(self, result: Result) -> float:
        assert result.metric is not None
        return result.metric if self.objective.direction == "min" else -result.metric

    def _trend(self, result: Result) -> float:
        """Share of a trial's improvement that came in the second half of its reports, -1 to 1."""
        name = self.objective.metric
        values = [one.metrics[name] for one in result.reports if name in one.metrics]
        if len(values) < 3:
            return 0.0
        whole, late = values[-1] - values[0], values[-1] - values[len(values) // 2]
        return float(np.clip(late / whole, -1, 1)) if whole else 0.0

    def tell(self, result: Result) -> None:
        """Learn, once enough trials of its own have ended."""
        self.results.append(result)
        self.num_new += KEY in result.proposal.notes
        if self.num_new >= BATCH:
            self.num_new = 0
            self.update()

    def update(self) -> None:
        """Some epochs of PPO on the newest of its own trials."""
        own = [one for one in self.results if KEY in one.proposal.notes][-WINDOW:]
        notes: list[Any] = [one.proposal.notes[KEY] for one in own]
        draws = {name: np.array([one["draws"][name] for one in notes]) for name in self.axes}
        features = np.array([one["features"] for one in notes])
        before = np.array([one["log_probability"] for one in notes])
        gain = self.advantages(own)
        for _ in range(EPOCHS):
            ratio = np.exp(np.clip(self.log_probability(draws, features) - before, -20, 20))
            is_free = np.where(gain > 0, ratio < 1 + CLIP, ratio > 1 - CLIP)
            self._climb(draws, features, gain * ratio * is_free / len(own))

    def advantages(self, own: Sequence[Result]) -> Vector:
        """By rank, so that neither the scale of the metric nor an outlier counts; equals share, what failed is last."""
        losses = np.array([self._loss(one) if one.metric is not None else np.inf for one in own])
        by_rank = np.maximum(0.0, np.log(len(own) / 2 + 1) - np.log(np.arange(len(own)) + 1))
        in_order = np.sort(losses)
        useful = np.array([by_rank[in_order == one].mean() for one in losses])
        found: Vector = (useful - useful.mean()) / (useful.std() + 1e-9)
        return found

    def log_probability(self, draws: Mapping[str, Vector], features: Vector) -> Vector:
        """Of whole proposals: (N,) by name, (N, NUM_FEATURES) -> (N,)."""
        parts = [
            axis.log_probability(draws[name], self._location(name, features), self.spreads[name])
            for name, axis in self.axes.items()
        ]
        found: Vector = np.sum(parts, axis=0)
        return found

    def _location(self, name: str, features: Vector) -> Vector:
        found: Vector = self.locations[name] + features @ self.slopes[name].T
        return found

    def _climb(self, draws: Mapping[str, Vector], features: Vector, weights: Vector) -> None:
        """One step along the weighted gradient of the log probabilities, and towards wider distributions."""
        for name, axis in self.axes.items():
            by_location, by_spread = axis.gradient(draws[name], self._location(name, features), self.spreads[name])
            self.slopes[name] += self.adam.step(f"slope {name}", (by_location * weights[:, None]).T @ features)
            location = self.locations[name] + self.adam.step(f"location {name}", weights @ by_location)
            spread = self.spreads[name] + self.adam.step(f"spread {name}", weights @ by_spread + ENTROPY)
            self.locations[name], self.spreads[name] = axis.clip(location, spread)

    def state(self) -> dict[str, Any]:
        """How many draws were made."""
        return {"num_drawn": self.num_drawn}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """Learn from the results again, which takes milliseconds."""
        for result in told:
            self.tell(result)
        self.num_drawn = state.get("num_drawn", 0)


def _axis(domain: Domain) -> Number | Choice:
    is_number = isinstance(domain, Range) or not any(isinstance(one, bool | str) for one in domain)
    return Number(domain) if is_number else Choice(domain)  # type: ignore[arg-type]
