"""Training scripts of the older kind, which know only the first names of prepare.py, run unmodified."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("name", ["module_level.py"])
def test_older_variant_runs_unmodified_by_hand(
    cache: Path, environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    shutil.copy(ROOT / "prepare.py", tmp_path)
    shutil.copy(ROOT / "tests" / "variants" / name, tmp_path / "train.py")
    done = subprocess.run(
        [sys.executable, "train.py"],
        check=False,
        cwd=tmp_path,
        env=environment | {"AUTORESEARCH_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = dict(re.findall(r"^(\w+):\s+(\S+)$", done.stdout, flags=re.MULTILINE))
    assert 0.5 < float(summary["val_bpb"]) < 5
    assert 2 <= float(summary["training_seconds"]) < 10 and int(summary["num_steps"]) >= 1
    assert "refereed" in done.stdout, "a score by hand says that nobody refereed it"
    assert (tmp_path / "results" / "manual" / "submission" / "weights.pt").exists()
