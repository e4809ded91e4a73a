"""program.md works: its blocks are walked through the verbs, with real git and a trainer of three lines.

Not covered: that an agent follows the page. The blocks of its last section are walked in test_program_by_hand.py.
"""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from playbook import (
    ARENA,
    BLOCKS,
    HUB_FILES,
    MARKS,
    PEOPLES_FILES,
    ROOT,
    Desk,
    assert_others_work_is_untouched,
    open_desk,
    stand_ins,
)

from autoresearch.ledger import Ledger
from autoresearch.notes import HEADINGS
from autoresearch.records import State


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with the tooling, at which setup is done."""
    desk = open_desk(tmp_path / "work", {}, (*HUB_FILES, *PEOPLES_FILES, "autoresearch"))
    stand_ins(desk, tmp_path / "tools", **{"autoresearch.toml": ARENA})
    assert "runs in the background" in desk.walk("begin")
    assert "attempt 0001" in verdict(desk)
    return desk


def verdict(desk: Desk) -> str:
    """Wait as the page says: again as long as there is no verdict."""
    for _ in range(20):
        told = desk.walk("wait")
        if "no verdict yet" not in told:
            assert "cut off" not in told
            return told
    raise AssertionError("no verdict after 20 calls")


def attempt(desk: Desk, bpb: str, **texts: str) -> str:
    """One round of the loop; returns the verdict."""
    desk.walk("review")
    desk.edit(lambda text: re.sub(r"^BPB = .*", f"BPB = {bpb}", text, flags=re.MULTILINE))
    desk.walk("try", 0, m=f"BPB {bpb}", **texts)
    told = verdict(desk)
    desk.walk("analyze", result=f"BPB {bpb}", expected="better", why="it is lower", lesson="go on")
    return told


def tag_of(desk: Desk) -> str:
    return desk.git("branch", "--show-current").removeprefix("autoresearch/")


@pytest.mark.parametrize("text", sorted(set(BLOCKS)), ids=lambda text: text.split("\n")[0][:40])
def test_program_block_is_known_here(text: str) -> None:
    assert sum(mark in text for mark in MARKS.values()) == 1


def test_program_is_one_path_before_the_closing_section() -> None:
    page = (ROOT / "program.md").read_text()
    headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    assert headings[-1] == "By hand"
    verbs = page[: page.index("\n## By hand\n")]
    assert not re.search(r"git (commit|reset --keep|update-ref)|results\.tsv\n", verbs)


def test_setup_block_opens_branch_records_and_baseline(desk: Desk) -> None:
    assert re.fullmatch(r"[a-z]{3}\d\d", tag_of(desk))
    assert [(row["status"], row["description"]) for row in desk.rows()] == [("keep", "baseline")]
    assert desk.attempts() == {"0001": desk.git("rev-parse", "HEAD")}
    assert len(Ledger(desk.root, tag_of(desk)).read(1).scores()) == 2
    assert (desk.root / "notes.md").read_text().startswith((ROOT / "notes.md.template").read_text()[:200])
    assert "notes.md" not in desk.git("status", "--short") and "results" not in desk.git("status", "--short")
    assert "Refused" in desk.walk("begin", expect=1) and len(desk.rows()) == 1
    assert_others_work_is_untouched(desk)


def test_check_block_says_what_to_mend(desk: Desk) -> None:
    assert {line[:4] for line in desk.walk("check").splitlines() if line != "ready"} <= {"ok  ", "WARN"}


@pytest.mark.slow
def test_program_walks_a_night(desk: Desk) -> None:
    tag, baseline = tag_of(desk), desk.git("rev-parse", "HEAD")
    told = attempt(desk, "1.4", hypothesis="lower is better", evidence="0001", risk="none")
    assert "attempt 0002" in told and re.search(r"^keep +−0\.10", told, flags=re.MULTILINE)
    champion = desk.git("rev-parse", "HEAD")
    assert desk.git("rev-parse", "HEAD~1") == baseline

    for bpb in ("1.6", "1.7"):
        assert re.search(r"^discard ", attempt(desk, bpb), flags=re.MULTILINE)
        assert desk.git("rev-parse", "HEAD") == champion and "BPB = 1.4" in desk.train()
    assert re.search(r"^crash  .*oops", attempt(desk, "oops"), flags=re.MULTILINE)
    assert "dead end: 0003, 0004, 0005 all changed BPB" in desk.walk("review")

    desk.walk("mend", ATTEMPT="0005")
    assert "BPB = oops" in desk.train()
    desk.walk("mend", expect=1, ATTEMPT="0005")
    assert "keep" in attempt(desk, "1.3")
    desk.edit(lambda text: text.replace("1.3", "1.6"))
    refusal = desk.walk("try", expect=1, m="an old idea")
    assert "equals attempt 0003" in refusal
    desk.git("restore", "train.py")
    assert "keep" in attempt(desk, "1.2")
    desk.walk("backtrack", backtrack="0006", why="too good to be true")
    assert desk.git("rev-parse", "HEAD") == desk.attempts()["0006"] and "BPB = 1.3" in desk.train()

    statuses = ["keep", "keep", "discard", "discard", "crash", "keep", "keep", "backtrack"]
    assert [row["status"] for row in desk.rows()] == statuses
    assert desk.rows()[1]["reasoning"] == "lower is better"
    assert desk.git("status", "--short") == "?? draft.txt"
    one = Ledger(desk.root, tag).read(2)
    assert one.reasoning.evidence == "0001" and one.analysis and one.analysis.lesson == "go on"
    notes = (desk.root / "notes.md").read_text()
    assert all(f"## {heading}\n" in notes for heading in HEADINGS)
    assert "### 0002: BPB 1.4\n" in notes and "lesson: go on" in notes

    desk.walk("confirm")
    assert re.search(r"champion against baseline on fresh seeds: -0\.(19|20)", verdict(desk))
    desk.walk("ablate")
    told = verdict(desk)
    assert "0002  does not come out alone" in told and re.search(
        r"^0006  worth \+0\.(0999|100)", told, flags=re.MULTILINE
    )
    html = Path(desk.walk("report").splitlines()[0]).read_text()
    assert html.count('class="row crash"') == 1 and "0006" in html and "does not come out alone" in html
    assert_others_work_is_untouched(desk)


def test_an_attempt_that_was_cut_off_is_taken_up_as_the_page_says(desk: Desk) -> None:
    desk.edit(lambda text: text.replace("import os", "import os, time; time.sleep(8)").replace("1.5", "1.4"))
    desk.walk("try", m="slow")
    ledger = Ledger(desk.root, tag_of(desk))
    until = time.monotonic() + 60
    while ledger.read(2).state != State.RUNNING and time.monotonic() < until:
        time.sleep(0.1)
    assert ledger.read(2).state == State.RUNNING
    holder = re.search(r"attempt 0002 \(process (\d+)\)", desk.walk("try", expect=1, m="a second one"))
    assert holder and ledger.read(2).state == State.RUNNING
    os.kill(int(holder[1]), signal.SIGKILL)
    assert "cut off" in desk.walk("wait")
    assert "BPB = 1.4" in desk.train()
    desk.walk("try", m="slow again")
    assert "keep" in verdict(desk)
    assert [row["status"] for row in desk.rows()] == ["keep", "crash", "keep"]
