"""The examples of the search, each run by its own configuration from a copy, to its end."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from searching import ROOT, VARIABLES, Ended, Target

from autoresearch.search.executors import SHIM

EXAMPLES = ROOT / "examples"
PROGRAMS = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{VARIABLES['PATH']}"}  # `python3` is this one
OWN_FILES = ("train.py", "prepare.py", "program.md")
PASSED_ON = ("AUTORESEARCH_CACHE", "AUTORESEARCH_SCALE", "AUTORESEARCH_DATASET")


def copy(name: str, folder: Path) -> Target:
    """An example as it lies here, without what a run beside it left."""
    ours = EXAMPLES / name
    shutil.copytree(ours, folder, ignore=lambda _, names: {"artifacts", "traces", "__pycache__"} & {*names})
    target = Target(folder)
    target.file.write_bytes((ours / "config.yaml").read_bytes())
    return target


@contextmanager
def scripted(target: Target) -> Iterator[subprocess.Popen[str]]:
    """The example's script as its language model, at a free port."""
    words = [sys.executable, str(EXAMPLES / "scripted_model.py"), "script.json", "--port", "0"]
    with subprocess.Popen(
        words, cwd=target.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as model:
        try:
            assert model.stdout
            url, text = model.stdout.readline().strip(), target.file.read_text()
            assert "http://127.0.0.1:8089/v1" in text
            target.file.write_text(text.replace("http://127.0.0.1:8089/v1", url))
            yield model
        finally:
            model.kill()


def run(target: Target, verb: str = "run", **variables: str) -> Ended:
    """A verb that ends well; patient, for the examples that train share the machine with other tests."""
    process = target.start(verb=verb, **PROGRAMS, **variables)
    try:
        out, err = process.communicate(timeout=400)
    finally:
        process.terminate()
    assert process.returncode == 0, out + err
    return Ended(process.returncode, out, err)


def test_minimal_target_from_start_to_kept_diff(tmp_path: Path) -> None:
    target = copy("minimal_target", tmp_path / "minimal")
    first = target.commit()
    with scripted(target) as model:
        target.git("commit", "-qam", "another port")
        best = run(target, LLM_KEY="none").facts()["best"]
        assert model.wait(10) == 0, "all its answers were asked for"
    rows = target.rows()
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "ok"]
    assert [row["decision"] for row in rows] == ["keep", "keep", "discard", "keep"]
    errors = [float(row["metric_value"]) for row in (rows[0], rows[1], rows[3])]
    assert errors[0] > errors[1] > 10 and errors[2] < 0.5 and best["metric"] == errors[2]
    assert all(f"{error:.2f}, kept" in (EXAMPLES / "minimal_target" / "README.md").read_text() for error in errors)
    subjects = target.git("log", "--format=%s", f"{first}..").splitlines()
    assert subjects == [rows[3]["description"], rows[1]["description"], "another port"]
    assert not target.git("status", "--porcelain", "train.py"), "the file is what was kept"
    text = (target.folder / "train.py").read_text()
    assert "(x / 5 - 1) ** 2" in text and "emit_progress(" in text, "the edit without it went back to the model"
    version = json.loads((target.folder / "artifacts/versions/v0003/version.json").read_text())
    assert version["diff"].count("\n+    return") == 1 and version["model_dir"]


def test_parallel_cancel_stops_the_hopeless_and_keeps_the_best(tmp_path: Path) -> None:
    target = copy("parallel_cancel", tmp_path / "parallel")
    assert json.loads(run(target, "validate").out)["max_concurrency"] == 4
    facts = run(target).facts()
    counts, best = facts["counts"], facts["best"]
    assert facts["stop_reason"] == "exhausted" and sum(counts.values()) == 16
    assert set(counts) == {"ok", "cancelled"} and counts["cancelled"] >= 6
    assert best["trial"] == 15 and best["metric"] == pytest.approx(0.19925, abs=1e-4), "the best of all 16"
    assert json.loads(run(target, "status").out)["best"]["trial"] == 15
    cancelled = next(one for one in target.events("iteration") if one["status"] == "cancelled")
    assert json.loads((target.trial(cancelled["iter"]) / "control.json").read_text())["action"] == "cancel"
    spans = [one for one in timeline(target) if one["name"] == "executor.execute"]
    assert len(spans) == 16 and most_at_once(spans) == 4


