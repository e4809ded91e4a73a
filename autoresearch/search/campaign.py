"""Opens a campaign: alone in its folders, with its store, its code and its exports, and prepared once."""

import math
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from autoresearch import process
from autoresearch.errors import BadConfig, Busy, NoGoodTrial
from autoresearch.ledger import locked
from autoresearch.process import Deadline, Launch
from autoresearch.sandbox import files
from autoresearch.search import code, executors, exports, own, policies, standing
from autoresearch.search.checks import Surroundings
from autoresearch.search.config import Config
from autoresearch.search.diffs import Code
from autoresearch.search.engine import Engine
from autoresearch.search.exports import Exports
from autoresearch.search.guards import Stop
from autoresearch.search.journal import Journal
from autoresearch.search.policies import Context, Policy
from autoresearch.search.pool import GPU, Pool
from autoresearch.search.proposal import BASELINE, Proposal, Result
from autoresearch.search.proposer import Proposer
from autoresearch.search.spans import Spans
from autoresearch.search.store import Store
from autoresearch.search.trial import Bench
from autoresearch.search.trials import Trials

PREPARE_TAIL = 4000
NOT_BEGUN = Stop("not_begun", "nothing was run")


@dataclass(frozen=True)
class Clocks:
    """Time, which belongs to the command."""

    now: Callable[[], float]
    """Seconds since 1970."""
    shift_s: float
    """What turns readings of the monotonic clock into those."""


@dataclass
class Campaign:
    """An open campaign."""

    config: Config
    around: Surroundings
    store: Store
    journal: Journal
    engine: Engine
    stop: Stop = NOT_BEGUN
    """Why its last run ended."""

    @property
    def code(self) -> Code | None:
        """The code, where it lies in a repository."""
        return self.engine.trials.code

    def search(self) -> Stop:
        """Go on until a limit is reached; see `finish` for what it raises."""
        told = self.journal.told
        results = [one for one in self.journal.results() if one.number <= told]
        pending = [one.proposal for one in self.journal.entries.values() if one.number > told]
        state: Mapping[str, Any] = self.store.fact("policy", {})
        make = self.maker(state, results, pending)
        proposer = Proposer(make, self.engine.trials.spans, self.engine.answer, told)
        return self.finish(lambda: self.engine.run(proposer))

    def try_one(self, proposal: Proposal) -> Stop:
        """Run one trial by hand, after the baseline if nothing has run, and what was cut off before."""
        first = [Proposal(source=BASELINE, rationale="the untouched target")]
        if proposal.diff and self.code:
            self.code.claim(self.store.fact("id"))

        def run() -> Stop:
            is_first = not self.journal.entries and (self.config.policy.has_baseline or proposal.diff)
            new = [*(first if is_first else []), proposal]
            self.journal.admit(new, self.engine.trials.tip)
            self.engine.last = Stop("one_trial", "run by hand")
            return self.engine.run(None)

        return self.finish(run)

    def maker(
        self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]
    ) -> Callable[[], Policy]:
        """What makes the policy as it was left, in its own thread."""
        code = self.code
        context = Context(
            config=self.config,
            spans=self.engine.trials.spans,
            stop=self.engine.stopping,
            variables=self.around.variables,
            check_diff=code.check if code else lambda tip, diff: "the target must lie in a git repository",
        )

        def make() -> Policy:
            policy = policies.make(context)
            policy.restore(state, told, pending)
            return policy

        return make

    def finish(self, run: Callable[[], Stop]) -> Stop:
        """Prepare the target, run the loop, and note how it ended, however that was.

        Raises:
            NoGoodTrial: the target could not be prepared.
            Exception: what the policy raised, or what broke the loop.
        """
        try:
            self.journal.note("start", {"trials": len(self.journal.entries)})
            self.prepare()
            self.stop = run()
        except KeyboardInterrupt:
            self.stop = Stop("interrupted", "told to stop at once; `run` again goes on")
            raise
        except Exception as error:
            self.stop = Stop("error", f"{type(error).__name__}: {error}")
            raise
        finally:
            self.conclude()
        if self.engine.error:
            raise self.engine.error
        return self.stop

    def conclude(self) -> None:
        """Write the summary."""
        self.journal.save_time()
        facts = self.closing()
        self.journal.note("summary", facts)
        self.journal.exports.write_checkpoint(facts)

    def closing(self) -> standing.Facts:
        """The closing line of the last run."""
        entries, spent_s = list(self.journal.entries.values()), self.journal.spent_s()
        return standing.closing(self.config, entries, spent_s, self.store.spans(), self.stop)

    def prepare(self) -> None:
        """Run the target's prepare_cmd, once per campaign.

        Raises:
            NoGoodTrial: it failed.
        """
        target = self.config.target
        if not target.prepare_cmd or target.type not in ("command", "ray") or self.store.fact("prepared"):
            return
        folder = self.config.telemetry.artifacts_dir / "prepare"
        process.end_group(0, "", str(folder))  # of a search that was cut off in it
        files.remove(folder)
        folder.mkdir(parents=True)
        own = {"PYTHONUNBUFFERED": "1", process.MARK: str(folder)}
        env = process.environment(self.around.variables, own, target.env_passthrough)
        most_s = self.config.controller.max_wall_time_s
        limits = [] if most_s is None else [Deadline("it", max(0.0, most_s - self.journal.spent_s()))]
        with self.engine.trials.spans.span("prepare"):
            try:
                ended = Launch(target.prepare_cmd, target.workdir, env, folder / "run.log").wait(limits)
            except (OSError, ValueError) as error:
                raise NoGoodTrial(f"target.prepare_cmd could not be started: {error}") from error
        if ended.timeout:
            raise NoGoodTrial(f"target.prepare_cmd must end within controller.max_wall_time_s but {ended.timeout}")
        if ended.exit_code:
            tail = files.read(folder / "run.log", PREPARE_TAIL).decode(errors="replace").strip()
            raise NoGoodTrial(f"target.prepare_cmd must exit with 0 but exited with {ended.exit_code}:\n{tail}")
        with self.store.transaction(durable=True):
            self.store.set_fact("prepared", True)


