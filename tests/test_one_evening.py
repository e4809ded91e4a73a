"""examples/one_evening: the script trains at scale tiny and prints its transcript; what it leaves is exactly right.

To write the transcript anew after a change: `python tests/test_one_evening.py`, with the data prepared.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import night
import pytest

FOLDER = night.ROOT / "examples" / "one_evening"
FILES = ("train.py", "prepare.py", "pyproject.toml", "uv.lock", "notes.md.template", ".gitignore")


def mask(text: str) -> str:
    """Hashes, measured numbers, the room they take and the pace of the machine differ from run to run."""
    text = re.sub(r"^(drift: |note: the same code trained).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b|\b[a-f]{7}\b", "HASH", text)
    return re.sub(r"(?<=\S) {2,}", "  ", re.sub(r"[<>+−-]?\d+\.\d+", "X", text))


def play(folder: Path, environment: Mapping[str, str]) -> tuple[night.Night, str]:
    """Run the script in a repository with this project's train.py and prepare.py."""
    one = night.Night(folder, **environment, RUN=sys.executable)
    for name in FILES:
        shutil.copy(night.ROOT / name, folder / name)
    shutil.copytree(FOLDER, folder / "examples" / "one_evening")
    one.git("init", "-q", "-b", "main", ".")
    one.git("add", "-A")
    one.git("commit", "-qm", "base")
    done = subprocess.run(
        ["sh", "examples/one_evening/evening.sh"], cwd=folder, env=one.env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return one, mask(done.stdout.replace(str(folder), "REPOSITORY"))


@pytest.mark.slow
def test_one_evening_prints_its_transcript_and_leaves_everything_right(tmp_path, cache, environment):
    settings = {name: value for name, value in environment.items() if name not in ("AUTORESEARCH_TIME_BUDGET", "PATH")}
    one, text = play(tmp_path, settings)
    assert text == (FOLDER / "transcript.txt").read_text()
    rows = [(row["status"], row["description"].split()[0]) for row in one.rows()]
    told = [("keep", "baseline"), ("keep", "embed"), ("discard", "slow"), ("crash", "no")]
    assert rows == [*told, ("backtrack", "back"), ("backtrack", "back")]
    assert one.rows()[5]["val_bpb"] == one.rows()[1]["val_bpb"] < one.rows()[0]["val_bpb"] == one.rows()[4]["val_bpb"]
    records = one.records("nov20")
    assert [record["state"] for record in records] == ["closed"] * 6
    refs = {name: commit for name, commit in one.refs("nov20").items() if name.isdigit()}
    assert refs == {f"{record['id']:04d}": record["commit"] for record in records}
    assert one.tip("nov20") == records[1]["commit"] == records[5]["commit"]
    assert one.git("log", "--format=%s") == "embed what followed before\nbase"
    assert one.git("status", "--porcelain") == ""
    headings = [line for line in one.text("notes.md").splitlines() if line.startswith("### ")]
    assert headings == [f"### {record['id']:04d}: {record['description']}" for record in records]
    assert "\nlesson: look at the data\n" in one.text("notes.md")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        (FOLDER / "transcript.txt").write_text(play(Path(name), os.environ)[1])
