"""Limits, guards, columns and scorers of autoresearch.toml: what holds whatever the score."""

import json

import night

LIMITED = night.ARENA + "limits = { artifact_mb = 16.0 }\n"
GOLF = """\
columns = ["commit", "val_bpb", "artifact_mb", "status", "reasoning", "description"]
score_command = ["{python}", "score.py", "{folder}"]
"""
PRINTED = 'print("training_seconds: 1.0'
SCORER = """import re, sys
from pathlib import Path
text = Path(sys.argv[1], "run.log").read_text()
print(re.findall(r"^val_bpb: .*$", text, re.MULTILINE)[0])
print("artifact_mb:", re.findall(r"^DEPTH = (.*)$", Path("train.py").read_text(), re.MULTILINE)[0])
print("peak_vram_mb: 512.0")
"""


def printing(one: night.Night, line: str) -> None:
    """Have the trainer print one more line of its summary."""
    path = one.root / "train.py"
    text = path.read_text()
    assert text.count(PRINTED) == 1
    path.write_text(text.replace(PRINTED, f"print({line!r})\n    {PRINTED}"))


def scored(folder, more: str = "", says: str = "") -> night.Night:
    """A repository with a scorer, to which DEPTH is the size of an artifact, and which says more at the end."""
    one = night.fresh(folder)
    (one.root / "score.py").write_text(SCORER + says)
    one.git("add", "score.py")
    one.arena(GOLF + more + night.ARENA.replace('["rules.txt"]', '["rules.txt", "score.py"]'))
    return one


def test_oversize_is_discarded_whatever_the_score(tmp_path):
    one = scored(tmp_path, "limits = { artifact_mb = 5.999999 }\n")
    one.run("setup", "t1", "--baseline-runs", "1")
    base = one.tip()
    out = one.attempt("larger and much better", DEPTH=6)
    assert "discard  oversize  −0.0" in out and one.tip() == base
    assert "note: over the limit: artifact_mb must be at most 5.999999 but is 6" in out
    record = one.record(2)
    assert (record["status"], record["reason"]) == ("discard", "oversize")
    assert record["verdict"]["decision"] == "keep" and record["verdict"]["p_better"] > 0.99
    assert "keep" in one.attempt("within the limit", DEPTH=5) and one.record(3)["reason"] == ""


def test_oversize_ends_an_attempt_before_it_is_measured_again(tmp_path):
    one = scored(tmp_path, "limits = { artifact_mb = 4.0 }\n")
    one.run("setup", "t1", "--baseline-runs", "1")
    out = one.attempt("barely better and over", DEPTH=4.01)
    assert "discard  oversize" in out and "train.py is back at champion 0001" in out
    record = one.record(2)
    assert len(record["trials"]) == 1 and not record["champion_trials"]
    assert record["verdict"]["decision"].startswith("again")
    one.edit(DEPTH=4.01)
    assert "this code equals attempt 0002" in one.refuse("try", "-m", "once more")


LATER = """if "{kind}-" in sys.argv[1]:
    print("artifact_mb: 9")
"""


def test_champion_that_exceeds_a_limit_when_measured_again_is_not_confirmed(tmp_path):
    second = LATER.format(kind="confirm").replace(" in sys.argv[1]", " in sys.argv[1] and sys.argv[1].endswith('/2')")
    one = scored(tmp_path, "limits = { artifact_mb = 6.0 }\n", second)
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "keep" in one.attempt("deeper", DEPTH=5)
    out = one.run("confirm", "--runs", "2").stdout
    words = "oversize: 1 of 2 runs over the limit: artifact_mb must be at most 6 but is 9"
    assert out.startswith("champion against baseline") and f"\n{words}; this confirms nothing\n" in out
    found = json.loads(one.run("wait", "--json").stdout)["result"]
    assert found["gain"] < 0 and found["oversize"] in words
    one.run("report")
    page = one.text("results/t1/report.html")
    assert (
        '<span class="badge">not confirmed' in page and "Oversize, so nothing is settled: 1 of 2 runs over the" in page
    )


def test_baseline_that_exceeds_a_limit_when_measured_again_refutes_nothing(tmp_path):
    first = LATER.format(kind="confirm").replace(" in sys.argv[1]", " in sys.argv[1] and sys.argv[1].endswith('/1')")
    one = scored(tmp_path, "limits = { artifact_mb = 6.0 }\n", first)
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "keep" in one.attempt("deeper", DEPTH=5)
    assert "oversize" not in one.run("confirm", "--runs", "1").stdout
    assert json.loads(one.run("wait", "--json").stdout)["result"]["oversize"] == ""


