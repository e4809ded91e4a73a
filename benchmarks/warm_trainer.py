"""Runs train.py again and again from one process that has imported torch once: a fork for each training.

Reads lines of JSON on stdin, `{"params": {...}}`, and answers each with a line: `{"val_bpb", "exit_code", "seconds"}`.
The score is taken as a run by hand takes it, in the training's own process; nobody referees it.
"""

import json
import os
import re
import runpy
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autoresearch import knobs  # noqa: E402


def train(params: dict[str, object], folder: Path) -> tuple[int, str]:
    """Train in a fork; returns its exit code and what it printed."""
    source = (ROOT / "train.py").read_text()
    for name, value in params.items():
        source = knobs.edit(source, name, repr(value))
    (folder / "train.py").write_text(source)
    with open(folder / "log", "wb") as log:
        child = os.fork()
        if child == 0:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.environ["AUTORESEARCH_TRIAL_DIR"] = str(folder / "trial")
            code = 1
            try:
                runpy.run_path(str(folder / "train.py"), run_name="__main__")
                code = 0
            finally:
                sys.stdout.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, (folder / "log").read_text(errors="replace")


def main() -> None:
    """Answer until the end of stdin."""
    import prepare  # noqa: F401  # and with it torch, once

    for line in sys.stdin:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            code, text = train(json.loads(line)["params"], Path(name))
        scores = re.findall(r"^val_bpb: (\S+)$", text, flags=re.MULTILINE)
        score = float(scores[-1]) if code == 0 and scores else None
        answer = {"val_bpb": score, "exit_code": code, "seconds": round(time.monotonic() - begun, 2)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
