"""The configuration of a steering campaign: YAML, its defaults, and the variables that override it."""

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from autoresearch.errors import BadConfig
from autoresearch.search import configfile
from autoresearch.steer.guard import Limits
from autoresearch.steer.plan import Plan

OVERRIDES = {"K": "k", "DEVICE": "device", "RUN_TAG": "tag", "LRS": "peaks"}
STEPS, WARMUP_STEPS = 10_000, 1000
Positive = Annotated[float, Field(gt=0)]


class Rules(BaseModel):
    """Base of a section: unknown keys and numbers that are none are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Model(Rules):
    """A language model."""

    url: str
    """Base of an OpenAI-compatible interface."""
    model: str
    key_env: str = ""
    """Variable that holds the key; empty where none is asked for."""
    timeout_s: Positive = 30.0
    """For one request."""

    @field_validator("url")
    @classmethod
    def _is_without_secrets(cls, url: str) -> str:
        if "@" in url.partition("?")[0]:  # the configuration is written down as it is
            raise ValueError("must hold no user and password but got some; name the variable of a key in key_env")
        return url


class Models(Rules):
    """Who is asked what."""

    controller: Model | None = None
    memory: Model | None = None


class Config(Rules):
    """A campaign."""

    tag: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    rounds: int = Field(default=10, ge=1)
    total_steps: int | None = Field(default=None, ge=10)
    """Updates of a round; with `budget_s` whichever ends first. Neither is given: 10,000."""
    budget_s: Positive | None = None
    """Training seconds of a round."""
    k: int = Field(default=300, ge=2)
    """Updates between two decisions, and until one takes effect."""
    warmup_steps: int = Field(default=WARMUP_STEPS, ge=0)
    """Where the budget is seconds alone, of 10,000 for the whole round."""
    lr_init: Positive = 3e-4
    """Learning rate at the end of the warmup."""
    lr_floor: float = Field(default=0.0, ge=0)
    """The controller does not bring the peak below it."""
    lr_ceil: Positive | None = None
    """Nobody goes above it."""
    lr_unit: Positive = 1.0
    """Learning rate that the trainer calls scale 1; with 1, all rates here are multiples of the trainer's own."""
    plan: dict[str, Any] = Field(default_factory=dict)
    """Fields of the plan that the first round begins with, where they differ from warmup and a linear decay to zero."""
    clamp: tuple[float, float] = (0.5, 2.0)
    """Least and greatest factor of one change."""
    history: int = Field(default=10, ge=0)
    """Decisions that the controller is shown."""
    device: str = ""
    """Value of CUDA_VISIBLE_DEVICES for the trainer; empty leaves it as it is."""
    controller: Literal["llm", "rule", "random", "none", "replay"] = "rule"
    replay: Path | None = None
    """decisions_log.jsonl of another campaign."""
    llm: Models = Models()
    memory: bool = True
    """Whether a round begins where the earlier ones point to; else each begins with the same plan."""
    guard: bool = True
    """Whether the rules may change the learning rate and go back; without, a round that diverges is over."""
    peaks: list[Positive] = Field(default_factory=list)
    """Learning rates that `steer baseline` sweeps; empty: lr_init times 1, 2, 4, 8, 16, 32."""
    repeats: int = Field(default=1, ge=1)
    """Seeds of each baseline."""
    seed: int = Field(default=1, ge=0, lt=2**31 - 10_000)
    """Of the first round; each further one has the next."""
    command: list[str] = Field(default=["{python}", "train.py"], min_length=1)
    """The training command; `{python}` is the interpreter of this tool."""
    workdir: Path = Path()
    """Where it is: this repository's train.py and prepare.py are copied from there, other commands run there."""
    metric: str = "val_bpb"
    """What a round is judged by, less is better: of this repository the referee's, else a line `name: number`."""
    loss: str = "train_loss"
    """Name of the loss among the reported metrics."""
    env: list[str] = Field(default_factory=list)
    """Further variables that the trainer gets."""
    backoff_s: Positive = 2.0
    """Wait before a trainer is started again that ended for no fault of the learning rate; doubled each time."""
    hung_s: Positive = 120.0
    """A trainer that reports nothing for so long, or for 20 times the usual if that is more, is started again."""
    start_s: Positive = 3600.0
    """The same until its second report, and after the last one."""
    round_s: Positive = 86_400.0
    """Wall time after which a round is given up."""

    @field_validator("plan")
    @classmethod
    def _is_a_plan(cls, plan: dict[str, Any]) -> dict[str, Any]:
        Plan.model_validate({"lr_start": 1e-12, "lr_peak": 1e12} | plan)  # whose faults are then told as those of plan
        return plan

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not 0 < self.clamp[0] <= 1 <= self.clamp[1]:
            raise ValueError(f"clamp must be a factor up to 1 and one from 1 up but got {list(self.clamp)}")
        if self.controller == "llm" and not self.llm.controller:
            raise ValueError("controller llm needs llm.controller with url and model")
        if self.controller == "replay" and not self.replay:
            raise ValueError("controller replay needs replay, the decisions_log.jsonl to repeat")
        if self.num_steps and self.k > self.num_steps:
            raise ValueError(f"k must be at most total_steps but got {self.k} and {self.num_steps}")
        highest = max(self.lr_init, self.opening().lr_peak, *self.peaks, 0.0)
        if self.lr_ceil and not self.lr_floor < self.lr_ceil >= highest:
            known = f"lr_ceil {self.lr_ceil:g}, lr_floor {self.lr_floor:g}, highest rate {highest:g}"
            raise ValueError(f"lr_ceil must be above lr_floor and not below lr_init, plan and peaks but got {known}")
        return self

    @property
    def num_steps(self) -> int | None:
        """Updates of a round; None where only seconds end it."""
        return self.total_steps or (None if self.budget_s else STEPS)

    @property
    def limits(self) -> Limits:
        """What guard and controller keep to."""
        return Limits(self.k, self.clamp, self.lr_floor, self.lr_ceil or math.inf)

    def opening(self) -> Plan:
        """The plan of a round that knows nothing of others."""
        warmup = min(0.5, self.warmup_steps / (self.num_steps or STEPS))
        peak = float(self.plan.get("lr_peak", self.lr_init))
        usual = {"warmup": warmup, "lr_start": min(self.lr_init, peak), "lr_peak": peak}
        return Plan.model_validate(usual | self.plan)

    def sweep(self) -> list[float]:
        """Peaks of the baselines."""
        return self.peaks or [self.lr_init * 2**power for power in range(6)]


