"""A campaign: rounds one after the other, each from what the memory says; or the baselines, under the same rules."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoresearch.errors import BadConfig, Busy, NoGoodTrial
from autoresearch.ledger import locked
from autoresearch.sandbox import files
from autoresearch.search import own
from autoresearch.steer import state
from autoresearch.steer.bench import Bench
from autoresearch.steer.config import Config
from autoresearch.steer.controllers import Controller, Nobody
from autoresearch.steer.desk import Desk
from autoresearch.steer.logs import Logs
from autoresearch.steer.plan import Plan
from autoresearch.steer.round import Round
from autoresearch.steer.rows import BASELINE_ARMS, Final, Start
from autoresearch.steer.state import State

PINS = "config.json"
MOST_LOST = 2  # rounds on end that the machine may cost before a campaign stops
# may change while a campaign goes on
FREE = {"rounds", "peaks", "repeats", "device", "backoff_s", "hung_s", "start_s", "round_s"}
BASELINES: dict[str, dict[str, Any]] = {
    "cosine10": {"shape": "cosine", "final": 0.1},
    "cosine0": {"shape": "cosine", "final": 0.0},
    "linear0": {"shape": "linear", "final": 0.0},
    "wsd": {"shape": "linear", "final": 0.0, "decay": 0.2},
}
Memory = Callable[[Sequence[Final]], Start]
"""Where the next round begins, from those that are over."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A round that is to be."""

    name: str
    """Of its folder."""
    round: int
    arm: str
    seed: int
    is_guarded: bool

    def state(self, start: Start) -> State:
        """It, as it begins."""
        return State(
            round=self.round, arm=self.arm, seed=self.seed, is_guarded=self.is_guarded, start=start, plan=start.plan
        )  # fmt: skip


@dataclass
class Campaign:
    """An open campaign."""

    bench: Bench
    folder: Path
    logs: Logs
    say: Say
    num_lost: int = 0
    """Rounds on end that ended for no fault of the learning rate, since the campaign was opened."""

    @property
    def config(self) -> Config:
        """Its configuration."""
        return self.bench.config

    def steer(self, controller: Controller, memory: Memory) -> list[Final]:
        """Run what is missing of the rounds; returns all of them."""
        desk, arm = Desk(controller), self.config.controller
        for number in range(1, self.config.rounds + 1):
            seed = self.config.seed + number - 1
            job = Job(f"{number:04d}", number, arm, seed, self.config.guard)
            self.run(job, desk, lambda: memory([one for one in self.logs.finals() if one.arm == arm]))
        return [one for one in self.logs.finals() if one.arm == arm]

    def baselines(self, kinds: Sequence[str], is_guarded: bool) -> list[Final]:
        """Run what is missing of the sweep: every peak with every kind of decay and every seed; returns all of it."""
        prefix = BASELINE_ARMS[0 if is_guarded else 1]
        jobs = [
            (peak, kind, turn) for peak in self.config.sweep() for kind in kinds for turn in range(self.config.repeats)
        ]
        names = set()
        for number, (peak, kind, turn) in enumerate(jobs, 1):
            seed = self.config.seed + turn
            name = f"{prefix[:-1]}-{kind}-{peak:g}-{seed}"
            start = Start(plan=baseline(self.config, kind, peak), memory={"baseline": kind, "name": name})
            names.add(name)
            self.run(Job(name, number, f"{prefix}{kind}", seed, is_guarded), Desk(Nobody()), partial(_given, start))
        return [one for one in self.logs.finals() if one.memory.get("name") in names]

    def run(self, job: Job, desk: Desk, begin: Callable[[], Start]) -> None:
        """One round, unless it is over already; one that was cut off goes on.

        Raises:
            BadConfig: what is trained was changed since the campaign began.
            NoGoodTrial: the machine failed in the rounds before.
        """
        folder = self.folder / "rounds" / job.name
        current = state.load(folder)
        if current is None or not current.is_closed:
            self.see_that_it_works()
        if current is None:
            start = begin()
            pin(self.bench, self.folder / PINS)  # begin() may have asked somebody, and taken its time
            self.bench.lay_out(folder)
            current = job.state(start)
            state.save(folder, current)
        if not current.is_closed:
            final = Round(self.bench, desk, self.logs, folder, current).run(self.say)
            self.logs.add(final)
            self.say(told(final))
            self.num_lost = self.num_lost + 1 if final.status == "infra_fail" else 0
            current.is_closed = True
            state.save(folder, current)
        self.bench.clear(folder)

    def see_that_it_works(self) -> None:
        """Begin no further round on a machine that fails.

        Raises:
            NoGoodTrial: it failed in the last rounds.
        """
        if self.num_lost >= MOST_LOST:
            why = self.logs.finals()[-1].why
            raise NoGoodTrial(
                f"{self.num_lost} rounds on end were lost for no fault of the learning rate: {why}; mend that, then "
                "the same command goes on with the next round, and `rounds` may be raised for those that were lost"
            )


