"""autoresearch.toml: which command is run, what is measured, which files may change; absent, it is this repository."""

import difflib
import re
import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from autoresearch.errors import BadConfig
from autoresearch.records import COLUMNS

NAME = "autoresearch.toml"
SHARED = ("train.py", "prepare.py", "pyproject.toml", "uv.lock")  # all that a commit holds which travels alone
PLACEHOLDERS = ("python", "folder")
ONE_EACH = "must name files, one each: no pattern, no folder"


def _is_inside(path: str) -> str:
    if not path.strip() or path.startswith(("/", "~")) or ".." in path.split("/"):
        raise ValueError("must be a path from the repository's root")
    return path


def _has_known_placeholders(part: str) -> str:
    for _, name, _, _ in string.Formatter().parse(part):
        if name is not None and name not in PLACEHOLDERS:
            raise ValueError(
                f"known placeholders: {{python}}, {{folder}}; write other braces twice, as in {{{{{name}}}}}"
            )
    return part


def _is_no_pattern(path: str) -> str:
    if "*" in path or "?" in path:
        raise ValueError(ONE_EACH)
    return path


Inside = Annotated[str, AfterValidator(_is_inside)]
File = Annotated[Inside, AfterValidator(_is_no_pattern)]
Column = Annotated[str, Field(pattern=r"^[^\s:]+$")]
Command = Annotated[list[Annotated[str, AfterValidator(_has_known_placeholders)]], Field(min_length=1)]


class Rules(BaseModel):
    """Base of a table of autoresearch.toml: nothing is guessed from a wrong type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Metric(Rules):
    """The number that is optimised."""

    name: str = Field(default="val_bpb", pattern=r"^[^\s:]+$")
    """Its name in the log and in results.tsv."""
    direction: Literal["min", "max"] = "min"
    pattern: str = ""
    """Regular expression whose first group is the number; empty: a line `name: number`. The last match counts."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            num_groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"must be a regular expression but {error}") from error
        if pattern and num_groups != 1:
            raise ValueError(f"must have exactly one group but has {num_groups}")
        return pattern

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in COLUMNS and name != "val_bpb":
            raise ValueError("must not be another column of results.tsv")
        return name

    def find(self, text: str) -> float | None:
        """The last value in a log; None when there is none."""
        pattern = self.pattern or rf"^{re.escape(self.name)}:[ \t]*(\S+)[ \t\r]*$"
        values = re.findall(pattern, text, re.MULTILINE)
        try:
            return float(values[-1]) if values else None
        except ValueError:
            return None


class Sandbox(Rules):
    """What a trial may reach beyond its folder."""

    network: bool = False
    """The command takes the trial to another machine: it is not confined here, and recorded as remote."""
    env: list[str] = []
    """Names of variables that are passed on."""
    hidden: list[Inside] = []
    """Files that a confined trial does not see, as `frozen` names them: what it is scored on. They are frozen too."""
    packages: list[str] = []
    """Installed packages that a confined trial does not see: their text is what it is scored on."""


class Arena(Rules):
    """One training script and its rules."""

    command: Command = ["{python}", "train.py"]
    """Run in the trial's folder of code; `{python}` is this interpreter."""
    mutable: list[File] = Field(default=["train.py"], min_length=1)
    """Files that an attempt may change, from the repository's root, each named by itself."""
    frozen: list[Inside] = ["prepare.py", "pyproject.toml", "uv.lock", "autoresearch/**/*.py"]
    """Files that must stay as they were at `setup`; a `*` matches within a name, `**` folders."""
    metric: Metric = Metric()
    timeout_s: float | None = Field(default=None, gt=0)
    """A whole trial; None: twice the budget and the time to start up."""
    columns: list[Column] = []
    """Of results.tsv, in order: those of COLUMNS, the metric and keys of the summary; empty: COLUMNS."""
    limits: dict[str, float] = {}
    """Summary keys, `memory_gb` among them, that must not exceed a number: what does is never kept."""
    score_command: Command | None = None
    """Run after a trial, prints the metric; None: in this repository the referee, elsewhere the log (unrefereed)."""
    score_timeout_s: float = Field(default=600.0, gt=0)
    """Of the score_command."""
    guards: list[Command] = []
    """Commands that must exit 0 before a keep."""
    sandbox: Sandbox = Sandbox()
    _own: bool = PrivateAttr(default=True)

    @property
    def own(self) -> bool:
        """Whether this is the repository's own arena: no autoresearch.toml."""
        return self._own

    @property
    def unrefereed(self) -> bool:
        """Whether a score is whatever the training command printed."""
        return not self.own and self.score_command is None

    @property
    def table(self) -> tuple[str, ...]:
        """Columns of results.tsv."""
        return tuple(self.columns) or (COLUMNS[0], self.metric.name, *COLUMNS[2:])

    @field_validator("command")
    @classmethod
    def _has_no_folder(cls, command: list[str]) -> list[str]:
        if any("{folder}" in part for part in command):
            raise ValueError("runs in its folder of code; {folder} is for score_command and guards")
        return command

    @model_validator(mode="after")
    def _is_either(self) -> Self:
        if both := sorted(set(self.mutable) & set(self.frozen)):
            raise ValueError(f"a file is mutable or frozen, not both: {', '.join(both)}")
        return self

    @model_validator(mode="after")
    def _has_the_columns_that_are_read(self) -> Self:
        wanted = ("commit", self.metric.name, "status", "description")
        if self.columns and (lacks := [name for name in wanted if name not in self.columns]):
            raise ValueError(f"columns must name {', '.join(wanted)} but lacks {', '.join(lacks)}")
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise ValueError(f"columns must name each once but has {', '.join(twice)} again")
        return self


def load(root: Path) -> Arena:
    """Read autoresearch.toml of a repository, or the defaults.

    Raises:
        BadConfig: not TOML, an unknown key or a wrong value, a folder among the mutable files; each is named.
    """
    path = root / NAME
    if not path.exists():
        return Arena()
    try:
        arena = Arena.model_validate(tomllib.loads(path.read_bytes().decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"{path} must be TOML but: {error}") from error
    except ValidationError as error:
        raise BadConfig(f"{path}: {'; '.join(_in_words(one) for one in error.errors())}") from error
    if folders := [name for name in arena.mutable if (root / name).is_dir()]:
        raise BadConfig(f"{path}: mutable: {ONE_EACH}, but got {folders[0]!r}")
    arena._own = False
    return arena


def _in_words(problem: Mapping[str, Any]) -> str:
    *place, last = problem["loc"] or ("",)
    where = ".".join(map(str, (*place, last)))
    if problem["type"] != "extra_forbidden":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{where}: {message}, but got {problem['input']!r}" if where else message
    models: dict[str, type[Rules]] = {"metric": Metric, "sandbox": Sandbox}
    model = models[place[0]] if place else Arena
    near = difflib.get_close_matches(str(last), model.model_fields, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{where} is unknown{hint}; known keys: {', '.join(model.model_fields)}"
