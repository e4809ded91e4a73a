"""ledger.py, with real files and real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoresearch.errors import Damaged, Refused
from autoresearch.ledger import Ledger, Row, clean, locked, read_table
from autoresearch.records import COLUMNS, Attempt, Pins, State, Trial

ROOT = Path(__file__).resolve().parent.parent
HEADER = "\t".join(COLUMNS) + "\n"
ENV = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path, "t")


def attempt(number: int, previous: str = "", description: str = "idea", tag: str = "t") -> Attempt:
    return Attempt(tag=tag, id=number, state=State.STARTED, commit="c", parent="p", description=description,
                   previous=previous)  # fmt: skip


def row(description: str, status: str = "keep", **values: str) -> dict[str, str]:
    return {"commit": "abcdefg", "val_bpb": "1.5", "memory_gb": "2.0", "status": status, "description": description,
            "reasoning": "", **values}  # fmt: skip


def chain(ledger: Ledger, count: int) -> list[Attempt]:
    for number in range(1, count + 1):
        ledger.write(attempt(number, ledger.digest(number - 1)))
    return ledger.attempts()


# --- records


def test_record_is_read_back(ledger):
    one = attempt(1, description="tab\tünï\n")
    one.trials.append(Trial(commit="c", seed=1, folder="f", score=0.1 + 0.2))
    ledger.write(one)
    assert ledger.read(1) == one
    assert ledger.attempts() == [one]


def test_records_are_numbered_beyond_four_digits(ledger):
    for number in (1, 9999, 10000):
        ledger.write(attempt(number))
    (ledger.folder / "0001.out").write_text("")
    (ledger.folder / "0001-copy.json").write_text("")
    (ledger.folder / "pins.json").write_text("")
    assert ledger.numbers() == [1, 9999, 10000]


def test_record_that_is_not_there_names_the_known_ones(ledger):
    with pytest.raises(Refused, match="no attempt 0003 under 't'; known: none"):
        ledger.read(3)
    chain(ledger, 2)
    with pytest.raises(Refused, match=r"known: 0001\.\.0002"):
        ledger.read(3)


@pytest.mark.parametrize("content", ["", "{", '{"tag": "t"}', "\0" * 100, "[]"])
def test_record_that_is_damaged_is_named(ledger, content):
    chain(ledger, 1)
    ledger.path(1).write_text(content)
    with pytest.raises(Damaged, match=r"0001\.json is damaged: .*restore it"):
        ledger.read(1)


def test_record_that_is_damaged_says_where(ledger):
    chain(ledger, 1)
    ledger.path(1).write_text(ledger.path(1).read_text().replace('"c"', "3"))
    with pytest.raises(Damaged, match="damaged: commit: Input should be a valid string"):
        ledger.read(1)


def test_record_under_another_number_or_tag_is_damaged(ledger):
    chain(ledger, 1)
    ledger.path(2).write_bytes(ledger.path(1).read_bytes())
    with pytest.raises(Damaged, match=r"must tell of attempt 0002 of 't' but tells of 0001"):
        ledger.read(2)
    ledger.write(attempt(2, tag="other"))
    with pytest.raises(Damaged, match="of 'other'"):
        ledger.read(2)


def test_chain_holds_until_a_record_is_changed(ledger):
    attempts = chain(ledger, 3)
    ledger.check_chain(attempts)
    ledger.check_chain([])
    attempts[2].notices.append("the last one may still change")
    ledger.write(attempts[2])
    ledger.check_chain(ledger.attempts())
    ledger.write(attempt(2, ledger.digest(1), "better than it was"))
    with pytest.raises(Damaged, match=r"0002\.json was changed after attempt 0003 had begun"):
        ledger.check_chain(ledger.attempts())


@pytest.mark.parametrize(("lost", "named"), [(1, "0002"), (2, "0001")])
def test_chain_misses_a_record_that_was_removed(ledger, lost, named):
    chain(ledger, 3)
    ledger.path(lost).unlink()
    with pytest.raises(Damaged, match=rf"{named}\.json"):
        ledger.check_chain(ledger.attempts())


def test_pins_are_read_back_or_refused(ledger):
    with pytest.raises(Refused, match="uv run -m autoresearch setup t"):
        ledger.pins()
    pins = Pins(tag="t", baseline="c", regime="r", frozen={"prepare.py": "d"})
    ledger.write_pins(pins)
    assert ledger.pins() == pins
    (ledger.folder / "pins.json").write_text("{}")
    with pytest.raises(Damaged, match=r"pins\.json is damaged: tag"):
        ledger.pins()


REWRITE = """
import sys
from pathlib import Path
from autoresearch.ledger import Ledger
from autoresearch.records import Attempt
ledger = Ledger(Path(sys.argv[1]), "t")
print("ready", flush=True)
for n in range(10**9):
    one = dict(tag="t", id=1, state="started", commit=str(n), parent=str(n), description=str(n) * 20_000)
    ledger.write(Attempt(**one))
