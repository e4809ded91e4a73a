"""Stands in for train.py in the tests of the verbs: a score from constants and seed, and ways to go wrong."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

# far enough apart for each change to come out alone
LR = 1.0

# best at 6

DEPTH = 4

# of one run

NOISE = 5e-4

# how to go wrong

MODE = "fine"
SLEEP_S = 0.0
MEGABYTES = 0


def measure(seed: int) -> float:
    """A score with its best at LR 0.5 and DEPTH 6, and some noise."""
    return 1.0 + 0.1 * (LR - 0.5) ** 2 + 0.01 * (DEPTH - 6) ** 2 + random.Random(seed).gauss(0, NOISE)


def go_wrong(folder: Path) -> None:
    """Do what MODE says."""
    if MODE == "memory":
        raise MemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    if MODE == "diverge":
        sys.exit("FAIL: loss is nan at step 3")
    if MODE == "fault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if MODE == "hang":
        time.sleep(600)
    while MODE == "wait" and not (folder / "go").exists():
        time.sleep(0.01)
    if MODE == "orphan":  # leaves its group and holds the output open
        script = "import os, time; os.setsid(); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", script])
        (folder / "orphan.pid").write_text(str(child.pid))
    if MODE == "confirm" and folder.parent.name.startswith("confirm"):
        sys.exit("only now")
    if MODE == "refuse":
        sys.exit("ClockError: an optimizer step outside warm-up and before start")


def main() -> None:
    """Train."""
    folder = Path(os.environ["AUTORESEARCH_TRIAL_DIR"])
    for _ in range(MEGABYTES):
        sys.stdout.write(1024 * f"{'x' * 1023}\n")
    score = measure(int(os.environ["AUTORESEARCH_SEED"]))
    if Path("prepare.py").exists():
        (folder / "submission").mkdir()
        (folder / "submission" / "config.json").write_text(json.dumps({"score": score}))
    with open(folder / "progress.jsonl", "a") as file:
        file.write(json.dumps({"step": 5, "progress": 0.5, "elapsed_s": 1.0, "metrics": {"train_loss": 2.5}}) + "\n")
    time.sleep(SLEEP_S)
    go_wrong(folder)
    print("---")
    print(f"val_bpb: {'nan' if MODE == 'nan' else score}")
    print("training_seconds: 1.0\npeak_vram_mb: 1024.0\ntotal_tokens_M: 1.0\nnum_steps: 10")
    if MODE == "elsewhere":
        print("regime: ffffffffffff")
    if MODE == "exit":
        sys.exit(3)


if __name__ == "__main__":
    main()
