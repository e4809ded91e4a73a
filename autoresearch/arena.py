"""autoresearch.toml: which command is run, what is measured, which files may change; absent, it is this repository."""

import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from autoresearch.errors import BadConfig

NAME = "autoresearch.toml"


class Metric(BaseModel):
    """The number that is optimised."""

    model_config = ConfigDict(extra="forbid")

    name: str = "val_bpb"
    """Its name in the log and in results.tsv."""
    direction: Literal["min", "max"] = "min"
    pattern: str = ""
    """Regular expression whose first group is the number; empty: a line `name: number`. The last match counts."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        if pattern and re.compile(pattern).groups != 1:
            raise ValueError(f"must have exactly one group but got {pattern!r}")
        return pattern

    def find(self, text: str) -> float | None:
        """The last value in a log; None when there is none."""
        pattern = self.pattern or rf"^{re.escape(self.name)}:\s*(\S+)\s*$"
        values = re.findall(pattern, text, re.MULTILINE)
        try:
            return float(values[-1]) if values else None
        except ValueError:
            return None


class Sandbox(BaseModel):
    """What a trial may reach beyond its folder."""

    model_config = ConfigDict(extra="forbid")

    network: bool = False
    env: list[str] = []
    """Names of variables that are passed on."""


class Arena(BaseModel):
    """One training script and its rules."""

    model_config = ConfigDict(extra="forbid")

    command: list[str] = Field(default=["{python}", "train.py"], min_length=1)
    """Run in the trial's folder of code; `{python}` is this interpreter."""
    mutable: list[str] = Field(default=["train.py"], min_length=1)
    """Files that an attempt may change, from the repository's root."""
    frozen: list[str] = ["prepare.py", "pyproject.toml", "uv.lock"]
    """Files that must stay as they were at `setup`; a `*` matches within a name, `**` folders."""
    metric: Metric = Metric()
    timeout_s: float | None = Field(default=None, gt=0)
    """A whole trial; None: twice the budget and the time to start up."""
    limits: dict[str, float] = {}
    """Summary keys that must not exceed a number."""
    score_command: list[str] | None = None
    """Run after a trial, prints the metric; None in this repository means `prepare.py --score`, elsewhere the log."""
    guards: list[list[str]] = []
    """Commands that must exit 0 before a keep."""
    sandbox: Sandbox = Sandbox()
    own: bool = Field(default=True, exclude=True)
    """Whether this is the repository's own arena: no autoresearch.toml."""


def load(root: Path) -> Arena:
    """Read autoresearch.toml of a repository, or the defaults.

    Raises:
        BadConfig: not TOML, an unknown key or a wrong value; each is named.
    """
    path = root / NAME
    if not path.exists():
        return Arena()
    try:
        return Arena(**tomllib.loads(path.read_text()), own=False)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path} must be TOML but: {error}") from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        known = ", ".join(name for name in Arena.model_fields if name != "own")
        raise BadConfig(f"{path}: {'; '.join(problems)}; known keys: {known}") from error
