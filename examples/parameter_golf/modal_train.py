"""Trains on eight H100s at Modal and scores on one more; the log comes back here as it is written.

`modal run modal_train.py` does both with the files as they lie here; `--only train` and `--only score` are the two
halves. The weights come back in between, and are scored in a container that the training never saw. Training text and
validation text lie in volumes of their own, so that a training container has no validation text; it has no network
either. What lies in a volume must be what `data.sha256` says, which is checked there before each use.
docs/arenas.md says how volumes and `data.sha256` are made. Nothing of this has been run at Modal.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import modal

GPUS = 8
LONGEST_S, SCORING_S = 900, 3600  # of a container that trains, and of one that scores
PLACE = Path("/root/golf")
SUBMISSION = "submission/weights.npz"
TRAIN_S = 720  # the budget of ten minutes, and the time to start up and save
PINS = "data.sha256"
"""As `sha256sum` writes it: a line for each file of the data, its path from here."""
FILES = ("train_gpt.py", "score.py", "artifact.py", "shards.py", PINS)
SETTINGS = ("AUTORESEARCH_TIME_BUDGET", "AUTORESEARCH_MAX_STEPS", "AUTORESEARCH_SEED")
ALONE = {"block_network": True, "restrict_modal_access": True}
"""No container downloads text, or asks Modal for the volume of another one."""

image = modal.Image.debian_slim(python_version="3.12").apt_install("bubblewrap")
image = image.pip_install("torch==2.13.0", "numpy", "pydantic")
for name in FILES:
    image = image.add_local_file(name, str(PLACE / name))
image = image.add_local_dir("autoresearch", str(PLACE / "autoresearch"))  # confines the players of score.py
app = modal.App("parameter-golf", image=image)
training_text = modal.Volume.from_name("parameter-golf-train")
validation_text = modal.Volume.from_name("parameter-golf-val")


def check_data(others: str) -> None:
    """Compare the volume with what is pinned.

    Args:
        others: part of the names of those files that lie in the other volume.

    Raises:
        ValueError: a file differs, is missing, or is not pinned; says which and what to do.
    """
    rows = [row.split(maxsplit=1) for row in (PLACE / PINS).read_text().splitlines() if row.strip()]
    pinned = {path.lstrip("*"): digest for digest, path in rows if others not in path}
    found = {str(path.relative_to(PLACE)) for path in (PLACE / "data").rglob("*") if path.is_file()}
    problems = [f"{path} is missing" for path in sorted(pinned.keys() - found)]
    problems += [f"{path} is not pinned" for path in sorted(found - pinned.keys())]
    for path in sorted(pinned.keys() & found):
        with open(PLACE / path, "rb") as file:
            if (digest := hashlib.file_digest(file, "sha256").hexdigest()) != pinned[path]:
                problems.append(f"{path} has sha256 {digest}")
    if problems or not pinned:
        raise ValueError(
            f"the volume must hold what {PINS} names but {'; '.join(problems[:5]) or 'it names nothing'}; "
            "fill the volume again, or pin the data anew and begin another tag"
        )


@app.function(gpu=f"H100:{GPUS}", volumes={str(PLACE / "data"): training_text}, timeout=LONGEST_S, **ALONE)
def train(settings: dict[str, str]) -> tuple[int, bytes]:
    """Train on all GPUs; returns the exit code, and the file of the weights where it is 0."""
    check_data(others="_val_")
    folder = PLACE / "trial"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={GPUS}"]
    env = {**os.environ, **settings, "AUTORESEARCH_TRIAL_DIR": str(folder)}
    code = subprocess.run([*command, "train_gpt.py"], cwd=PLACE, env=env, timeout=TRAIN_S).returncode
    return code, b"" if code else (folder / SUBMISSION).read_bytes()


@app.function(gpu="H100", volumes={str(PLACE / "data"): validation_text}, timeout=SCORING_S, **ALONE)
def score(weights: bytes) -> str:
    """Score the weights; returns the summary."""
    check_data(others="_train_")
    path = PLACE / "trial" / SUBMISSION
    shutil.rmtree(PLACE / "trial", ignore_errors=True)
    path.parent.mkdir(parents=True)
    path.write_bytes(weights)
    done = subprocess.run([sys.executable, "score.py", PLACE / "trial"], cwd=PLACE, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr[-4000:].strip().removeprefix("Invalid: "))
    return done.stdout


@app.local_entrypoint()
def main(only: str = "", folder: str = "") -> None:
    """Train, score, or both.

    Args:
        only: `train` or `score`.
        folder: of the trial, here; where the weights are put, or taken from.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end: Modal stops the app at Ctrl-C
    path = Path(folder or os.environ.get("AUTORESEARCH_TRIAL_DIR") or "results/manual") / SUBMISSION
    try:
        if only != "score":
            code, weights = train.remote({name: os.environ[name] for name in SETTINGS if os.environ.get(name)})
            if code:  # the log says why, and nothing is to stand below that
                sys.exit(code if code > 0 else 128 - code)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(weights)
        if only != "train":
            print(score.remote(path.read_bytes()))
    except ValueError as error:  # raised there, and here again
        sys.exit(f"Invalid: {error}")
