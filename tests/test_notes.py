"""notes.py, with real files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoresearch import notes
from autoresearch.errors import Damaged
from autoresearch.notes import CAP_BYTES, HEADINGS, add_analysis, append_entry, sections

ROOT = Path(__file__).resolve().parent.parent


def read(folder: Path, name: str = "notes.md") -> str:
    path = folder / name
    return path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""


def test_headings_are_those_of_the_template():
    template = ROOT / "notes.md.template"
    if not template.exists():
        pytest.skip("no template yet")
    assert tuple(sections(template.read_text())) == HEADINGS


def test_append_makes_the_file(tmp_path):
    append_entry(tmp_path, "0001: baseline", "outcome: 1.0")
    found = sections(read(tmp_path))
    assert tuple(found) == HEADINGS
    assert found["Experiment Log"] == "\n### 0001: baseline\noutcome: 1.0\n\n"
    assert os.listdir(tmp_path) == ["notes.md"]


def test_append_keeps_the_order_and_all_else(tmp_path):
    text = notes.EMPTY.replace("## What Works\n", "## What Works\n- depth 8\n\n### of which\nnot an entry\n")
    (tmp_path / "notes.md").write_text(text)
    for number in range(3):
        append_entry(tmp_path, f"{number}", f"body {number}")
    found = sections(read(tmp_path))
    assert found["Experiment Log"] == "\n" + "".join(f"### {number}\nbody {number}\n\n" for number in range(3))
    assert found["What Works"] == "- depth 8\n\n### of which\nnot an entry\n\n"
    assert read(tmp_path).startswith(text.rstrip())


def test_append_finds_the_log_wherever_it_stands(tmp_path):
    """Sections in another order, one of the agent's own behind the log, spaces and Windows line ends."""
    order = ["Experiment Log", "What Works", *HEADINGS[:2], HEADINGS[3]]
    text = "# N\r\n\r\n" + "".join(f"## {title}  \r\n- in {title}\r\n\r\n" for title in order) + "## Mine\r\n- own"
    (tmp_path / "notes.md").write_bytes(text.encode())
    for number in range(40):
        append_entry(tmp_path, f"{number:04d}", "x" * 400)
    found = read(tmp_path)
    assert tuple(sections(found)) == tuple(order)
    assert found.endswith("## What Works  \r\n- in What Works\r\n\r\n" + text.partition("- in What Works\r\n\r\n")[2])
    assert found.index("### 0039") < found.index("## What Works")
    assert "- in Experiment Log" in found
    assert "## " not in read(tmp_path, "notes-archive.md").replace("### ", "")


def test_append_to_a_log_without_a_last_line_break(tmp_path):
    (tmp_path / "notes.md").write_text(notes.EMPTY.rstrip())
    append_entry(tmp_path, "1", "a")
    assert sections(read(tmp_path))["Experiment Log"] == "\n### 1\na\n\n"


def test_cap_moves_the_oldest_and_loses_nothing(tmp_path):
    for number in range(150):
        append_entry(tmp_path, f"{number:04d}: idea", f"outcome: {number} " + "é" * (1 + number % 90))
        assert len(read(tmp_path).encode()) <= CAP_BYTES
    entries = (read(tmp_path, "notes-archive.md") + sections(read(tmp_path))["Experiment Log"].lstrip()).split("### ")
    assert [entry[:4] for entry in entries[1:]] == [f"{number:04d}" for number in range(150)]
    assert all(f"outcome: {number} " + "é" * (1 + number % 90) in entries[number + 1] for number in range(150))
    assert sections(read(tmp_path))["Experiment Log"].count("### ") > 10, "no more than needed is moved"


ANALYSIS = {"result": "1.0", "vs expected": "same", "why": "chance", "lesson": "look\nagain"}
BLOCK = "result: 1.0\nvs expected: same\nwhy: chance\nlesson: look again\n"


def test_analysis_stands_below_its_entry_and_replaces_an_earlier_one(tmp_path):
    for number in range(3):
        append_entry(tmp_path, f"{number}", f"result: mine\noutcome: {number}")
    add_analysis(tmp_path, "1", ANALYSIS | {"why": "an older reason"})
    add_analysis(tmp_path, "1", ANALYSIS)
    entries = [f"### {number}\nresult: mine\noutcome: {number}\n" for number in range(3)]
    log = sections(read(tmp_path))["Experiment Log"]
    assert log == f"\n{entries[0]}\n{entries[1]}{BLOCK}\n{entries[2]}\n"


