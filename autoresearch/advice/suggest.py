"""Propose values: Optuna's sampler and steps near the best make candidates, a model of the history ranks them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autoresearch.advice.dials import Dial
from autoresearch.advice.history import Sample
from autoresearch.advice.model import Model
from autoresearch.errors import BadConfig, Refused

if TYPE_CHECKING:
    import numpy as np

Sampler = Literal["tpe", "cmaes"]
POOL = 128  # candidates that are ranked
ASKED = 16  # of them from the sampler
STEP = 0.15  # of the range: one standard deviation of a step near the best
WARM_START = 10  # runs from which CMA-ES can begin: it takes the best tenth of them
CRASH_PRIOR = 0.05
CRASH_LENGTH = 0.15
LEAST_P_RUNS = 0.5  # what crashes more often than that is not suggested while there is anything else


@dataclass(frozen=True)
class Suggestion:
    """Values to try, those that differ from the champion's."""

    values: dict[str, float]
    gain: float
    """Predicted improvement of the score, positive is better."""
    error: float
    """One standard deviation of that."""
    p_runs: float
    """Probability that it runs at all."""


@dataclass(frozen=True)
class Advice:
    """What to try, and what the history says of each dial."""

    dials: list[Dial]
    importance: dict[str, float]
    """Share of each dial in what the predicted score moves by over the ranges; empty without samples that differ."""
    suggestions: list[Suggestion]
    num_samples: int


def suggest(
    dials: Sequence[Dial], samples: Sequence[Sample], sigma: float, count: int, sampler: Sampler, seed: int
) -> Advice:
    """Propose values.

    Args:
        samples: the champion first.
        sigma: standard deviation of one run.
        count: how many to propose, best first; later ones allow for the earlier being tried.

    Raises:
        Refused: there is nothing to turn.
        BadConfig: the extra `search` is missing.
    """
    if not dials:
        raise Refused("train.py has no numeric constant that could be turned; give one a comment `# range: LOW..HIGH`")
    try:
        import numpy as np
        import optuna  # noqa: F401
    except ImportError as error:
        raise BadConfig("`suggest` needs more packages; run `uv run --extra search -m autoresearch suggest`") from error
    rng = np.random.default_rng(seed)
    ran = [one for one in samples if one.loss is not None]
    truth = model = Model(ran, sigma)
    champion = np.array(samples[0].places)
    importance = model.importance(champion) if len(ran) > 1 else []
    best = float(model.predict(np.array([one.places for one in ran]))[0].min())
    pool = candidates(dials, samples, sampler, rng)
    suggestions: list[Suggestion] = []
    while len(pool) and len(suggestions) < count:
        mean, doubt = model.predict(pool)
        runs = p_runs(pool, samples)
        worth = expected_improvement(best - mean, doubt) * runs
        chosen = int(np.argmax(np.where(runs >= min(LEAST_P_RUNS, runs.max()), worth, -1.0)))
        place = pool[chosen]
        values = {dial.key: dial.at(x) for dial, x in zip(dials, place, strict=True)}
        changed = {dial.key: values[dial.key] for dial in dials if values[dial.key] != dial.value}
        gain, spread = truth.difference(champion, place)
        suggestions.append(Suggestion(changed, gain, spread, float(runs[chosen])))
        model = model.with_sample(Sample(tuple(place), float(mean[chosen])))
        pool = np.delete(pool, chosen, axis=0)
    shares = dict(zip((dial.key for dial in dials), importance, strict=False))
    return Advice(list(dials), shares, suggestions, len(samples))


def expected_improvement(gain: "np.ndarray", error: "np.ndarray") -> "np.ndarray":
    """Of candidates with a mean gain and its standard deviation (Jones, Schonlau and Welch 1998)."""
    import numpy as np

    error = np.maximum(error, 1e-12)
    z = gain / error
    below = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in z])
    return gain * below + error * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def p_runs(pool: "np.ndarray", samples: Sequence[Sample]) -> "np.ndarray":
    """Probability that each of M candidates runs: by the crashes and the runs near it, and a little doubt."""
    import numpy as np

    places = np.array([one.places for one in samples])
    crashed = np.array([one.loss is None for one in samples], dtype=float)
    length = CRASH_LENGTH * math.sqrt(places.shape[1])
    near = np.exp(-0.5 * ((pool[:, None, :] - places[None]) ** 2).sum(-1) / length**2)  # (M, N)
    return 1 - (near @ crashed + CRASH_PRIOR) / (near.sum(1) + 1)


def candidates(dials: Sequence[Dial], samples: Sequence[Sample], sampler: Sampler, rng: Any) -> "np.ndarray":
    """Places (M, D) whose values none of the samples has: from the sampler, and near the best."""
    import numpy as np

    ran = [one for one in samples if one.loss is not None]
    best = np.array(min(ran, key=lambda one: one.loss or 0.0).places)
    found = [*ask(dials, samples, sampler, int(rng.integers(2**31)))]
    while len(found) < POOL:
        place = best.copy()
        turned = rng.choice(len(dials), size=min(len(dials), int(rng.integers(1, 5))), replace=False)
        place[turned] = place[turned] + STEP * rng.choice([0.5, 1.0, 2.0]) * rng.standard_normal(len(turned))
        found.append(tuple(np.clip(place, 0, 1)))
    known = {values_at(dials, one.places) for one in samples}
    new = [one for one in dict.fromkeys(values_at(dials, one) for one in found) if one not in known]
    rows = [[dial.place(x) for dial, x in zip(dials, values, strict=True)] for values in new]
    return np.array(rows).reshape(-1, len(dials))


def values_at(dials: Sequence[Dial], places: Sequence[float]) -> tuple[float, ...]:
    """The values as they would be written."""
    return tuple(dial.at(place) for dial, place in zip(dials, places, strict=True))


def ask(dials: Sequence[Dial], samples: Sequence[Sample], sampler: Sampler, seed: int) -> list[tuple[float, ...]]:
    """Places that Optuna's sampler proposes when told of the samples; those that did not run count as infeasible."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: dict[str, Any] = {dial.key: optuna.distributions.FloatDistribution(0, 1) for dial in dials}
    worst = max(one.loss for one in samples if one.loss is not None)
    trials = [
        optuna.trial.create_trial(
            value=worst if one.loss is None else one.loss,
            params=dict(zip(space, one.places, strict=True)),
            distributions=space,
            constraints={"runs": 1.0 if one.loss is None else -1.0},
        )
        for one in samples
    ]
    ran = [trial for trial, one in zip(trials, samples, strict=True) if one.loss is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is experimental
        if sampler == "tpe":
            chosen: Any = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=len(dials), seed=seed)
        elif len(ran) >= max(WARM_START, len(dials) + 1):  # Nomura et al. 2021
            chosen = optuna.samplers.CmaEsSampler(source_trials=ran, seed=seed)
        else:
            start = min(ran, key=lambda trial: trial.value or 0.0).params
            chosen = optuna.samplers.CmaEsSampler(x0=start, sigma0=STEP, seed=seed)
        study = optuna.create_study(sampler=chosen)
        study.add_trials(trials)
        return [tuple(study.ask(space).params[name] for name in space) for _ in range(ASKED)]
