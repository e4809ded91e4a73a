"""A coding agent in few lines, for tests of `drive`: `python scripted_agent.py MODE FOLDER PROMPT`.

It leaves what it was told in FOLDER, one file for each start, and then behaves, or not, as MODE says.
"""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path


def attempt(number: int, **constants: object) -> int:
    """Edit train.py and try it; the exit code of `try`."""
    path = Path("train.py")
    text = path.read_text()
    for name, value in ({"LR": 1.0 - number / 1000} | constants).items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
    path.write_text(text)
    command = [sys.executable, "-m", "autoresearch", "try", "-m", f"idea {number}"]
    return subprocess.run(command).returncode


def main() -> None:
    """One life."""
    mode, folder, prompt = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    folder.mkdir(exist_ok=True)
    start = len(list(folder.glob("start-*.txt"))) + 1
    (folder / f"start-{start}.txt").write_text(prompt)
    if mode == "once":  # stops after every attempt
        sys.exit(attempt(start))
    if mode == "crash":  # its ideas never run
        sys.exit(attempt(start, MODE="memory"))
    if mode == "crashes":  # one that fails otherwise each time
        sys.exit(attempt(start, MODE=random.choice(["exit", "memory", "fault"])))
    if mode == "dead":
        sys.exit("Error: cannot find the model")
    if mode == "limited":
        sys.exit("Error: 429 rate limit reached, try again in 2 s")
    if mode == "hang":
        (folder / f"pid-{start}").write_text(str(os.getpid()))
        time.sleep(600)
    if mode == "idle":  # works, and tries nothing
        while True:
            print("thinking", flush=True)
            time.sleep(0.05)
    if mode == "flood":
        for _ in range(64):
            sys.stdout.write(1024 * f"{'x' * 1023}\n")
        sys.exit(attempt(start))
    if mode == "steady":  # goes on by itself
        number = 100 * start
        while True:
            attempt(number := number + 1)
            (folder / "cost").write_text(f"{number - 100 * start:.2f}")


if __name__ == "__main__":
    main()