def test_change_without_which_a_limit_is_exceeded_is_no_candidate_for_removal(tmp_path):
    says = LATER.format(kind="ablate") + '    print("val_bpb: 0.5")\n'
    one = scored(tmp_path, "limits = { artifact_mb = 6.0 }\n", says)
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "keep" in one.attempt("smaller", "--once", LR=0.5)
    out = one.run("ablate").stdout
    assert "oversize without it: 1 of 1 runs over the limit: artifact_mb must be at most 6 but is 9" in out
    assert "candidate for removal" not in out
    (effect,) = json.loads(one.run("wait", "--json").stdout)["result"]
    assert effect["effect"] < 0 and effect["carries"] and "is 9" in effect["oversize"]
    one.run("report")
    assert "oversize without it: 1 of 1 runs over the limit" in one.text("results/t1/report.html")


def test_one_run_over_a_limit_makes_no_change_carry(tmp_path):
    second = LATER.format(kind="ablate").replace(" in sys.argv[1]", " in sys.argv[1] and sys.argv[1].endswith('/2')")
    one = scored(
        tmp_path, "limits = { artifact_mb = 6.0 }\n", second + 'if "ablate-" in sys.argv[1]: print("val_bpb: 0.5")\n'
    )
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "keep" in one.attempt("smaller", "--once", LR=0.5)
    assert "oversize without it: 1 of 2 runs over the limit" in one.run("ablate", "--runs", "2").stdout
    assert not json.loads(one.run("wait", "--json").stdout)["result"][0]["carries"]


def test_columns_are_those_of_the_rules_and_crashes_read_zero(tmp_path):
    one = scored(tmp_path)
    one.run("setup", "t1", "--baseline-runs", "1")
    one.attempt("deeper", "--hypothesis", "more is better", DEPTH=5)
    one.attempt("too much", MODE="memory")
    one.run("backtrack", "1", "--why", "to see")
    assert one.text("results.tsv").startswith("commit\tval_bpb\tartifact_mb\tstatus\treasoning\tdescription\n")
    rows = [(row["artifact_mb"], row["status"], row["reasoning"]) for row in one.rows()]
    assert rows[:2] == [("4", "keep", ""), ("5", "keep", "more is better")]
    assert rows[2:] == [("0.0", "crash", ""), ("4", "backtrack", "to see")]
    assert one.rows()[2]["val_bpb"] == "0.000000"


def test_what_the_scorer_measured_overrules_what_the_run_said(tmp_path):
    one = scored(tmp_path, "limits = { artifact_mb = 4.5, memory_gb = 0.6 }\n")
    one.run("setup", "t1", "--baseline-runs", "1")
    assert one.record(1)["trials"][0]["metrics"]["peak_vram_mb"] == 512.0
    assert one.text("results/t1/0001/1/run.log").count("artifact_mb: 4") == 1
    printing(one, "artifact_mb: 0.1")
    assert "discard  oversize" in one.attempt("says that it is small", DEPTH=6)


def test_scorer_and_guards_run_in_pristine_code(tmp_path):
    one = scored(tmp_path, 'guards = [["{python}", "-c", "import train, sys; sys.exit(train.DEPTH > 5)"]]\n')
    one.run("setup", "t1", "--baseline-runs", "1")
    path = one.root / "train.py"
    spoil = 'Path("score.py").write_text("print(\'val_bpb: 0.1\')")\n    Path("re.py").write_text("1 / 0")\n'
    spoil += '    Path("train.py").write_text("DEPTH = 4")\n'
    path.write_text(path.read_text().replace('    print("---")\n', f'    {spoil}    print("---")\n'))
    out = one.attempt("rewrites scorer and guard", DEPTH=6)
    assert "discard  guard" in out and one.record(2)["trials"][0]["score"] > 0.9
    assert one.record(2)["reason"] == "guard"


def test_baseline_that_breaks_a_limit_or_a_guard_is_refused(tmp_path):
    for number, (rule, words) in enumerate(
        (
            ("limits = { memory_gb = 0.4 }\n", "memory_gb must be at most 0.4 but is 0.5"),
            ("limits = { artefact_mb = 9.0 }\n", "artefact_mb must be at most 9 but the summary has no such number"),
            ('guards = [["false"]]\n', "guard `false` must exit 0 but exited 1"),
        )
    ):
        one = scored(tmp_path / str(number), rule)
        assert words in one.refuse("setup", "t1", "--baseline-runs", "1", code=3)


def test_record_says_unrefereed_where_the_run_printed_its_score(tmp_path):
    one = night.fresh(tmp_path / "log")
    assert "note: unrefereed: " in one.run("setup", "t1", "--baseline-runs", "1").stdout
    assert one.record(1)["trials"][0]["unrefereed"] is True
    assert "unrefereed" in one.run("show", "1").stdout
    one.run("report")
    assert "unrefereed: what the runs themselves printed" in one.text("results/t1/report.html")
    one = scored(tmp_path / "scorer")
    assert "unrefereed" not in one.run("setup", "t1", "--baseline-runs", "1").stdout
    assert one.record(1)["trials"][0]["unrefereed"] is False


