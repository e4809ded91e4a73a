"""Targets that train this repository's train.py: parameters are edits of its constants, the number is the referee's.

The clock of such a trial is not watched, as `try` does: what a diff does to it is not seen here.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autoresearch import knobs, referee, sandbox
from autoresearch.records import Crash
from autoresearch.referee import SUBMISSION, Seat
from autoresearch.sandbox import View, files
from autoresearch.search.config import Config
from autoresearch.search.space import Scalar

ROOT = Path(__file__).resolve().parents[2]
FILES = ("train.py", "prepare.py")
VARIABLES = {"AUTORESEARCH_SUPERVISED": "1"}
METRIC = "val_bpb"


def is_own(config: Config, root: Path = ROOT) -> bool:
    """Whether a target is this repository's: it runs train.py beside the very same prepare.py."""
    target = config.target
    if target.type != "command" or target.eval_cmd or config.objective.metric != METRIC:
        return False
    runs_it = any(Path(word).name == "train.py" for word in target.train_cmd or ())
    beside = target.workdir / "prepare.py"
    return runs_it and beside.is_file() and beside.read_bytes() == (root / "prepare.py").read_bytes()


def lay_out(source: Path, folder: Path, params: Mapping[str, Scalar]) -> Path:
    """Fill `code/` of a trial's folder with train.py, its constants edited, and prepare.py; returns where it runs.

    Args:
        source: where both are now, be it `code/` itself.

    Raises:
        Refused: a parameter is no constant of train.py; names the nearest.
    """
    code = folder / "code"
    code.mkdir(exist_ok=True)
    for name in FILES:
        if source != code:
            shutil.copyfile(source / name, code / name)
    text = (code / "train.py").read_text()
    for name, value in params.items():
        text = knobs.edit(text, name, repr(value))
    (code / "train.py").write_text(text)
    return code


@dataclass(frozen=True)
class Scorer:
    """Has the submission of one trial scored."""

    folder: Path
    """Of the trial."""
    source: Path
    """Where prepare.py lies pristine."""
    variables: Mapping[str, str]
    """Of the referee, without secrets."""

    def __call__(self) -> float | Crash:
        """The bits per byte, or why there are none; takes as long as scoring does."""
        files.remove(self.folder / "code" / "prepare.py")
        shutil.copyfile(self.source / "prepare.py", self.folder / "code" / "prepare.py")
        return referee.score(self.source, self.folder, self.variables, self.seat)

    def seat(self, own: Path) -> Seat:
        """Where the player of the submission sits: it sees code and submission, never the data or the repository."""
        confinement = sandbox.find()
        if confinement.kind == "open":
            return Seat(confinement, View(readable=(), writable=(), hidden=(), env=self.variables))
        cache = Path(self.variables.get("AUTORESEARCH_CACHE") or "~/.cache/autoresearch").expanduser()
        packages = sandbox.package_files(sandbox.held_packages(self.source / "prepare.py"))
        readable = [self.folder / "code", *(self.folder / name for name in SUBMISSION)]
        compiled = own / "compiled"
        compiled.mkdir()
        view = sandbox.view(own, compiled, readable, [self.source, cache, *packages], self.variables)
        return Seat(confinement, replace(view, shares_memory=False))


def clear(folder: Path, is_kept: bool) -> None:
    """Take away the code of a trial that is over, and its weights unless it was kept."""
    for name in ("code", "checkpoints", *([] if is_kept else ["submission"])):
        files.remove(folder / name)
