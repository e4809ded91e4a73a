"""The progress channel that trials import."""

import json
import subprocess
import sys
from pathlib import Path

from autoresearch.search.executors import SHIM


def test_shim_runs_without_the_rest(tmp_path: Path) -> None:
    script = (
        "from autoresearch_rl.target.progress import emit_progress\n"
        "class Tensor:\n    def __float__(self): return 2.5\n"
        "assert emit_progress(step=1, step_target=3, metrics={'a': Tensor(), 'b': float('inf'), 'c': None})\n"
        "open('control', 'w').write('{\"action\": \"wait\"}'); assert emit_progress(step=2, step_target=3)\n"
        "open('control', 'w').write('{\"acti'); assert emit_progress(step=2, step_target=3)\n"
        "open('control', 'w').write('{\"action\": \"cancel\"}')\n"
        "assert emit_progress(step=3, step_target=3, exit_on_cancel=False) is False\n"
        "emit_progress(step=3, step_target=3)\n"
    )
    env = {"PYTHONPATH": str(SHIM), "AR_PROGRESS_FILE": "progress", "AR_CONTROL_FILE": "control", "AR_ITER": "7"}
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 42, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 3]
    assert lines[0]["metrics"] == {"a": 2.5} and lines[0]["iter"] == 7
    by_hand = subprocess.run(
        [*command[:-1], script[: script.index("open(")]], cwd=tmp_path, env={"PYTHONPATH": str(SHIM)}
    )
    assert by_hand.returncode == 0, "nobody supervises"
