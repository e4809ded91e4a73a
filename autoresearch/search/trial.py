"""One trial on disk: its folder, its environment by allow-list, its manifest."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch import process
from autoresearch.sandbox import files
from autoresearch.search import own
from autoresearch.search.config import Config
from autoresearch.search.executors import CONTROL, METRIC_FILE, PROGRESS, SHIM, Order
from autoresearch.search.store import Entry
from autoresearch.search.tree import Tree

SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Bench:
    """What all trials of a campaign have in common."""

    config: Config
    variables: Mapping[str, str]
    """The environment that trials get a short list of."""
    is_own: bool = False
    """Whether the target is this repository's; see own.py."""

    def folder(self, number: int) -> Path:
        """Folder of a trial."""
        return self.config.telemetry.artifacts_dir / f"run-{number:04d}"

    def model_dir(self, number: int) -> Path:
        """Where a trial saves its model."""
        shared = self.config.telemetry.model_output_dir
        return shared / f"run-{number:04d}" if shared else self.folder(number) / "model"

    def seed(self, number: int) -> int:
        """Seed of a trial: the same for all, since scores of different seeds differ by luck."""
        return self.config.seed % SEEDS

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """Training, and evaluation where that is another command."""
        target = self.config.target
        found = [one for one in (target.train_cmd, target.eval_cmd) if one]
        return tuple(dict.fromkeys(found))

    def make_folders(self, number: int) -> Path:
        """Make the folders of a trial anew; returns the one that holds the rest."""
        for place in (self.folder(number), self.model_dir(number)):
            files.remove(place)
            place.mkdir(parents=True)
        return self.folder(number)

    def order(self, entry: Entry, cwd: Path, cost: Mapping[str, float], tree: Tree | None = None) -> Order:
        """How a trial is run.

        Args:
            tree: where it has one of its own.
        """
        given = self.contract(entry, tree)
        return Order(
            number=entry.number,
            folder=self.folder(entry.number),
            cwd=cwd,
            commands=self.commands(),
            env=process.environment(self.variables, given, self.config.target.env_passthrough),
            variables=given,
            params=entry.proposal.params,
            timeout_s=self.config.target.timeout_s,
            resources=cost,
            score=self.scorer(entry) if self.is_own else None,
            renew=tree.renew if tree else None,
            linked=tuple(tree.linked()) if tree and self.config.target.sandbox else (),
        )

    def scorer(self, entry: Entry) -> own.Scorer:
        """The referee of a trial."""
        variables = process.environment(self.variables, {}, self.config.target.env_passthrough)
        return own.Scorer(self.folder(entry.number), self.config.target.workdir, variables)

    def contract(self, entry: Entry, tree: Tree | None = None) -> dict[str, str]:
        """The variables by which a trial knows what to do."""
        folder, seed = self.folder(entry.number), str(self.seed(entry.number))
        given = {
            "AR_RUN_DIR": str(folder),
            "AR_PARAMS_JSON": json.dumps(entry.proposal.params),
            "AR_MODEL_DIR": str(self.model_dir(entry.number)),
            "AR_PROGRESS_FILE": str(folder / PROGRESS),
            "AR_CONTROL_FILE": str(folder / CONTROL),
            "AR_METRIC_FILE": str(folder / METRIC_FILE),
            "AR_SEED": seed,
            "AR_ITER": str(entry.number),
            "AUTORESEARCH_TRIAL_DIR": str(folder),
            "AUTORESEARCH_SEED": seed,
            "PYTHONPATH": self.module_path(tree),
            "PYTHONUNBUFFERED": "1",
        }
        if entry.devices:
            given["CUDA_VISIBLE_DEVICES"] = ",".join(entry.devices)
        if self.is_own:
            given |= own.VARIABLES
        if tree and tree.has_environment:
            given["UV_NO_SYNC"] = "1"  # uv would install the tree into the person's environment
        return given | {variable_of(name): text_of(value) for name, value in entry.proposal.params.items()}

    def module_path(self, tree: Tree | None) -> str:
        """Where modules are found besides the usual places: the shim, then what the person named."""
        named = [Path(one) for one in self.variables.get("PYTHONPATH", "").split(os.pathsep) if one]
        return os.pathsep.join(map(str, [SHIM, *(tree.at(one) if tree else one for one in named)]))

    def settle_model(self, number: int, version: int | None) -> None:
        """Take the model away of a trial that was not kept; where models lie apart, name others by their version."""
        shared, place = self.config.telemetry.model_output_dir, self.model_dir(number)
        if shared and version and place.exists():
            files.remove(shared / f"v{version:04d}")
            place.rename(shared / f"v{version:04d}")
        if shared or not version:
            files.remove(place)

    def write_manifest(self, entry: Entry) -> None:
        """Put all that is known about a trial into its folder."""
        facts = {
            "campaign": self.config.name,
            "objective": self.config.objective.model_dump(),
            "commands": self.commands(),
            "seed": self.seed(entry.number),
            "refereed": self.is_own,
            **entry.model_dump(mode="json", exclude={"result": {"proposal", "reports"}}),
        }
        self.folder(entry.number).mkdir(parents=True, exist_ok=True)  # the trial may have taken it away
        files.write(self.folder(entry.number) / "manifest.json", json.dumps(facts, indent=1) + "\n")

    def cancel(self, number: int, last_step: float, reason: str) -> None:
        """Ask a trial to leave, in the words of both dialects."""
        command: dict[str, Any] = {"action": "cancel", "reason": reason, "cancel": True}
        command |= {
            "seq": 1,
            "run_id": self.config.name,
            "branch_id": f"run-{number:04d}",
            "lr_scale": 1.0,
            "plan": None,
        }
        command |= {"issued_step": int(last_step), "effective_step": int(last_step) + 1}
        path = self.folder(number) / CONTROL
        aside = path.with_name(f".{path.name}")
        files.write(aside, json.dumps(command) + "\n")
        aside.replace(path)


def variable_of(name: str) -> str:
    """Variable that carries a parameter."""
    return f"AR_PARAM_{name.upper()}"


def text_of(value: object) -> str:
    """A parameter as a variable holds it: `true` and `false` as JSON spells them."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def clashes(names: Sequence[str]) -> list[str]:
    """Names of parameters whose variables would be the same, or no variables at all."""
    seen: dict[str, str] = {}
    found = []
    for name in names:
        variable = variable_of(name)
        if variable in seen:
            found.append(f"{name} and {seen[variable]} would both be {variable}")
        seen[variable] = name
    return found
