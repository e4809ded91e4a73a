"""examples/one_evening: the script runs, and prints its transcript; what it leaves behind is exactly right.

To write the transcript anew after a change: `python tests/test_one_evening.py`.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import night

FOLDER = night.ROOT / "examples" / "one_evening"


def mask(text: str) -> str:
    """Hashes and times, which differ from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "TIME", text)
    return re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b|\b[a-f]{7}\b", "HASH", text)


def play(folder: Path) -> tuple[night.Night, str]:
    """Run the script in a repository with the fake trainer."""
    one = night.fresh(folder)
    one.env |= {"PYTHON": sys.executable}
    done = subprocess.run(
        ["sh", str(FOLDER / "evening.sh")], cwd=folder, env=one.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return one, mask(done.stdout.replace(str(folder), "REPOSITORY"))


def test_one_evening_prints_its_transcript_and_leaves_everything_right(tmp_path):
    one, text = play(tmp_path)
    assert text == (FOLDER / "transcript.txt").read_text()
    rows = [(row["status"], row["description"].split()[0]) for row in one.rows()]
    assert rows == [
        *[("keep", "baseline"), ("keep", "halve"), ("discard", "shallower"), ("crash", "twice"), ("keep", "deeper")],
        *[("backtrack", "back"), ("backtrack", "back")],
    ]
    records = one.records("nov20")
    assert [record["state"] for record in records] == ["closed"] * 7
    refs = one.refs("nov20")
    assert {name: commit for name, commit in refs.items() if name.isdigit()} == {
        f"{record['id']:04d}": record["commit"] for record in records
    }
    assert one.tip("nov20") == records[4]["commit"]
    assert one.git("log", "--format=%s") == "deeper\nhalve LR\nbase"
    assert one.git("status", "--porcelain") == ""
    notes = one.text("notes.md")
    assert [line for line in notes.splitlines() if line.startswith("### ")] == [
        *["### 0001: baseline", "### 0002: halve LR", "### 0002: analysis", "### 0003: shallower"],
        *["### 0004: twice as wide", "### 0005: deeper"],
        *[f"### {record['id']:04d}: {record['description']}" for record in records[5:]],
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (FOLDER / "transcript.txt").write_text(play(Path(folder))[1])
