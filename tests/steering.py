"""What tests of steering share: a campaign over the fake trainer, and what it has left."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import ROOT

from autoresearch.steer import campaign, logs, state
from autoresearch.steer import desk as questions
from autoresearch.steer.bench import Bench
from autoresearch.steer.campaign import Memory
from autoresearch.steer.config import Config
from autoresearch.steer.controllers import Controller, Nobody
from autoresearch.steer.logs import Logs
from autoresearch.steer.round import Round
from autoresearch.steer.rows import DECISIONS, ROLLBACKS, Decision, Final, Rollback, Start
from autoresearch.steer.state import State

BASE_LR = 0.02  # of the fake trainer
VARIABLES = {"PATH": "/usr/bin:/bin"}


@dataclass
class Desk:
    """A folder in which one campaign over the fake trainer runs."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def config(self, **habits: Any) -> Config:
        """The campaign, with these habits of its trainer."""
        (self.folder / "habits.json").write_text(json.dumps(habits))
        command = [sys.executable, str(ROOT / "tests" / "trials" / "steered.py"), str(self.folder / "habits.json")]
        usual = {"tag": "t", "rounds": 1, "total_steps": 200, "k": 20, "warmup_steps": 10, "lr_init": 1.0, "seed": 5}
        more = {"controller": "none", "command": command, "metric": "quality", "backoff_s": 0.01}
        return Config.model_validate({**usual, **more, **self.settings})

    def run(self, controller: Controller | None = None, memory: Memory | None = None, **habits: Any) -> Final:
        """Run its rounds; the last one."""
        config = self.config(**habits)
        with campaign.opened(config, VARIABLES, self.folder / "results" / "steer", lambda text: None) as found:
            return found.steer(controller or Nobody(), memory or campaign.always(config))[-1]

    def held(self, kind: type[Round] = Round, controller: Controller | None = None, **known: Any) -> Round:
        """A round that has just begun, or whose state is on disk, in the hand of a test."""
        config, trial = self.config(), self.home / "rounds" / "0001"
        plan = config.opening()
        begun = {"round": 1, "arm": "none", "seed": 5, "is_guarded": True, "start": Start(plan=plan), "plan": plan}
        trial.mkdir(parents=True, exist_ok=True)
        current = state.load(trial) or State.model_validate(begun | known)
        return kind(Bench(config, VARIABLES), questions.Desk(controller or Nobody()), Logs(self.home), trial, current)

    @property
    def home(self) -> Path:
        """Where the logs lie."""
        return self.folder / "results" / "steer" / "t"

    def rows(self, name: str, number: int = 1) -> list[dict[str, Any]]:
        """A JSON lines file of a trial."""
        return [json.loads(line) for line in (self.home / "rounds" / f"{number:04d}" / name).read_text().splitlines()]

    def rates(self, number: int = 1) -> list[float]:
        """Scale of every update that was made, in order."""
        return [row["lr"] / BASE_LR for row in self.rows("trace.jsonl", number)]

    def decisions(self) -> list[Decision]:
        """What was decided."""
        return logs.read(self.home / DECISIONS, Decision)

    def rollbacks(self) -> list[Rollback]:
        """Where it went back."""
        return logs.read(self.home / ROLLBACKS, Rollback)


Until = Callable[[], bool]
