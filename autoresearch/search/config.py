"""The whole configuration of a campaign, as YAML spells it; reading it is configfile.py's task.

Unknown keys are refused; keys that only old files need are in `WITHOUT_EFFECT` of configfile.py.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from autoresearch.search.space import Space

LLM_POLICIES = ("llm", "llm_diff", "hybrid", "centaur")
DIFF_POLICIES = ("llm_diff", "hybrid")
CHECKPOINT = Path("artifacts/checkpoint.json")
PolicyType = Literal[
    "grid", "random", "static", "llm", "llm_diff", "hybrid", "learned", "tpe", "cmaes", "centaur"
]  # fmt: skip


def _split(command: Any) -> Any:
    return shlex.split(command) if isinstance(command, str) else command


Command = Annotated[tuple[str, ...], BeforeValidator(_split), Field(min_length=1)]
"""Words of a command, or a text that is split as a shell splits it; no shell ever runs it."""


def _null_is(default: Any) -> BeforeValidator:
    """Of keys that old files may leave null."""
    return BeforeValidator(lambda raw: default if raw is None else raw)


class Section(BaseModel):
    """Base of a part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class Objective(Section):
    """The number that is optimised."""

    metric: str = Field(default="val_bpb", min_length=1)
    """Exact name of the metric in the output of a trial."""
    direction: Literal["min", "max"] = "min"

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value beats another; anything beats None."""
        return than is None or (value < than if self.direction == "min" else value > than)


class Basilica(Section):
    """A deployment on the Basilica GPU cloud."""

    image: str = "pytorch/pytorch:2.4.1-cuda12.4-cudnn9-devel"
    gpu_count: int = Field(default=1, ge=1)
    gpu_models: tuple[str, ...] = ("A100", "H100")
    min_gpu_memory_gb: int | None = None
    memory: str = "32Gi"
    cpu: str = "8"
    storage: str | None = "/data"
    ttl_seconds: int = Field(default=7200, gt=0)
    setup_cmd: str | None = None
    ready_timeout_s: float = Field(default=600, gt=0)
    env_passthrough: tuple[str, ...] = ()
    """Names of variables that the deployment is given."""


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Target(Section):
    """What a trial runs, and where."""

    type: Literal["command", "http", "ray", "basilica"] = "command"
    prepare_cmd: Command | None = None
    """Run once per campaign, before any trial."""
    train_cmd: Command | None = None
    eval_cmd: Command | None = None
    """Run after train_cmd, unless it is the same."""
    workdir: Path = Path(".")
    """Where commands run."""
    timeout_s: float = Field(default=3600, gt=0, le=1e9)
    """Of a whole trial."""
    url: str | None = None
    """For `http`: where trials are posted."""
    headers: Annotated[dict[str, str], _null_is({})] = {}
    """For `http`; `$NAME` in a value is replaced from the environment."""
    resources: dict[str, Amount] = {}
    """What one trial takes from `controller.parallel.resources`; by default one GPU where GPUs are pooled."""
    address: str = "local"
    """For `ray`: `auto`, an address, or `local` for a cluster of its own."""
    sandbox: bool = False
    """Whether trials on this machine are confined."""
    env_passthrough: tuple[str, ...] = ()
    """Names of variables that trials are given besides the usual ones."""
    basilica: Basilica = Basilica()


class Policy(Section):
    """How the next trial is chosen."""

    type: PolicyType = "static"
    params: Space = Space()
    """The space: by name a list of choices, or `{low, high, log, step}`."""
    seed: int = Field(default=7, ge=0)
    baseline: bool | None = None
    """Whether the first trial is the untouched target; by default yes, except for `grid`, which has its own cells."""
    temperature: float = Field(default=0.7, ge=0)
    mutable_file: Path | None = None
    """The file that diffs may change."""
    frozen_file: Path | None = None
    """Never changed by a diff, even if it is named."""
    program_file: Path | None = None
    """Guidance for the LLM; by default `program_path`."""
    required_calls: tuple[str, ...] = ("emit_progress",)
    """Functions that the mutable file calls and must go on calling."""
    contract_strict: bool = True
    """Whether a diff may touch the mutable file alone."""
    llm_api_url: str | None = None
    """Base URL of an OpenAI-compatible endpoint."""
    llm_model: str | None = None
    llm_api_key_env: str = "OPENAI_API_KEY"
    """Name of the variable that holds the key."""
    llm_timeout_s: float = Field(default=30, gt=0)
    hybrid_param_explore_iters: int = Field(default=5, ge=0)
    hybrid_stall_threshold: int = Field(
        default=3, ge=1, validation_alias=AliasChoices("hybrid_stall_threshold", "stall_threshold")
    )
    hybrid_diff_failure_limit: int = Field(
        default=3, ge=1, validation_alias=AliasChoices("hybrid_diff_failure_limit", "diff_failure_limit")
    )

    @property
    def diffs(self) -> bool:
        """Whether code may be proposed."""
        return self.type in DIFF_POLICIES

    @property
    def has_baseline(self) -> bool:
        """Whether the first trial is the untouched target."""
        return self.type != "grid" if self.baseline is None else self.baseline

    @model_validator(mode="after")
    def _is_complete(self) -> "Policy":
        needed = {name: getattr(self, name) for name in ("llm_api_url", "llm_model") if self.type in LLM_POLICIES}
        if self.type in DIFF_POLICIES:
            needed["mutable_file"] = self.mutable_file
        if missing := [name for name, value in needed.items() if not value]:
            raise ValueError(f"type {self.type!r} needs {', '.join(missing)}")
        if not self.params and self.type not in ("static", "llm_diff"):
            raise ValueError(f"type {self.type!r} needs params, the space that it searches")
        if self.type == "grid":
            self.params.check_is_finite()
        return self


class Cancel(Section):
    """When a running trial is asked to leave."""

    enabled: bool = False
    rule: Literal["forecast", "median"] = "forecast"
    min_probability: float = Field(default=0.05, gt=0, lt=0.5)
    """A trial goes on while its forecast beats the best with this probability."""
    min_steps: int = Field(default=5, ge=1)
    poll_interval_s: float = Field(default=5, gt=0)
    min_reports_before_decide: int = Field(default=5, ge=3)


class Parallel(Section):
    """How many trials run at once."""

    enabled: bool = False
    max_concurrency: int = Field(default=4, ge=1)
    resources: dict[str, Amount] = {"gpu": 4}
    """What there is; a trial is admitted when its `target.resources` are free."""
    submit_poll_interval_s: float = 0.5


class Controller(Section):
    """Limits of the campaign; None: no such limit."""

    seed: int | None = None
    """Seed of the trials; by default the policy's."""
    max_wall_time_s: float | None = Field(default=None, gt=0)
    """Of all runs of the campaign together; also ends what is running."""
    max_iterations: int | None = Field(default=None, ge=1)
    """Trials, the baseline among them."""
    max_gpu_hours: float | None = Field(default=None, gt=0)
    """Hours of trials times their GPUs; a trial that names none counts as one."""
    no_improve_limit: int | None = Field(default=None, ge=1)
    """Trials in a row that were not kept."""
    failure_rate_limit: float | None = Field(default=None, gt=0, le=1)
    failure_window: int = Field(default=10, ge=1)
    """Trials over which the rate is taken."""
    checkpoint_path: Annotated[Path, _null_is(CHECKPOINT)] = CHECKPOINT
    intra_iteration_cancel: Cancel = Cancel()
    parallel: Parallel = Parallel()

    @property
    def max_concurrency(self) -> int:
        """Trials at once."""
        return self.parallel.max_concurrency if self.parallel.enabled else 1