@contextmanager
def opened(config: Config, around: Surroundings, clocks: Clocks, say: Callable[[str], None]) -> Iterator[Campaign]:
    """Hold a campaign while the block runs.

    Raises:
        Busy: another process holds it.
        BadConfig: it was begun with another space, objective or command, or another campaign has its name.
        Damaged: its store is none.
    """
    path = config.store_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(config):
        is_new = not path.exists()
        for line in exports.set_aside(config) if is_new else []:
            say(f"note: {line}")
        store = Store(path)
        try:
            begin(store, config, clocks.now())
            campaign = assemble(config, around, clocks, store)
            campaign.engine.trials.say = say
            try:
                yield campaign
            finally:
                campaign.engine.trials.executor.close()
        finally:
            store.close()


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Keep other campaigns from all that this one writes while the block runs.

    Raises:
        Busy: another process holds some of it.
    """
    paths = config.telemetry
    shared = [paths.ledger_path, paths.trace_path, paths.timeline_path, config.controller.checkpoint_path]
    shared += [paths.versions_dir, paths.model_output_dir]
    locks = {path: path.with_name(f".{path.name}.lock") for path in shared if path}
    with ExitStack() as stack:
        for path, lock in {config.store_path: config.store_path.with_suffix(".lock"), **locks}.items():
            if stack.enter_context(locked(lock)) is None:
                raise Busy(
                    f"another search is under way in {path}; see `uv run -m autoresearch status CONFIG`, "
                    "or name other paths in telemetry and another controller.checkpoint_path"
                )
        yield


def begin(store: Store, config: Config, now: float) -> None:
    """Note what a campaign is about, or compare with what was noted.

    Raises:
        BadConfig: they differ.
    """
    about = {"id": uuid.uuid4().hex, "identity": identity(config), "begun_s": now}
    if missing := [name for name in about if store.fact(name) is None]:
        with store.transaction(durable=True):
            for name in missing:
                store.set_fact(name, about[name])
    compare(store, config)


def compare(store: Store, config: Config) -> None:
    """Compare with what a campaign was begun with.

    Raises:
        BadConfig: they differ.
    """
    noted, wanted = store.fact("identity", {}), identity(config).items()
    if changed := [f"{key} must stay {noted[key]} but is {one}" for key, one in wanted if noted.get(key, one) != one]:
        raise BadConfig(
            f"the campaign in {store.path} was begun otherwise and its scores would not compare: {'; '.join(changed)}; "
            "name other paths in telemetry, or move that file away"
        )


def identity(config: Config) -> dict[str, Any]:
    """What must not change within a campaign."""
    facts: dict[str, Any] = config.model_dump(mode="json")
    what = ("type", "prepare_cmd", "train_cmd", "eval_cmd", "workdir", "url")
    target = {name: facts["target"][name] for name in what}
    policy = {name: facts["policy"][name] for name in ("type", "params", "seed", "mutable_file", "frozen_file")}
    sections = {"objective": facts["objective"], "target": target, "policy": policy}
    sections["controller"] = {"seed": config.seed}
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}


def assemble(config: Config, around: Surroundings, clocks: Clocks, store: Store) -> Campaign:
    """Put the parts of a campaign together.

    Raises:
        BadConfig: not even one trial finds room.
    """
    for folder in (config.telemetry.artifacts_dir, config.telemetry.versions_dir):
        folder.mkdir(parents=True, exist_ok=True)
    written = Exports(config, store, store.fact("begun_s"))
    journal = Journal(config, store, written, clocks.now, clocks.shift_s)
    spans, expected = Spans(), config.comparability.expected_hardware_fingerprint
    found = around.machine.fingerprint
    pool = pool_of(config, around)
    if not pool.room(journal.cost()):
        raise BadConfig(f"a trial takes {journal.cost()} but controller.parallel.resources hold {dict(pool.capacity)}")
    trials = Trials(
        config=config,
        journal=journal,
        bench=Bench(config, around.variables, own.is_own(config)),
        pool=pool,
        executor=executors.make(config, spans, around.variables),
        spans=spans,
        code=code.open_code(config, around.variables, store),
        incomparable=f"ran on {found}, not {expected}" if expected not in (None, found) else "",
    )
    return Campaign(config, around, store, journal, Engine(config, journal, trials, threading.Event()))


def pool_of(config: Config, around: Surroundings) -> Pool:
    """What trials share."""
    pooled, devices = config.controller.parallel, around.machine.devices
    if not pooled.enabled:
        return Pool({}, devices if config.target.resources.get(GPU) else (), 1)
    if config.target.type != "command":
        return Pool(pooled.resources, (), pooled.max_concurrency)
    wanted = pooled.resources.get(GPU, 0.0)
    names = devices[: math.ceil(wanted)] if devices else tuple(map(str, range(math.ceil(wanted))))
    return Pool({**pooled.resources, GPU: min(wanted, len(names))}, names, pooled.max_concurrency)
