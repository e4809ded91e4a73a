"""Optuna's samplers by ask and tell: uniform, TPE, CMA-ES. The study lives in memory and is made again from the store.

A sampler is seeded anew for every batch, by the number of trials before it, so that a search that was cut off goes on
as it would have gone. CMA-ES is the sum of its past: its draws are repeated, the others' are taken as recorded.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from autoresearch.search.policies import Context
from autoresearch.search.proposal import History, Proposal, Result, TrialStatus
from autoresearch.search.space import Domain, Range, Scalar, same

KEY = "ask"  # of a proposal's notes: its number among what this policy drew


class Axis:
    """One parameter as Optuna knows it; choices of numbers are places in their order, so that neighbours are near."""

    def __init__(self, domain: Domain):
        self.domain = domain
        self.places: list[Scalar] = []
        self.distribution: BaseDistribution
        if isinstance(domain, Range):
            kind = IntDistribution if domain.is_integer else FloatDistribution
            high, step = domain.high, dict[str, Any]()
            if domain.step is not None:
                high, step = domain.nth((domain.count() or 1) - 1), {"step": domain.step}  # type: ignore[assignment]
            self.distribution = kind(domain.low, high, log=domain.log, **step)  # type: ignore[arg-type]
        elif any(isinstance(one, str | bool) for one in domain):
            self.distribution = CategoricalDistribution(domain)
        else:
            self.places = sorted(domain)
            self.distribution = IntDistribution(0, len(domain) - 1)

    def value(self, drawn: Any) -> Scalar:
        """The parameter that a draw means."""
        found: Scalar = self.places[drawn] if self.places else drawn
        return found

    def drawn(self, value: Scalar) -> Any:
        """The draw that means a parameter."""
        return next(place for place, one in enumerate(self.places) if same(one, value)) if self.places else value


class Tpe:
    """Tree-structured Parzen estimator; points that still run count as bad, so that a batch spreads out."""

    source = "tpe"
    redraws = False
    """Whether the past is drawn again, since the sampler keeps its state in its own trials."""

    def __init__(self, context: Context):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        policy = context.config.policy
        self.metric, self.space, self.seed = context.config.objective.metric, policy.params, policy.seed
        self.axes = {name: Axis(domain) for name, domain in self.space.items()}
        self.distributions = {name: axis.distribution for name, axis in self.axes.items()}
        is_min = context.config.objective.direction == "min"
        direction = StudyDirection.MINIMIZE if is_min else StudyDirection.MAXIMIZE
        self.study = optuna.create_study(direction=direction, sampler=self.sampler(self.seed))
        self.open: dict[int, optuna.Trial] = {}
        self.chosen: dict[int, Mapping[str, Scalar]] = {}
        """Points that somebody else chose, by their number: the sampler takes them for its own."""
        self.batches: list[tuple[int, int]] = []
        """Of every batch: how many results were told before it, and its size."""
        self.num_told = self.num_drawn = 0

    def sampler(self, seed: int) -> BaseSampler:
        """A fresh sampler."""
        return TPESampler(seed=seed, constant_liar=True)

    def propose(self, count: int, history: History) -> list[Proposal]:
        """Draw a batch."""
        self.batches.append((self.num_told, count))
        return [
            Proposal(params=self.params_of(trial), source=self.source, notes={KEY: key})
            for key, trial in self._draw(count, {})
        ]

    def params_of(self, trial: optuna.Trial) -> dict[str, Scalar]:
        """What a point of the study means."""
        return {name: axis.value(trial.params[name]) for name, axis in self.axes.items()}

    def _draw(self, count: int, recorded: Mapping[int, Mapping[str, Scalar]]) -> list[tuple[int, optuna.Trial]]:
        """Ask the study, or repeat what it was asked before."""
        generator = random.Random(f"{self.seed} {self.num_drawn}")  # not their sum, which campaigns would share
        self.study.sampler = self.sampler(generator.randrange(2**32))
        found = []
        for key in range(self.num_drawn, self.num_drawn + count):
            if point := self.chosen.get(key) or (None if self.redraws else recorded.get(key)):
                self.study.enqueue_trial({name: self.axes[name].drawn(one) for name, one in point.items()})
            self.open[key] = self.study.ask(self.distributions)
            if key in self.chosen:
                _ = self.open[key].relative_params  # has the sampler count it as its own
            found.append((key, self.open[key]))
        self.num_drawn += count
        return found

    def tell(self, result: Result) -> None:
        """Give the study its value; a point that others proposed counts too, where it lies in the space."""
        self.num_told += 1
        params, key = result.proposal.params, result.proposal.notes.get(KEY)
        trial = self.open.pop(key, None) if isinstance(key, int) else None
        if trial and self.params_of(trial) != params:
            self.study.tell(trial, state=TrialState.FAIL)  # another point than was drawn: the space was changed
            trial = None
        if trial is None:
            if result.status == TrialStatus.OK and not self.space.problems(params):
                drawn = {name: axis.drawn(params[name]) for name, axis in self.axes.items()}
                foreign = optuna.create_trial(params=drawn, distributions=dict(self.distributions), value=result.metric)
                self.study.add_trial(foreign)
        elif result.status == TrialStatus.OK:
            self.study.tell(trial, result.metric)
        else:  # without a value it ranks behind all that have one
            reports = result.reports if result.status == TrialStatus.CANCELLED else []
            values = {max(0, int(one.step)): one.metrics[self.metric] for one in reports if self.metric in one.metrics}
            for step, value in values.items():
                trial.report(value, step)
            self.study.tell(trial, state=TrialState.PRUNED)

    def state(self) -> dict[str, Any]:
        """Order of draws and results; the results themselves are in the store."""
        return {"batches": self.batches}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """Go through the past again."""
        recorded: dict[int, Mapping[str, Scalar]] = {}
        for proposal in (*(result.proposal for result in told), *pending):
            if isinstance(key := proposal.notes.get(KEY), int) and not self.space.problems(proposal.params):
                recorded[key] = proposal.params
        for before, count in state.get("batches", []):
            for result in told[self.num_told : before]:
                self.tell(result)
            self._draw(count, recorded)
            self.batches.append((before, count))
        for result in told[self.num_told :]:
            self.tell(result)


class Random(Tpe):
    """Independent uniform draws."""

    source = "random"

    def sampler(self, seed: int) -> BaseSampler:
        """A fresh sampler."""
        return RandomSampler(seed=seed)


class Cmaes(Tpe):
    """CMA-ES over all numbers, choices of numbers among them; texts and booleans are drawn at random."""

    source = "cmaes"
    redraws = True

    def sampler(self, seed: int) -> BaseSampler:
        """A fresh sampler."""
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)

    def describe(self) -> dict[str, Any]:
        """Where the search stands: mean by parameter, step size, covariance of the 0-to-1 coordinates of `names`.

        Empty before the first generation is complete.
        """
        sampler = self.study.sampler
        assert isinstance(sampler, CmaEsSampler)
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        optimizer = sampler._restore_optimizer(complete)
        if optimizer is None:
            return {}
        names = [name for name in sorted(self.axes) if not self._is_fixed(name)]
        shares = dict(zip(names, (float(one) for one in optimizer.mean), strict=True))
        return {
            "generation": optimizer.generation,
            "names": names,
            "mean": {name: self._at(name, share) for name, share in shares.items()},
            "sigma": float(optimizer._sigma),
            "covariance": [[float(one) for one in row] for row in optimizer._C],
        }

    def _is_fixed(self, name: str) -> bool:
        """Whether CMA-ES leaves a parameter alone."""
        distribution = self.distributions[name]
        return isinstance(distribution, CategoricalDistribution) or distribution.single()

    def _at(self, name: str, share: float) -> Scalar:
        axis = self.axes[name]
        if isinstance(axis.domain, Range):
            return axis.domain.at(share)
        return axis.places[min(len(axis.places) - 1, max(0, round(share * (len(axis.places) - 1))))]
