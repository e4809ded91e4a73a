"""Twenty attempts by a shell script, unattended: ledger, notes, references and branch exactly right."""

import subprocess
import sys

import night
import pytest

STATUSES = (
    *("keep", "keep", "discard", "keep", "discard", "keep", "crash", "keep", "discard", "crash", "keep"),
    *("discard", "discard", "discard", "crash", "discard", "crash", "discard", "discard", "discard", "discard"),
)


@pytest.mark.slow
def test_scripted_agent_runs_twenty_attempts_unattended(tmp_path):
    one = night.begun(tmp_path, PYTHON=sys.executable)
    base = one.tip()
    script = night.ROOT / "tests" / "agent.sh"
    done = subprocess.run(["sh", script], cwd=one.root, env=one.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    records = one.records()
    assert tuple(record["status"] for record in records) == STATUSES
    assert [row["status"] for row in one.rows()] == list(STATUSES)
    assert [row["commit"] for row in one.rows()] == [record["commit"][:7] for record in records]
    assert all(record["state"] == "closed" for record in records)
    check_branch(one, records, base)
    check_notes(one, records)
    for row, record in zip(one.rows(), records, strict=True):
        scores = [trial["score"] for trial in record["trials"] if trial["score"] is not None]
        crashed = record["status"] == "crash"
        assert row["val_bpb"] == ("0.000000" if crashed else f"{sum(scores) / len(scores):.6f}")
        assert all(trial["crash"]["kind"] for trial in record["trials"]) if crashed else scores
    assert "dead end: " in done.stdout and "plateau: " in done.stdout


def check_branch(one: night.Night, records: list[dict], base: str) -> None:
    """Each kept attempt stands on the one kept before it; every commit has its reference."""
    champion = base
    for record in records[1:]:
        assert record["parent"] == champion and one.git("rev-parse", f"{record['commit']}^") == champion
        champion = record["commit"] if record["status"] == "keep" else champion
    assert one.tip() == champion and one.git("status", "--porcelain") == ""
    assert one.refs() == {f"{record['id']:04d}": record["commit"] for record in records}
    assert "\nLR = 0.5\n" in one.text("train.py") and "\nDEPTH = 6\n" in one.text("train.py")


def check_notes(one: night.Night, records: list[dict]) -> None:
    """Every attempt is told once, in notes.md or, for the oldest, in its archive."""
    archive = one.root / "notes-archive.md"
    told = (archive.read_text() if archive.exists() else "") + one.text("notes.md")
    assert [line[4:8] for line in told.splitlines() if line.startswith("### ")] == [f"{r['id']:04d}" for r in records]
    assert len(one.text("notes.md").encode()) <= 8 * 1024