"""


def test_record_survives_kills_while_it_is_written(ledger):
    ledger.write(attempt(1))
    seen = set()
    for delay_s in (0.0, 0.003, 0.007, 0.011):
        command = [sys.executable, "-c", REWRITE, str(ledger.root)]
        with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            time.sleep(0.05 + delay_s)
            child.send_signal(signal.SIGKILL)
        found = ledger.read(1)
        assert found.description in ("idea", found.commit * 20_000)
        seen.add(found.description[:1])
    assert ledger.numbers() == [1]
    assert seen != {"i"}, "it was written at least once"


# --- the table


def test_table_begins_with_the_header_once(ledger):
    ledger.start_table()
    ledger.start_table()
    assert ledger.table.read_text() == HEADER


def test_table_header_that_was_cut_off_is_completed(ledger):
    ledger.table.write_text(HEADER[:20])
    ledger.append_row(row("a"))
    assert ledger.table.read_text().startswith(HEADER + "abcdefg\t")


def test_rows_go_by_column_name(ledger):
    ledger.table.write_text("description\tmine\tstatus\tcommit\tval_bpb\r\nby hand\tx\tkeep\t1234567\t1.25\r\n")
    ledger.append_row({name: text for name, text in row("ours").items() if name != "memory_gb"})
    assert ledger.table.read_bytes().endswith(b"\r\nours\t\tkeep\tabcdefg\t1.5\n")
    assert [one.values["description"] for one in ledger.rows()] == ["by hand", "ours"]
    assert ledger.rows()[0].values["mine"] == "x"
    assert ledger.rows()[0].number("val_bpb") == 1.25


def test_row_is_not_written_where_its_score_has_no_column(ledger):
    ledger.table.write_text("commit\tstatus\tdescription\n")
    with pytest.raises(Damaged, match="lacks val_bpb, memory_gb"):
        ledger.append_row(row("a"))
    assert ledger.table.read_text() == "commit\tstatus\tdescription\n"


def test_row_is_clean(ledger):
    assert clean(" a\tb\r\nc\x0b\u2028d  e ") == "a b c d e"
    ledger.append_row(row("tab\there\nline", reasoning="x\udcff"))
    assert ledger.table.read_text().count("\n") == 2
    assert ledger.rows()[0].values["description"] == "tab here line"


def test_row_is_added_as_often_as_it_should_be_there(ledger):
    for times in (1, 1, 2, 2, 1):
        ledger.append_row(row("a"), times)
    ledger.append_row(row("b"))
    assert [one.values["description"] for one in ledger.rows()] == ["a", "a", "b"]


def test_row_that_was_cut_off_is_completed_by_its_writer(ledger):
    ledger.append_row(row("whole"))
    ledger.append_row(row("café"))
    full = ledger.table.read_bytes()
    start = full.index(b"abcdefg", full.index(b"whole"))
    for end in range(start, len(full)):
        ledger.table.write_bytes(full[:end])
        ledger.append_row(row("café"))
        assert ledger.table.read_bytes() == full


def test_row_that_was_cut_off_stays_visible_and_is_named(ledger):
    ledger.append_row(row("whole"))
    with open(ledger.table, "a") as file:
        file.write("1234567\t1.")
    ledger.append_row(row("next"))
    assert ledger.table.read_text().splitlines()[2] == "1234567\t1."
    with pytest.raises(Damaged, match="line 3 must have 6 columns but has 2: '1234567"):
        ledger.rows()
    found = read_table(ledger.table)
    assert [one.values.get("description") for one in found] == ["whole", None, "next"]
    assert [bool(one.damage) for one in found] == [False, True, False]
    assert found[1].values == {"commit": "1234567", "val_bpb": "1."}


def test_all_damaged_rows_are_named(ledger):
    ledger.start_table()
    with open(ledger.table, "ab") as file:
        file.write(b"one\n\n" + b"\t" * 9 + b"\xff\n" + b"a\tb\tc\td\te\tf\n")
    with pytest.raises(Damaged, match=r"line 2 .*; .*line 4 .*10: .*2 damaged rows in all"):
        ledger.rows()


@pytest.mark.parametrize("content", ["hash\tstatus\n", "commit\n", "\x00\x01", "commit,val_bpb,status\n"])
def test_table_without_its_columns_is_damaged(ledger, content):
    ledger.table.write_text(content)
    with pytest.raises(Damaged, match="line 1 must name the columns commit, status but lacks"):
        ledger.rows()
    with pytest.raises(Damaged, match="line 1 must name the columns"):
        ledger.append_row(row("a"))
    assert ledger.table.read_text() == content


def test_table_that_is_missing_or_empty_has_no_rows(ledger):
    assert ledger.rows() == []
    ledger.table.write_text("\n")
    assert ledger.rows() == []
    ledger.table.write_text("\ufeff" + HEADER)
    assert ledger.rows() == []


def test_number_of_what_was_not_scored_is_none():
    def number(text: str, status: str) -> float | None:
        return Row(2, {"val_bpb": text, "status": status}).number("val_bpb")

    assert number("0.5", "keep") == number("0.5", "discard") == 0.5
    for status in ("crash", "cancelled", "backtrack", ""):
        assert number("0.000000", status) is None
    for text in ("nan", "inf", "", "x"):
        assert number(text, "keep") is None
    assert Row(2, {"status": "keep"}).number("val_bpb") is None


APPEND = """
import sys
from pathlib import Path
from autoresearch.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "t")
for n in range(60):
    ledger.append_row({"commit": sys.argv[2], "status": "keep", "description": str(n)})
