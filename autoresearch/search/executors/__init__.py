"""Where trials run: one interface, and the table of executors.

All executors leave the same files in `Order.folder`, and the engine reads nothing else: `run.log` and `eval.log`
(bounded), and `progress.jsonl` (one report a line, appended as they come). They make what the engine writes to
`control.json` known to the trial. An executor that runs elsewhere mirrors these from and to there.
"""

import importlib
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from autoresearch.records import Crash
from autoresearch.search.config import Config
from autoresearch.search.spans import Spans

EXECUTORS = {
    "command": ("command", "CommandExecutor"),
    "http": ("http", "HttpExecutor"),
    "ray": ("ray_", "RayExecutor"),
    "basilica": ("basilica", "BasilicaExecutor"),
}
"""By target.type: module of this package and class, made by `Class(config, spans, variables)`."""

SHIM = Path(__file__).parents[1] / "shim"
"""On PYTHONPATH of trials: `autoresearch_rl.target.progress`, standard library only."""
CANCEL_EXIT = 42
"""Exit code of a trial that left because it was asked to."""
SIGNALLED = frozenset(-number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
"""Exit codes of a trial that was politely ended from outside."""
LOGS = ("run.log", "eval.log")
"""Output of training and of evaluation, each bounded."""
PROGRESS, CONTROL, METRIC_FILE = "progress.jsonl", "control.json", "metric.json"


@dataclass(frozen=True)
class Order:
    """A trial to be run."""

    number: int
    folder: Path
    """Its own, made and empty; a real absolute path."""
    cwd: Path
    """Where commands run."""
    commands: tuple[tuple[str, ...], ...]
    """Run one after the other while each exits with 0: training, then evaluation. In between `metric.json` is taken
    away: the number is the last command's."""
    env: Mapping[str, str]
    """The whole environment on this machine, by allow-list; holds no keys."""
    variables: Mapping[str, str]
    """The part of `env` that the trial contract defines (AR_..., AUTORESEARCH_..., CUDA_VISIBLE_DEVICES): what an
    executor elsewhere must set there, with the paths replaced by its own."""
    params: Mapping[str, Any]
    timeout_s: float
    """For all commands together; the engine itself stops what outlives the campaign."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What the trial takes."""
    score: Callable[[], float | Crash] | None = None
    """Of this repository's own target, which is of type `command`: gives the objective once all commands exited with 0;
    to be called where it may take minutes."""
    renew: Callable[[], None] | None = None
    """Of a trial with a tree of its own on this machine: puts the code of its commit back, called between commands."""
    linked: tuple[Path, ...] = ()
    """What is to be read outside the tree, for trials that are confined."""


End = Literal["exited", "timeout", "killed", "oom", "lost", "unstartable"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    end: End
    """`exited` by itself; `timeout` by its deadline; `killed` by `stop`; `oom` where the place itself says so;
    `lost` with its node, so that it is queued again; `unstartable`, where the command could not be begun."""
    exit_code: int | None = None
    """Of the last command that ran, negative for a signal; None where nobody saw it."""
    seconds: float = 0.0
    why: str = ""
    """One line, where `end` is not `exited` or where `metrics` lack the objective."""
    metrics: Mapping[str, float] | None = None
    """Where target or referee answer with numbers themselves: then the objective is looked for nowhere else."""


Done = Callable[[int, Outcome], None]
"""Called once for each trial with its number, from any thread, when its files are complete."""


class Executor(Protocol):
    """Runs trials; its methods are called by the engine's thread and must not wait."""

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        """Begin a trial.

        Returns:
            A handle as JSON by which another process finds what this one began; it is in the store at once.
        """

    def attach(self, order: Order, handle: Mapping[str, Any], done: Done) -> bool:
        """Take over what an engine that is gone began.

        Returns:
            True: it goes on, and `done` will be called. False: whatever was left of it is ended now (this may wait a
            few seconds), and the engine queues it again.
        """

    def control(self, number: int) -> None:
        """Bring a fresh `control.json` to the trial, where that lies elsewhere."""

    def stop(self, number: int, *, hard: bool = False) -> None:
        """End a trial, politely unless `hard`; `done` follows with `killed`. Unknown numbers are ignored."""

    def close(self) -> None:
        """Let go of what all trials share; none is running."""


def variables_at(variables: Mapping[str, str], here: str, there: str) -> dict[str, str]:
    """The variables of a trial whose folder, and the model in it, lie elsewhere."""
    moved = {
        name: there + value[len(here) :] if value == here or value.startswith(f"{here}/") else value
        for name, value in variables.items()
    }
    return moved | {"AR_MODEL_DIR": f"{there}/model"}


def place(order: Order, name: str) -> Path:
    """Where a file of a trial that ran elsewhere belongs here; `model/...` is below the folder of its model.

    Raises:
        ValueError: the name leads out of there.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"a trial must leave files in its own folder but named {name[:200]!r}")
    is_model = path.parts[0] == "model" and len(path.parts) > 1
    return Path(order.env["AR_MODEL_DIR"], *path.parts[1:]) if is_model else order.folder / path


def make(config: Config, spans: Spans, variables: Mapping[str, str]) -> Executor:
    """The executor that the configuration names."""
    module, name = EXECUTORS[config.target.type]
    made: Executor = getattr(importlib.import_module(f"{__name__}.{module}"), name)(config, spans, variables)
    return made
