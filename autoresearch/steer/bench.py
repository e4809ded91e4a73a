"""Where a trial runs: its folder, its command and environment, its score."""

import hashlib
import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch import process, summary
from autoresearch.arena import Metric
from autoresearch.errors import BadConfig
from autoresearch.process import Launch
from autoresearch.records import Crash
from autoresearch.sandbox import files
from autoresearch.search import own
from autoresearch.steer.config import Config
from autoresearch.steer.guard import Mark
from autoresearch.steer.state import State

CHECKPOINTS, LOG = "checkpoints", "run.log"
ENDLESS_S = 10_000_000  # where steps end a round


@dataclass(frozen=True)
class Bench:
    """What all trials of a campaign have in common."""

    config: Config
    variables: Mapping[str, str]
    """The environment that trials get a short list of."""

    @property
    def is_own(self) -> bool:
        """Whether this repository's train.py is trained, and the referee scores it."""
        beside = self.config.workdir / "prepare.py"
        runs_it = any(Path(word).name == "train.py" for word in self.config.command)
        is_same = beside.is_file() and beside.read_bytes() == (own.ROOT / "prepare.py").read_bytes()
        return runs_it and is_same and self.config.metric == own.METRIC

    @property
    def trained(self) -> dict[str, str]:
        """What is trained beside the configuration: scale and data set by name, this repository's files by digest."""
        names = ("AUTORESEARCH_SCALE", "AUTORESEARCH_DATASET")
        paths = {name: self.config.workdir / name for name in own.FILES} if self.is_own else {}
        found = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        digests = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in found.items()}
        return {name: self.variables.get(name, "") for name in names} | dict.fromkeys(own.FILES, "") | digests

    @property
    def checkpoint_steps(self) -> int:
        """Updates between checkpoints."""
        return self.config.limits.quiet

    def lay_out(self, folder: Path) -> None:
        """Make a trial's folder anew."""
        files.remove(folder)
        folder.mkdir(parents=True)
        if self.is_own:
            own.lay_out(self.config.workdir, folder, {})

    def begin(self, folder: Path, state: State) -> Launch:
        """Start the training command where `state` says.

        Raises:
            BadConfig: it cannot be started.
        """
        log = folder / LOG
        if log.exists():  # of the process before
            log.replace(folder / f"run-{len(list(folder.glob('run-*.log'))) + 1}.log")
        command = [sys.executable if word == "{python}" else word for word in self.config.command]
        cwd = folder / "code" if self.is_own else self.config.workdir
        try:
            return Launch(command, cwd, self.environment(folder, state), log)
        except OSError as error:
            raise BadConfig(f"command {command[0]!r} must start in {cwd} but: {error.strerror}") from error

    def environment(self, folder: Path, state: State) -> dict[str, str]:
        """What the trial contract says to this process; what was spent is not there any more."""
        config = self.config
        budget_s = config.budget_s - state.spent_s if config.budget_s else ENDLESS_S
        steps = str(config.num_steps - state.spent_steps) if config.num_steps else ""
        given = {
            process.MARK: str(folder),
            "AUTORESEARCH_SUPERVISED": "1",
            "AUTORESEARCH_SEED": str(state.seed),
            "AUTORESEARCH_TIME_BUDGET": f"{budget_s:.3f}",
            "AUTORESEARCH_MAX_STEPS": steps,
            "AUTORESEARCH_CHECKPOINT_STEPS": str(self.checkpoint_steps),
            "AUTORESEARCH_RESUME": "" if state.begin is None else str(checkpoint(folder, state.begin)),
            "PYTHONUNBUFFERED": "1",
        }
        if config.device:
            given["CUDA_VISIBLE_DEVICES"] = config.device
        return process.environment(self.variables, given, config.env)

    def has_summary(self, log: str) -> bool:
        """Whether a log ends with the summary of a trainer that came to its end."""
        _, line, told = f"\n{log}".rpartition("\n---\n")
        is_whole = re.search(f"^{re.escape('num_steps' if self.is_own else self.config.metric)}: .*\n", told, re.M)
        return bool(line and is_whole) and not any(summary.EXCEPTION.search(row) for row in told.split("\n"))

    def score(self, folder: Path) -> float | str:
        """The result of a trial that has ended well, or why there is none."""
        if self.is_own:
            held = files.read(folder / "code" / "prepare.py")
            if held and held != (self.config.workdir / "prepare.py").read_bytes():
                return "prepare.py is another one than the round began with, so that nothing is scored"
            variables = process.environment(self.variables, {}, self.config.env)
            found = own.Scorer(folder, self.config.workdir, variables)()
            return found.why if isinstance(found, Crash) else found
        value = Metric(name=self.config.metric).find(files.read_text(folder / LOG))
        if value is None or not math.isfinite(value):
            return f"the log must hold a line `{self.config.metric}: number` but holds {value}"
        return value

    def clear(self, folder: Path) -> None:
        """Take away what is large and of no more use."""
        for name in (CHECKPOINTS, "submission", "code"):
            shutil.rmtree(folder / name, ignore_errors=True)


def checkpoint(folder: Path, step: int) -> Path:
    """The checkpoint that update `step` comes after."""
    return folder / CHECKPOINTS / f"step-{step:08d}.pt"


def newest(folder: Path, marks: Sequence[Mark]) -> Mark | None:
    """The newest of these checkpoints whose file is there."""
    return next((one for one in reversed(marks) if checkpoint(folder, one.step).exists()), None)


def forget_after(folder: Path, step: int | None) -> None:
    """Remove the checkpoints of a branch that was given up; None: all."""
    for path in (folder / CHECKPOINTS).glob("step-*.pt"):
        if step is None or path.stem > checkpoint(folder, step).stem:
            path.unlink(missing_ok=True)