class Telemetry(Section):
    """Where results are written."""

    trace_path: Path = Path("traces/events.jsonl")
    ledger_path: Path = Path("artifacts/results.tsv")
    artifacts_dir: Path = Path("artifacts/runs")
    versions_dir: Path = Path("artifacts/versions")
    model_output_dir: Path | None = None
    """Where trials save models; by default each in its own folder."""
    timeline_path: Path | None = Path("traces/timeline.json")
    """None: no timeline."""


class Comparability(Section):
    """What must be equal for scores to be compared."""

    budget_mode: Literal["fixed_wallclock", "parallel_wallclock"] = "fixed_wallclock"
    expected_budget_s: float | None = Field(default=None, gt=0)
    """Seconds that a trial is meant to take."""
    expected_hardware_fingerprint: str | None = None
    """As `validate` prints it."""
    strict: bool = False
    """Whether what does not compare is refused, rather than marked."""


class Config(Section):
    """One campaign."""

    name: str = Field(default="autoresearch-run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    program_path: Path | None = None
    """Guidance for the LLM."""
    objective: Objective = Objective()
    target: Target = Target()
    policy: Policy = Policy()
    controller: Controller = Controller()
    telemetry: Telemetry = Telemetry()
    comparability: Comparability = Comparability()

    @model_validator(mode="after")
    def _has_a_command(self) -> "Config":
        if self.target.type == "http" and not self.target.url:
            raise ValueError("target.type 'http' needs target.url")
        if self.target.type != "http" and not self.target.train_cmd:
            raise ValueError(f"target.type {self.target.type!r} needs target.train_cmd")
        return self

    @property
    def store_path(self) -> Path:
        """The campaign's database, beside the folders of its trials."""
        return self.telemetry.artifacts_dir.parent / f"{self.telemetry.artifacts_dir.name}.sqlite"

    @property
    def cost(self) -> dict[str, float]:
        """What one trial takes."""
        pooled = self.controller.parallel
        if self.target.resources:
            return self.target.resources
        return {"gpu": 1.0} if pooled.enabled and pooled.resources.get("gpu") else {}

    @property
    def seed(self) -> int:
        """Seed of the trials."""
        return self.policy.seed if self.controller.seed is None else self.controller.seed
