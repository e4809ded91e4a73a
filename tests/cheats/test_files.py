"""Tricks around the measurement, with a trainer that takes no time: none is kept."""

import json

import night
import pytest

PRINTED = 'print("---\\nval_bpb: 0.1")\n    '
SUBMITTED = '(folder / "submission").mkdir()'
SAVES = '    if Path("prepare.py").exists():\n'
NOT_SAVED = "    if False:\n"
TEXT = night.TRAIN.read_text()
END = '    if MODE == "exit":\n'


def enter(one: night.Night, old: str, new: str) -> dict:
    """Try the trainer with a passage replaced, and worse constants; returns the record."""
    assert TEXT.count(old) == 1, old
    (one.root / "train.py").write_text(TEXT.replace(old, new).replace("DEPTH = 4", "DEPTH = 1"))
    one.run("try", "-m", "a trick")
    return one.record(2)


@pytest.fixture
def one(tmp_path) -> night.Night:
    return night.begun(tmp_path, own=True)


WRITES = """    import glob, pathlib
    for name in ("score.json", "../../../../results.tsv", "../../0001.json", "../0001.json", "../pins.json"):
        for path in (folder / name, pathlib.Path("code") / name):
            try:
                path.write_text('{"val_bpb": 0.1}')
            except OSError:
                pass
"""
SCORED = {
    "a printed number": (END, f"    {PRINTED.strip()}\n{END}"),
    "a number after the summary": (END, f"    import atexit; atexit.register(lambda: print('val_bpb: 0.1'))\n{END}"),
    "forged files of the supervisor": (END, WRITES + END),
}


@pytest.mark.parametrize("name", SCORED)
def test_forged_number_is_not_the_score(one, name):
    rows, first = one.text("results.tsv"), one.text("results/t1/0001.json")
    record = enter(one, *SCORED[name])
    assert record["status"] == "discard" and record["trials"][0]["score"] > 1.0
    assert one.text("results.tsv").startswith(rows) and one.text("results/t1/0001.json") == first
    assert json.loads(one.text("results/t1/0002/1/score.json"))["val_bpb"] == record["trials"][0]["score"]


NO_FILE = "submission/weights.pt must be a plain file but is missing"
CRASHED = {
    "exit 0 after a crash": (
        "    score = measure(",
        "    print('---\\nval_bpb: 0.1'); sys.exit(0)\n    score = measure(",
        "clock: clock.start() must be called",
    ),
    "no submission but a number": (SAVES, f"    {PRINTED.strip()}\n{NOT_SAVED}", NO_FILE),
    "a submission of links": (
        '(folder / "submission" / "weights.pt").touch()',
        '(folder / "submission" / "weights.pt").symlink_to("/etc/passwd")',
        "submission/weights.pt must be a plain file",
    ),
    "a linked submission": (SUBMITTED, '(folder / "x").mkdir(); (folder / "submission").symlink_to("x")', "plain file"),
    "no clock": ("clock = Clock()", "clock = globals()['C' + 'lock']()", "train.py must have a `Clock`"),
    "no model": ("def build_model", "def no_model", "train.py must have `build_model(config)`"),
}


@pytest.mark.parametrize("name", CRASHED)
def test_run_without_a_measurement_is_named(one, name):
    old, new, why = CRASHED[name]
    record = enter(one, old, new)
    assert record["status"] == "crash" and why in record["trials"][0]["crash"]["why"], record["trials"]


def test_fork_that_outlives_the_trial_is_ended(one):
    fork = "    child = os.fork()\n    if child == 0:\n        os.setsid()\n        time.sleep(600)\n"
    named = '    (folder / "fork.pid").write_text(str(child))\n'
    record = enter(one, END, fork + named + END)
    assert record["status"] == "discard"
    assert night.processes_with(str(one.root / "results/t1/0002/1")) == []