def test_analysis_of_an_entry_that_is_gone_begins_it_anew_and_keeps_the_cap(tmp_path):
    append_entry(tmp_path, "0", "body")
    add_analysis(tmp_path, "1", ANALYSIS)
    assert sections(read(tmp_path))["Experiment Log"] == f"\n### 0\nbody\n\n### 1\n{BLOCK}\n"
    append_entry(tmp_path, "2", "x" * (CAP_BYTES - 500))
    assert add_analysis(tmp_path, "2", ANALYSIS) == len(read(tmp_path).encode()) <= CAP_BYTES
    assert "### 2\n" in read(tmp_path) and BLOCK in read(tmp_path) + read(tmp_path, "notes-archive.md")


def test_append_tells_the_size_that_the_other_sections_leave(tmp_path):
    (tmp_path / "notes.md").write_text(notes.EMPTY.replace("## What Works\n", "## What Works\n" + "w" * CAP_BYTES))
    assert append_entry(tmp_path, "1", "body") == len(read(tmp_path).encode()) > CAP_BYTES


def test_cap_holds_when_one_entry_is_larger(tmp_path):
    append_entry(tmp_path, "before", "small")
    append_entry(tmp_path, "huge", "x" * 3 * CAP_BYTES)
    assert len(read(tmp_path).encode()) <= CAP_BYTES
    assert "### huge\nin notes-archive.md\n" in read(tmp_path)
    assert read(tmp_path, "notes-archive.md") == f"### before\nsmall\n\n### huge\n{'x' * 3 * CAP_BYTES}\n\n"
    append_entry(tmp_path, "after", "small")
    assert "### after\nsmall\n" in read(tmp_path)


def test_cap_spares_what_the_agent_wrote_under_other_headings(tmp_path):
    text = notes.EMPTY.replace("## What Works\n", "## What Works\n" + "w" * 2 * CAP_BYTES + "\n")
    (tmp_path / "notes.md").write_text(text)
    append_entry(tmp_path, "1", "body")
    assert read(tmp_path).startswith(text.rstrip())
    assert "### 1\n" in read(tmp_path)
    assert read(tmp_path, "notes-archive.md") == "### 1\nbody\n\n"


def test_entry_opens_no_heading_of_its_own(tmp_path):
    append_entry(tmp_path, "a\n## b\tc", "first\n## What Works\n### not an entry\n#x")
    append_entry(tmp_path, "2", "second")
    log = sections(read(tmp_path))["Experiment Log"]
    assert log == "\n### a ## b c\nfirst\n\\## What Works\n\\### not an entry\n\\#x\n\n### 2\nsecond\n\n"


def test_missing_heading_is_named_and_nothing_changes(tmp_path):
    text = notes.EMPTY.replace("## What Works\n", "## What works\n")
    (tmp_path / "notes.md").write_text(text)
    with pytest.raises(Damaged, match="lacks '## What Works'"):
        append_entry(tmp_path, "1", "x")
    assert read(tmp_path) == text


def test_bytes_that_are_no_text_survive(tmp_path):
    (tmp_path / "notes.md").write_bytes(notes.EMPTY.encode() + b"### 0\n\xff\xfe\n")
    append_entry(tmp_path, "1", "x")
    assert b"### 0\n\xff\xfe\n\n### 1\nx\n" in (tmp_path / "notes.md").read_bytes()


def test_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "real.md").write_text(notes.EMPTY)
    (tmp_path / "notes.md").symlink_to("elsewhere/real.md")
    append_entry(tmp_path, "1", "x")
    assert (tmp_path / "notes.md").is_symlink()
    assert "### 1\nx\n" in (tmp_path / "elsewhere" / "real.md").read_text()


APPEND = """
import sys
from pathlib import Path
from autoresearch.notes import append_entry
for number in range(25):
    append_entry(Path(sys.argv[1]), f"{sys.argv[2]}-{number}", "x" * 300)
"""


def test_two_processes_at_once_lose_no_entry(tmp_path):
    env = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", APPEND, str(tmp_path)]
    children = [subprocess.Popen([*command, name], env=env) for name in ("a", "b")]
    assert [child.wait() for child in children] == [0, 0]
    text = read(tmp_path) + read(tmp_path, "notes-archive.md")
    assert [text.count(f"### {name}-{number}\n") for name in "ab" for number in range(25)] == [1] * 50
    assert sorted(os.listdir(tmp_path)) == ["notes-archive.md", "notes.md"]
