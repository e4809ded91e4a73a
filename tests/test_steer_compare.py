"""Campaigns side by side, and the verbs that print and draw them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from steer_rows import plan, row

from autoresearch.commands.steer import comparison
from autoresearch.errors import BadConfig, Damaged
from autoresearch.steer import compare
from autoresearch.steer.rows import FINALS, Final


def campaign(arm: str, seed: int, *results: float | None, seconds: float = 10.0) -> list[Final]:
    return [row(value, number, arm=arm, seed=seed, seconds=seconds) for number, value in enumerate(results, 1)]


def run_autoresearch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoresearch", *words]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_compare_is_at_the_compute_that_both_have_spent():
    tracks = compare.tracks_of({"a": campaign("llm", 1, 1.4, 1.3), "b": campaign("rule", 1, 1.35, 1.33, 1.2, 1.1)})
    (contrast,) = compare.contrasts_of(tracks, "llm")
    assert contrast.differences == [pytest.approx(1.3 - 1.33)]  # what rule found later does not count
    assert contrast.error is None and contrast.p_better is None  # one seed says nothing of others


def test_compare_pairs_arms_by_seed():
    llm = {f"l{seed}": campaign("llm", seed, 1.3 + seed / 10) for seed in (1, 2, 3)}
    rule = {f"r{seed}": campaign("rule", seed, 1.32 + seed / 10 + seed / 1000) for seed in (1, 2, 3, 4)}
    (contrast,) = compare.contrasts_of(compare.tracks_of({**llm, **rule}), "llm")
    assert contrast.differences == pytest.approx([-0.021, -0.022, -0.023])
    assert contrast.p_better and contrast.p_better > 0.99


def test_campaigns_of_one_arm_on_one_seed_are_held_against_each_other():
    rows = {"a": campaign("llm", 1, 1.30), "b": campaign("llm", 1, 1.34), "c": campaign("rule", 1, 1.35)}
    tracks = compare.tracks_of(rows)
    found = {of: {one.other: one.differences for one in compare.contrasts_of(tracks, of)} for of in ("llm@a", "rule")}
    assert found == {
        "llm@a": {"llm@b": [pytest.approx(-0.04)], "rule": [pytest.approx(-0.05)]},
        "rule": {"llm@a": [pytest.approx(0.05)], "llm@b": [pytest.approx(0.01)]},
    }


def test_campaigns_that_are_joined_count_together():
    rows = {
        f"{name}{seed}": campaign("llm", seed, at + seed / 10)
        for name, at in (("a", 1.3), ("b", 1.31))
        for seed in (1, 2)
    }
    tracks = compare.tracks_of(rows, ["a1,a2", "b1,b2"])
    (contrast,) = compare.contrasts_of(tracks, "llm@a1,a2")
    assert contrast.other == "llm@b1,b2" and contrast.differences == pytest.approx([-0.01, -0.01])
    with pytest.raises(BadConfig, match="a1 and b1 ran llm on seed 1"):
        compare.sides_of(compare.tracks_of(rows, ["a1,b1"]))


def test_compare_counts_the_compute_of_lost_rounds_but_not_of_the_machines_failures():
    finals = [row(None, 1), row(None, 2, status="infra_fail"), row(1.3, 3)]
    (track,) = compare.tracks_of({"a": finals})
    assert track.way == [(10.0, math.inf), (20.0, 1.3)] and track.spent == 20.0 and track.num_diverged == 1


def test_compare_of_nothing_is_nothing():
    assert compare.tracks_of({"a": []}) == [] and compare.contrasts_of([], "llm") == []
    lost = compare.tracks_of({"a": campaign("llm", 1, None), "b": campaign("rule", 1, 1.2)})
    assert [(one.num_seeds, one.num_won) for one in compare.contrasts_of(lost, "llm")] == [(1, 0)]
    assert (
        compare.contrasts_of(compare.tracks_of({"a": campaign("llm", 1, None), "b": campaign("rule", 1, None)}), "llm")
        == []
    )


def test_compare_counts_seeds_in_which_an_arm_found_nothing():
    llm = {f"l{seed}": campaign("llm", seed, 1.3 if seed < 4 else None) for seed in range(1, 11)}
    rule = {f"r{seed}": campaign("rule", seed, 1.31) for seed in range(1, 11)}
    (contrast,) = compare.contrasts_of(compare.tracks_of({**llm, **rule}), "llm")
    assert (contrast.num_won, contrast.num_seeds, contrast.num_lost, contrast.p_better) == (3, 10, 7, None)
    assert comparison.words_of(contrast).endswith("better in 3 of 10 seeds, llm found nothing in 7")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two campaigns."""
    rows = {"a": campaign("llm", 1, 1.4, 1.3, None), "b": campaign("none", 1, 1.35, 1.35, 1.35)}
    rows["b"] += [row(value, 9, plan(peak), arm="plain:cosine10") for value, peak in ((1.33, 1e-3), (None, 2e-2))]
    for tag, finals in rows.items():
        (tmp_path / "results" / "steer" / tag).mkdir(parents=True)
        text = "".join(one.model_dump_json() + "\n" for one in finals)
        (tmp_path / "results" / "steer" / tag / FINALS).write_text(text)
    return tmp_path