def timeline(target: Target) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((target.folder / "traces" / "timeline.json").read_text())["traceEvents"]
    return [one for one in found if one["ph"] == "X"]


def most_at_once(spans: list[dict[str, Any]]) -> int:
    return max(sum(one["ts"] <= other["ts"] < one["ts"] + one["dur"] for one in spans) for other in spans)


@pytest.mark.slow
def test_own_train_tries_parameters_then_keeps_code_by_the_referee(
    tmp_path: Path, cache: Path, environment: Mapping[str, str]
) -> None:
    for name in OWN_FILES:
        shutil.copyfile(ROOT / name, tmp_path / name)
    target = copy("own_train", tmp_path / "examples" / "own_train")
    Target(tmp_path).commit()
    settings = {name: environment[name] for name in PASSED_ON}
    with scripted(target):
        run(target, LLM_KEY="none", AUTORESEARCH_MAX_STEPS="12", OMP_NUM_THREADS="1", **settings)
    rows = target.rows()
    decided = [(row["status"], row["decision"]) for row in rows]
    assert decided == [("ok", "keep"), ("ok", "discard"), ("ok", "keep")]
    assert [json.loads(row["params"]) for row in rows] == [{}, {"MATRIX_LR": 0.004, "EMBEDDING_LR": 0.02}, {}]
    assert json.loads((target.trial(3) / "manifest.json").read_text())["refereed"] is True
    changed = Target(tmp_path).git("diff", "--unified=0", "HEAD~1", "HEAD").splitlines()[4:]
    assert [line for line in changed if line[0] in "+-"] == ["+    COPY_ORDERS = 2"]
    assert not Target(tmp_path).git("diff", "--", "train.py"), "the file is what was kept"


@pytest.mark.slow
def test_grpo_learns_and_its_schedule_lands_however_many_steps_a_rollout_has(tmp_path: Path) -> None:
    target = copy("grpo", tmp_path / "grpo")
    best = run(target, OMP_NUM_THREADS="1").facts()["best"]
    assert best["metric"] > 0.8, "one of ten thousand answers is right by chance"
    small, large = (reports(target, number) for number in (1, 2))
    assert small[0]["reward"] < 0.2 and small[-1]["reward"] > 0.85
    assert {one["optimizer_steps"] for one in large} != {one["optimizer_steps"] for one in small}
    assert len({one["optimizer_steps"] for one in small}) > 1, "rollouts of one run differ too"
    peaks = [max(one["lr"] for one in trial) for trial in (small, large)]
    assert peaks[0] == peaks[1] > 0
    for trial in (small, large):
        assert trial[-1]["lr"] == pytest.approx(0.1 * 6e-3, rel=1e-9), "the end value, with the very last step"
        assert all(one["lr"] > 0.1 * 6e-3 for one in trial[1:-1]), "and not before"


def reports(target: Target, number: int) -> list[dict[str, float]]:
    lines = (target.trial(number) / "progress.jsonl").read_text().splitlines()
    return [json.loads(line)["metrics"] for line in lines]


def grpo() -> dict[str, Any]:
    """The names of the example's train.py."""
    if str(SHIM) not in sys.path:
        sys.path.append(str(SHIM))
    return runpy.run_path(str(EXAMPLES / "grpo" / "train.py"))


@pytest.mark.parametrize("counts", [[1] * 200, [10] * 200, [1, 15, 20, 3] * 50, [20] + [0, 1] * 99 + [7]])
def test_grpo_schedule_reaches_its_end_with_the_last_step(counts: list[int]) -> None:
    names = grpo()
    shares = [
        names["lr_scale"](names["progress"](rollout, step, count, len(counts)))
        for rollout, count in enumerate(counts)
        for step in range(1, count + 1)
    ]
    peak, end = shares.index(max(shares)), names["LR_END_FRAC"]
    assert shares[-1] == pytest.approx(end, abs=1e-12)
    assert shares[peak:] == sorted(shares[peak:], reverse=True) and shares[:peak] == sorted(shares[:peak])
    assert all(one > end for one in shares[peak:-1]), "never spent before the run is over"
