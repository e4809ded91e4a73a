"""confirm and ablate: what they measure, what they print, and what stays in the record."""

import json
import re

import night


def remeasured(one: night.Night, kind: str) -> dict:
    """The newest record of a kind."""
    return json.loads(sorted((one.root / "results" / "t1").glob(f"{kind}-*.json"))[-1].read_text())


def test_confirm_measures_both_on_fresh_seeds_and_keeps_the_sealed_figure_to_itself(tmp_path):
    one = night.begun(tmp_path, own=True)
    assert "nothing was kept" in one.refuse("confirm")
    one.attempt("halve", LR=0.5)
    used = {trial["seed"] for record in one.records() for trial in record["trials"]}
    before = [one.text("results.tsv"), one.text("notes.md"), one.records(), one.refs(), one.tip()]
    out = one.run("confirm", "--runs", "2").stdout
    assert "−0.02" in out or "-0.02" in out
    found = remeasured(one, "confirm")
    trials = [trial for trials in found["trials"].values() for trial in trials]
    assert len(trials) == 4 and not used & {trial["seed"] for trial in trials} and found["closed"]
    assert set(found["gains"]) == {"val", "sealed"} and all(trial["sealed_score"] > 1.9 for trial in trials)
    assert before == [one.text("results.tsv"), one.text("notes.md"), one.records(), one.refs(), one.tip()]
    for verb in (["status"], ["log"], ["show", "2"], ["wait"]):
        assert "sealed_score: 1" not in one.run(*verb).stdout and "2.0" not in one.run(*verb).stdout
    assert "sealed" not in one.run("confirm", "--runs", "1", "--json").stdout
    assert not list(one.root.glob("results/t1/confirm-*/*/submission"))


def test_confirm_and_ablate_detached_are_told_by_wait(tmp_path):
    one = night.begun(tmp_path, own=True)
    assert "nothing was kept" in one.refuse("confirm", "--detach")
    one.attempt("halve", LR=0.5, SLEEP_S=1.0)
    assert "confirm runs in the background" in one.run("confirm", "--detach", "--runs", "2").stdout
    told = one.run("wait", "--timeout", "0").stdout
    assert "confirm is under way, run " in told and "of 4; no verdict yet" in told
    assert "confirm" in one.refuse("ablate")
    told = one.run("wait").stdout
    assert told.startswith("champion against baseline on fresh seeds: -0.0") and "(95%, 2 runs each)" in told
    found = json.loads(one.run("wait", "--json").stdout)
    assert found["kind"] == "confirm" and found["result"]["runs"] == 2 and "sealed" not in str(found)
    assert "ablate runs in the background" in one.run("ablate", "--detach").stdout
    assert "0002  worth +0.0" in one.run("wait").stdout
    assert json.loads(one.run("wait", "--json").stdout)["result"][0]["carries"]
    one.attempt("shallow", DEPTH=2)
    assert one.run("wait").stdout.startswith("attempt 0003")


def test_wait_says_why_a_detached_confirm_has_no_result(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("halve, and fail later", LR=0.5, MODE="confirm")
    one.run("confirm", "--detach", "--runs", "1")
    told = one.run("wait").stdout
    assert "confirm ended after 2 of 2 runs: error, only now; begin it again" in told and "champion gave no sc" in told


def test_confirm_refuses_changed_pins_and_says_which_run_failed(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("halve", LR=0.5)
    (one.root / "rules.txt").write_text("thawed\n")
    assert "rules.txt" in one.refuse("confirm") and "rules.txt" in one.refuse("ablate")


def test_ablate_tells_what_each_kept_change_is_worth_and_can_be_repeated(tmp_path):
    one = night.begun(tmp_path)
    assert "nothing was kept" in one.run("ablate").stdout
    one.attempt("halve", LR=0.5)
    one.attempt("idle", "--once", NOISE=4e-4)
    one.attempt("deep", DEPTH=6)
    before = [one.text("results.tsv"), one.records(), one.tip(), one.text("train.py")]
    effects = {found["id"]: found for found in json.loads(one.run("ablate", "--json").stdout)}
    assert effects[2]["carries"] and abs(effects[2]["effect"] - 0.025) < 0.005
    kept = [record["id"] for record in one.records()[1:] if record["status"] == "keep"]
    assert sorted(effects) == kept and effects[kept[-1]]["carries"]
    assert before == [one.text("results.tsv"), one.records(), one.tip(), one.text("train.py")]
    assert "worth +0.02" in one.run("ablate").stdout  # the commits without a change are made once


def test_ablate_says_what_does_not_come_out_alone(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("a bit", LR=0.8)
    one.attempt("more", LR=0.5)  # the same line again
    out = one.run("ablate").stdout
    assert "0002  does not come out alone" in out and "0003  worth +0.0" in out


def test_ablate_undoes_constants_on_neighbouring_lines(tmp_path):
    one = night.fresh(tmp_path)
    path = one.root / "train.py"
    path.write_text(re.sub(r"\n\n(?:# .*\n\n)?(DEPTH|NOISE) = ", r"\n\1 = ", path.read_text()))
    assert "LR = 1.0\nDEPTH = 4\nNOISE" in path.read_text()
    one.git("commit", "-qam", "closer")
    one.run("setup", "t1", "--baseline-runs", "1")
    one.attempt("halve", LR=0.5)
    one.attempt("deep", DEPTH=6)
    out = one.run("ablate").stdout
    assert "0002  worth +0.02" in out and "0003  worth +0.0" in out
    commit = next(commit for name, commit in one.refs().items() if name.startswith("without-0002"))
    text = one.git("show", f"{commit}:train.py")
    assert "\nLR = 1.0\nDEPTH = 6\n" in text


def test_confirm_that_was_killed_is_closed_by_the_next_command(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("halve", LR=0.5)
    one.edit(SLEEP_S=0.1)
    one.git("checkout", "-q", "--", "train.py")
    process = one.start("confirm", "--runs", "50")
    night.until(lambda: list(one.root.glob("results/t1/confirm-*.json")) and remeasured(one, "confirm")["trials"])
    process.kill()
    process.communicate()
    assert "was cut off" in one.refuse("backtrack", "0002", "--why", "x")
    assert remeasured(one, "confirm")["closed"] == "cut off"
