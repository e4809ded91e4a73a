"""Trials of the fake trainer, run and scored in this process as `try` does it, without its verdict."""

import threading
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import boxes
import night
import pytest

from autoresearch.attempt import trial
from autoresearch.attempt.campaign import Campaign
from autoresearch.records import Attempt, State, Trial
from autoresearch.sandbox import Confinement

LONGEST_S = 60.0


@dataclass(frozen=True)
class Confined(Campaign):
    """A tag whose trials are confined by what the test names."""

    kind: str = "bubblewrap"

    @cached_property
    def best_confinement(self) -> Confinement:
        return boxes.found(self.kind)


class Solo:
    """One repository; each run is a commit and a trial of its own."""

    def __init__(self, folder: Path, kind: str = "bubblewrap"):
        if boxes.found(kind).kind != kind:
            pytest.skip(f"no {kind} here: {boxes.found(kind).reason}")
        self.night = night.begun(folder, own=True)
        opened = Campaign.open(folder, self.night.env, lambda text: None)
        self.campaign = Confined(**{one.name: getattr(opened, one.name) for one in fields(opened)}, kind=kind)
        self.num_runs = 1

    def run(self, source: str) -> Trial:
        """Train and score a train.py; a supervisor that hangs or raises fails the test."""
        self.num_runs += 1
        (self.night.root / "train.py").write_text(f"{source}\n# run {self.num_runs}\n")
        self.night.git("commit", "-qam", "a run")
        commit = self.night.git("rev-parse", "HEAD")
        one = Trial(commit=commit, seed=7, folder=f"results/t1/{self.num_runs:04d}/1")
        attempt = Attempt(
            tag="t1", id=self.num_runs, state=State.STARTED, commit=commit, parent=commit, description="", trials=[one]
        )
        raised: list[BaseException] = []

        def supervise() -> None:
            try:
                trial.run(self.campaign, attempt, attempt.trials[0], lambda _: None)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=supervise, daemon=True)
        thread.start()
        thread.join(LONGEST_S)
        assert not thread.is_alive(), "the supervisor hangs"
        assert not raised, raised
        return attempt.trials[0]

    def path(self, one: Trial) -> Path:
        """Folder of a trial."""
        return self.night.root / one.folder


def with_passage(old: str, new: str, source: str = night.TRAIN.read_text()) -> str:
    """A trainer, the fake one unless told, with one passage replaced."""
    assert source.count(old) == 1, old
    return source.replace(old, new)