def test_compare_verb_prints_tracks_contrasts_and_confirmed_plans(home):
    done = run_autoresearch(home, "steer", "compare", "a", "b")
    assert done.returncode == 0, done.stderr
    assert "llm against none: -0.05000, better in 1 of 1 seeds" in done.stdout
    assert "b none: peak 0.003" in done.stdout and "3 of 3 runs came through" in done.stdout
    facts = json.loads(run_autoresearch(home, "steer", "compare", "a", "b", "--json").stdout)
    assert [one["best"] for one in facts["tracks"]] == [1.3, 1.35, 1.33]


def test_campaign_that_runs_is_read_without_the_line_that_is_being_written(home):
    log = home / "results" / "steer" / "a" / FINALS
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:40])
    assert len(comparison.finals_of(str(log.parent))) == 3, "this is what compare and plot begin with"
    log.write_bytes(whole + whole[:40] + b"\n")
    with pytest.raises(Damaged, match="line 4, must be a Final but"):
        comparison.finals_of(str(log.parent))


def test_compare_verb_takes_one_of_two_campaigns_of_an_arm(home):
    (home / "results" / "steer" / "c").mkdir()
    rows = "".join(one.model_dump_json() + "\n" for one in campaign("llm", 1, 1.2))
    (home / "results" / "steer" / "c" / FINALS).write_text(rows)
    done = run_autoresearch(home, "steer", "compare", "a", "c", "--of", "llm@c")
    assert done.returncode == 0 and "llm@c against llm@a: -0.20000, better in 1 of 1 seeds" in done.stdout
    done = run_autoresearch(home, "steer", "compare", "a", "c", "--of", "llm")
    assert done.returncode == 2 and "known: llm@a, llm@c" in done.stderr


def test_compare_verb_refuses_what_is_no_campaign(home):
    done = run_autoresearch(home, "steer", "compare", "nothing")
    assert done.returncode == 2 and "steer CONFIG" in done.stderr
    done = run_autoresearch(home, "steer", "compare", "a", "--of", "rule")
    assert done.returncode == 2 and "known: llm" in done.stderr


def test_plot_verb_writes_four_pictures(home):
    done = run_autoresearch(home, "steer", "plot", "a,b", "a", "--out", "pictures")
    assert done.returncode == 0, done.stderr
    made = sorted(path.name for path in (home / "pictures").iterdir())
    assert made == ["head_to_head.png", "landscape.png", "rounds.png", "traces.png"]
    assert all((home / "pictures" / name).read_bytes().startswith(b"\x89PNG") for name in made)