def load(path: Path, variables: Mapping[str, str]) -> Config:
    """Read a configuration; its paths come back absolute, K, DEVICE, RUN_TAG and LRS override it.

    Raises:
        BadConfig: no such file, not YAML, unknown keys (with the nearest known one), wrong values; all at once.
    """
    raw = configfile.read(path)
    given = {key: variables[name] for name, key in OVERRIDES.items() if variables.get(name)}
    if "peaks" in given:
        given["peaks"] = given["peaks"].replace(",", " ").split()  # type: ignore[assignment]
    try:
        config = Config.model_validate(raw | given)
    except ValidationError as error:
        found = "\n".join(f"  {one}" for one in dict.fromkeys(_in_words(fault) for fault in error.errors()))
        raise BadConfig(f"{path}:\n{found}") from error
    folder = path.parent.resolve()
    paths = {"workdir": folder / config.workdir, "replay": config.replay and folder / config.replay}
    placed = config.model_copy(update=paths)
    for word in placed.command:
        if word.endswith((".py", ".sh")) and not (placed.workdir / word).is_file():
            raise BadConfig(f"{path}: command names {word}, which must lie in {placed.workdir}; set workdir")
    return placed


def _in_words(fault: Any) -> str:
    """One mistake as `where: what`."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        message, shown = fault["msg"].removeprefix("Value error, "), repr(fault["input"])
        given = f", but got {shown}" if len(shown) < 80 and "but got" not in message else ""
        return f"{where or 'the file'}: {message}{given}"
    model: Any = {"llm": Models, "plan": Plan, "": Config}.get(where.rpartition(".")[0], Model)
    near = difflib.get_close_matches(str(fault["loc"][-1]), list(model.model_fields), 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(model.model_fields)}"
    return f"{where} is unknown; {hint}"