@pytest.mark.slow
def test_gigabytes_of_output_are_bounded(one):
    record = enter(one, "MEGABYTES = 0", "MEGABYTES = 1024")
    assert record["status"] == "discard"
    assert (one.root / "results/t1/0002/1/run.log").stat().st_size < 12 << 20


def test_edit_of_frozen_files_is_refused(one):
    one.edit(LR=0.5)
    for name, text in (("prepare.py", "# thawed\n"), ("autoresearch/referee.py", "# mine\n"), ("uv.lock", "")):
        path = one.root / name
        path.parent.mkdir(exist_ok=True)
        before = path.read_text() if path.exists() else None
        path.write_text(text)
        assert f"frozen files must stay as they were at setup but {name} changed" in one.refuse("try", "-m", "x")
        path.unlink() if before is None else path.write_text(before)
    assert "keep" in one.run("try", "-m", "x").stdout


def test_commit_of_more_than_train_py_is_refused(one):
    one.edit(LR=0.5)
    (one.root / "helper.py").write_text("")
    one.git("add", "-A")
    one.git("commit", "-qm", "more")
    assert "may change train.py alone but this commit changes helper.py" in one.refuse("try", "-m", "x")


def test_changed_record_is_refused_and_a_changed_table_decides_nothing(one):
    table, record = one.root / "results.tsv", one.root / "results/t1/0001.json"
    text = table.read_text()
    table.write_text(text.replace(one.rows()[0]["val_bpb"], "9.000000"))
    assert "discard" in one.attempt("shallow", DEPTH=1), "the record is compared, not the table"
    record.write_text(record.read_text().replace('"score": 1.', '"score": 9.'))
    one.edit(LR=0.9, DEPTH=4)
    assert "0001.json was changed" in one.refuse("try", "-m", "x")


def test_same_code_for_the_sake_of_another_seed_is_refused(one):
    one.attempt("shallow", DEPTH=1)
    (one.root / "train.py").write_text("# again\n" + TEXT.replace("DEPTH = 4", "DEPTH = 1"))
    assert "this code equals attempt 0002" in one.refuse("try", "-m", "again")


def test_literal_seed_is_reported(one):
    call = "    __import__('random').seed(1); torch = None\n    if torch:\n        torch.manual_seed(1337)\n"
    record = enter(one, END, call + END)
    assert any("sets a literal seed, torch.manual_seed(1337)" in notice for notice in record["notices"])


def test_champion_file_from_a_run_by_hand_is_no_measurement(one):
    """A stale submission of an earlier run in the same place is gone before the next begins."""
    stale = one.root / "results/t1/0002/1/submission"
    stale.mkdir(parents=True)
    (stale / "config.json").write_text('{"score": 0.1}')
    (stale / "weights.pt").touch()
    record = enter(one, SAVES, NOT_SAVED)
    assert record["status"] == "crash" and record["trials"][0]["score"] is None
    assert record["trials"][0]["crash"]["why"] == NO_FILE and record["trials"][0]["stamps"].keys() == {"start", "done"}


def test_modules_beside_prepare_run_neither_in_referee_nor_in_player(one):
    """The fake prepare.py imports colorsys, as the real one imports many."""
    mark = one.root / "results" / "ran"
    shadow = f"open({str(mark)!r}, 'a').write('x')\n"
    (one.root / "colorsys.py").write_text(shadow)
    beside = f"    Path('colorsys.py').write_text({shadow!r})\n"
    (one.root / "train.py").write_text(TEXT.replace(END, beside + END).replace("LR = 1.0", "LR = 0.5"))
    assert "keep" in one.run("try", "-m", "beside", "--no-sandbox").stdout
    assert not mark.exists()


def test_file_that_may_hold_weights_is_refused_without_running_it(one):
    record = enter(one, END, f"    '{'w' * 256 * 1024}'\n{END}")
    run = record["trials"][0]
    assert record["status"] == "crash" and run["pid"] is None and run["crash"]["kind"] == "refused"
    assert "train.py must have at most 262,144 bytes" in run["crash"]["why"]
