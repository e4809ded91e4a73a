"""Trains on eight H100s at Modal and scores on one more; the log comes back here as it is written.

`modal run modal_train.py` does both with the files as they lie here; `--only train` and `--only score` are the two
halves. The weights come back in between, and are scored in a container that the training never saw. Training text and
validation text lie in volumes of their own, so that a training container has no validation text.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import modal

GPUS = 8
LONGEST_S = 900
PLACE = Path("/root/golf")
SUBMISSION = "submission/weights.npz"
TRAIN_S = 720  # the budget of ten minutes, and the time to start up and save
FILES = ("train_gpt.py", "score.py", "artifact.py", "shards.py")
SETTINGS = ("AUTORESEARCH_TIME_BUDGET", "AUTORESEARCH_MAX_STEPS", "AUTORESEARCH_SEED")

image = modal.Image.debian_slim(python_version="3.12").apt_install("bubblewrap")
image = image.pip_install("torch==2.13.0", "numpy", "pydantic")
for name in FILES:
    image = image.add_local_file(name, str(PLACE / name))
image = image.add_local_dir("autoresearch", str(PLACE / "autoresearch"))  # confines the players of score.py
app = modal.App("parameter-golf", image=image)
training_text = modal.Volume.from_name("parameter-golf-train")
validation_text = modal.Volume.from_name("parameter-golf-val")


@app.function(gpu=f"H100:{GPUS}", timeout=LONGEST_S, volumes={str(PLACE / "data"): training_text})
def train(settings: dict[str, str]) -> bytes:
    """Train on all GPUs; returns the file of the weights."""
    folder = PLACE / "trial"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={GPUS}"]
    env = {**os.environ, **settings, "AUTORESEARCH_TRIAL_DIR": str(folder)}
    subprocess.run([*command, "train_gpt.py"], cwd=PLACE, env=env, check=True, timeout=TRAIN_S)
    return (folder / SUBMISSION).read_bytes()


@app.function(gpu="H100", timeout=LONGEST_S, volumes={str(PLACE / "data"): validation_text})
def score(weights: bytes) -> str:
    """Score the weights; returns the summary."""
    path = PLACE / "trial" / SUBMISSION
    path.parent.mkdir(parents=True)
    path.write_bytes(weights)
    command = [sys.executable, "score.py", str(PLACE / "trial")]
    return subprocess.run(command, cwd=PLACE, check=True, stdout=subprocess.PIPE, text=True).stdout


@app.local_entrypoint()
def main(only: str = "", folder: str = "") -> None:
    """Train, score, or both.

    Args:
        only: `train` or `score`.
        folder: of the trial, here; where the weights are put, or taken from.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end: Modal stops the app at Ctrl-C
    path = Path(folder or os.environ.get("AUTORESEARCH_TRIAL_DIR") or "results/manual") / SUBMISSION
    if only != "score":
        weights = train.remote({name: os.environ[name] for name in SETTINGS if os.environ.get(name)})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(weights)
    if only != "train":
        print(score.remote(path.read_bytes()))