"""


def test_two_processes_at_once_lose_no_row(ledger):
    command = [sys.executable, "-c", APPEND, str(ledger.root)]
    children = [subprocess.Popen([*command, name], env=ENV) for name in ("a", "b")]
    assert [child.wait() for child in children] == [0, 0]
    assert ledger.table.read_text().count(HEADER) == 1
    found = [(one.values["commit"], one.values["description"]) for one in ledger.rows()]
    assert sorted(found) == sorted((name, str(number)) for name in "ab" for number in range(60))


# --- disk full


FILL = """
import resource, sys
from pathlib import Path
from autoresearch.ledger import Ledger
from autoresearch.records import Attempt
ledger = Ledger(Path(sys.argv[1]), "t")
resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.table.stat().st_size + 10,) * 2)
one = ledger.read(1)
one.description = "x" * 100_000
row = {"commit": "c", "status": "keep", "reasoning": "y" * 99}
for call in (lambda: ledger.write(one), lambda: ledger.append_row(row)):
    try:
        call()
    except OSError as error:
        print(f"{type(error).__name__}: {error}")
"""


def test_limit_of_the_file_system_leaves_records_and_table_intact(ledger):
    chain(ledger, 1)
    ledger.append_row(row("whole"))
    before = {path: path.read_bytes() for path in ledger.root.rglob("*") if path.is_file()}
    command = [sys.executable, "-c", FILL, str(ledger.root)]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "File too large" in first and str(ledger.path(1)) in first
    assert "File too large" in second and str(ledger.table) in second
    assert {path: path.read_bytes() for path in ledger.root.rglob("*") if path.is_file()} == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True).returncode:
        pytest.skip("this user cannot mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_leaves_records_and_table_intact(small_disk):
    ledger = Ledger(small_disk, "t")
    chain(ledger, 1)
    ledger.append_row(row("whole"))
    before = {path: path.read_bytes() for path in ledger.root.rglob("*") if path.is_file()}
    with open(small_disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 1024):
            pass
    for call in (lambda: ledger.write(attempt(1, description="x" * 9000)), lambda: ledger.write(attempt(2)),
                 lambda: ledger.append_row(row("y" * 9000))):  # fmt: skip
        with pytest.raises(OSError, match="No space left on device"):
            call()
    (small_disk / "filler").unlink()
    assert {path: path.read_bytes() for path in ledger.root.rglob("*") if path.is_file()} == before
    ledger.append_row(row("y" * 9000))
    assert [one.values["description"][:5] for one in ledger.rows()] == ["whole", "yyyyy"]


# --- locks


HOLD = """
import sys
from pathlib import Path
from autoresearch.ledger import locked
with locked(Path(sys.argv[1])) as file:
    print(file is not None, flush=True)
    sys.stdin.read()
"""


def test_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path):
    path = tmp_path / "results" / ".lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "True\n"
        with locked(path) as ours:
            assert ours is None
        child.kill()
    with locked(path) as ours:
        assert ours is not None