def test_pinned_file_that_changes_before_or_during_scoring_gives_no_score(tmp_path):
    for name, at_score in (("before", ""), ("during", "while")):
        one = night.fresh(tmp_path / name)
        answers, go = one.root / "answers.txt", one.root / "results" / "go"
        answers.write_text("0.9")
        rules = 'score_command = ["{python}", "score.py"]\nsandbox = { hidden = ["answers.txt"] }\n'
        late = f"Path({str(answers)!r}).write_text('0.1')" if at_score else "pass"
        text = f"from pathlib import Path\nif Path({str(go)!r}).exists(): {late}\n"
        (one.root / "score.py").write_text(f"{text}print('val_bpb:', Path('answers.txt').read_text())\n")
        one.git("add", "score.py")
        one.arena(rules + night.ARENA.replace('["rules.txt"]', '["rules.txt", "score.py"]'))
        one.run("setup", "t1", "--baseline-runs", "1")
        assert one.record(1)["trials"][0]["score"] == 0.9
        go.touch()
        one.edit(LR=0.5, SLEEP_S=2.0)
        process = one.start("try", "-m", "swapped")
        night.until((one.root / "results/t1/0002/1/run.log").exists)
        if not at_score:
            answers.write_text("0.1")
        out, err = process.communicate(timeout=120)
        assert "crash  refused: changed while the trial ran: " in out and "answers.txt" in out, out + err


def test_scorer_and_guards_import_nothing_untracked(tmp_path):
    guard = "import colorsys, sys; sys.exit(hasattr(colorsys, 'EVIL'))"
    one = scored(tmp_path, f'guards = [["{{python}}", "-c", "{guard}"]]\n')
    (one.root / "score.py").write_text(f"import colorsys\n{SCORER}")
    one.git("commit", "-qam", "a scorer that imports")
    one.run("setup", "t1", "--baseline-runs", "1")
    (one.root / "colorsys.py").write_text("EVIL = True\nprint('val_bpb: 0.1')\nimport os\nos._exit(0)\n")
    assert "keep" in one.attempt("lies beside a shadow of a module", DEPTH=5)
    assert one.record(2)["trials"][0]["score"] > 0.9


def test_run_seconds_are_those_of_the_clock_here(tmp_path):
    one = scored(tmp_path, "limits = { run_seconds = 10.0 }\n")
    one.run("setup", "t1", "--baseline-runs", "1")
    assert 0 < float(one.record(1)["trials"][0]["metrics"]["others"]["run_seconds"]) < 10
    printing(one, "run_seconds: 0.1")
    assert "discard  oversize" in one.attempt("says that it was quick", DEPTH=6, SLEEP_S=10.5)


def test_rule_that_freezes_or_hides_nothing_is_refused(tmp_path):
    for number, rule in enumerate(('frozen = ["rules.text"]\n', 'sandbox = { hidden = ["data/*.bin"] }\n')):
        one = night.fresh(tmp_path / str(number))
        one.arena('command = ["{python}", "train.py"]\n' + rule)
        assert "must match a file but none is there" in one.refuse("setup", "t1", "--baseline-runs", "1")


def test_hidden_file_is_not_laid_out_for_the_trial_though_it_is_tracked(tmp_path):
    one = night.fresh(tmp_path)
    (one.root / "answers.txt").write_text("0.9")
    (one.root / "score.py").write_text("print('val_bpb:', open('answers.txt').read())\n")
    one.git("add", "score.py", "answers.txt")
    rules = 'score_command = ["{python}", "score.py"]\nsandbox = { hidden = ["answers.txt"] }\n'
    one.arena(rules + night.ARENA.replace('["rules.txt"]', '["rules.txt", "score.py"]'))
    path = one.root / "train.py"
    path.write_text(
        path.read_text().replace(f"    {PRINTED}", f"    print('seen:', Path('answers.txt').exists())\n    {PRINTED}")
    )
    one.git("commit", "-qam", "look")
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "seen: False" in one.text("results/t1/0001/1/run.log")
    assert one.record(1)["trials"][0]["score"] == 0.9


def test_scorer_has_as_long_as_the_rules_say(tmp_path):
    rules = 'score_command = ["{python}", "-c", "import time; time.sleep(600)"]\nscore_timeout_s = 1.0\n'
    one = night.fresh(tmp_path)
    one.arena(rules + night.ARENA)
    words = one.run("setup", "t1", "--baseline-runs", "1", code=3).stderr
    assert "scoring took longer than 1 s" in words, words