def _given(start: Start) -> Start:
    return start


def baseline(config: Config, kind: str, peak: float) -> Plan:
    """The plan of a baseline: the campaign's warmup to a peak, and a decay."""
    warmup = config.opening().warmup
    usual = {"warmup": warmup, "lr_start": peak, "lr_peak": peak, "decay": 1 - warmup}
    return Plan.model_validate(usual | BASELINES[kind])


def always(config: Config) -> Memory:
    """A memory that remembers nothing: each round begins with the plan of the configuration."""
    return lambda finals: Start(plan=config.opening(), memory={"how": "the plan of the configuration"})


def told(final: Final) -> str:
    """A round in a line."""
    result = "-" if final.result is None else f"{final.result:.6f}"
    where = f"{final.arm} round {final.round}, seed {final.seed}, peak {final.plan.lr_peak:g}"
    did = f"{final.num_alarms} alarms, {final.num_rollbacks} rollbacks"
    why = f": {final.why}" if final.why else ""
    return f"{where}: {final.metric} {result}, {final.status}, {final.steps} steps, {did}{why}"


@contextmanager
def opened(config: Config, variables: Mapping[str, str], results: Path, say: Say) -> Iterator[Campaign]:
    """The campaign of a tag, held alone.

    Args:
        results: folder that holds one folder for each tag.

    Raises:
        Busy: another process holds it.
        BadConfig: it was begun with another configuration.
    """
    folder = results / config.tag
    with locked(folder / ".lock") as lock:
        if lock is None:
            raise Busy(f"the campaign {config.tag} is under way in another process; wait, or give another tag")
        bench = Bench(config, variables)
        pin(bench, folder / PINS)
        yield Campaign(bench, folder, Logs(folder), say)


def pin(bench: Bench, path: Path) -> None:
    """Write down what a campaign was begun with, or see that it is the same; code is free as long as no round has any.

    Raises:
        BadConfig: it is not; what an older version did not write down is not asked for.
    """
    now = bench.config.model_dump(mode="json", exclude=FREE) | bench.trained
    text = files.read_text(path)
    if not text:
        files.replace(path, json.dumps(now, indent=1), is_durable=True)
        return
    try:
        then = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise BadConfig(f"{path} must hold JSON but: {error}; `rm -r {path.parent}` begins anew") from error
    if not any(path.parent.glob("rounds/*")):
        then |= {name: now[name] for name in own.FILES if name in then}
        files.replace(path, json.dumps(then, indent=1), is_durable=True)
    changed = [key for key, value in then.items() if now.get(key) != value]
    if changed:
        told = "; ".join(f"{key} was {then[key]!r} and is {now.get(key)!r}" for key in changed)
        raise BadConfig(
            f"the campaign {bench.config.tag} was begun with another configuration: {told}; put that back, "
            f"give another tag, or `rm -r {path.parent}`"
        )
