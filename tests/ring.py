"""A tag in a repository with the real prepare.py at scale tiny; what is entered is scored as `try` scores it."""

import runpy
from collections.abc import Mapping
from pathlib import Path

import night
import torch
from torch import nn

import prepare
from autoresearch import arena
from autoresearch.attempt import layout, setup, trial
from autoresearch.attempt.campaign import Campaign
from autoresearch.records import Attempt, Crash, State, Trial
from autoresearch.repo import Repo

HONEST = Path(__file__).with_name("cheats").joinpath("honest.py").read_text()
CONFIG = {"vocab_size": prepare.VOCAB_SIZE, "width": 16}


def with_trick(old: str, new: str) -> str:
    """The honest file with one passage replaced."""
    assert HONEST.count(old) == 1, old
    return HONEST.replace(old, new)


class Ring:
    """One repository; each entry is a commit and a trial of its own."""

    def __init__(self, root: Path, variables: Mapping[str, str]):
        root.mkdir()
        self.night = night.Night(root, **variables)
        (root / "prepare.py").write_bytes((night.ROOT / "prepare.py").read_bytes())
        (root / "uv.lock").write_bytes((night.ROOT / "uv.lock").read_bytes())
        (root / ".gitignore").write_text(night.IGNORED)
        (root / "train.py").write_text(HONEST)
        self.night.git("init", "-q", "-b", "main", ".")
        self.night.git("add", "-A")
        self.night.git("commit", "-qm", "base")
        self.campaign = Campaign(Repo.find(root, variables), arena.load(root), "t1", variables)
        setup.fix_pins(self.campaign, self.night.git("rev-parse", "HEAD"), [])
        self.num_entries = 0

    def enter(self, source: str) -> Trial:
        """A trial of a train.py that has not run."""
        self.num_entries += 1
        (self.campaign.repo.root / "train.py").write_text(f"{source}\n# entry {self.num_entries}\n")
        self.night.git("commit", "-qam", "entry")
        folder = f"results/t1/{self.num_entries:04d}/1"
        return Trial(commit=self.night.git("rev-parse", "HEAD"), seed=7, folder=folder, exit_code=0)

    def submit(self, source: str, config: Mapping[str, object] | None = None) -> tuple[Trial, nn.Module]:
        """A trial whose submission are weights at random, and the model of `source` in this process."""
        entry = self.enter(source)
        folder = self.path(entry)
        layout.lay_out(self.campaign, entry.commit, folder)
        torch.manual_seed(3)
        model = runpy.run_path(str(folder / "code" / "train.py"))["build_model"](config or CONFIG)
        prepare.write_json(folder / "submission" / "config.json", config or CONFIG)
        torch.save(model.state_dict(), folder / "submission" / "weights.pt")
        return entry, model

    def score(self, entry: Trial) -> float | Crash:
        """By referee and confined player."""
        return trial.score_of(self.campaign, entry, "")

    def run(self, entry: Trial) -> Trial:
        """Train, confined, and score."""
        attempt = Attempt(tag="t1", id=2, state=State.STARTED, commit=entry.commit, parent=entry.commit, description="")
        entry.exit_code = None
        trial.run(self.campaign, attempt, entry, lambda _: None)
        return entry

    def path(self, entry: Trial) -> Path:
        """Folder of a trial."""
        return self.campaign.repo.root / entry.folder


def in_process(model: nn.Module, tokenizer: prepare.Tokenizer) -> float:
    """The score without referee."""
    model = model.to(prepare.DEVICE).eval()
    return prepare.bits_per_byte(model, prepare.Tokens.load("val").ids, tokenizer, 64)
