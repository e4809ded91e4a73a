"""The loop with real trials: order, limits, failures, cancellation, parallel trials."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from searching import FIND_PARAMS, ROOT, Target, wait_for

from autoresearch import sandbox
from autoresearch.search.guards import Stop
from autoresearch.search.proposal import TrialStatus

LOSS_IS_X = FIND_PARAMS + "print(f\"loss: {params.get('x', 0.5)}\")\n"
SLEEPS = FIND_PARAMS + 'import time\ntime.sleep(params["s"])\nprint(f"loss={params[\'s\']}")\n'


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


def run(target: Target) -> Stop:
    with target.opened() as campaign:
        return campaign.search()


def test_search_of_a_grid_runs_every_cell_though_each_improves(target: Target) -> None:
    target.write(FIND_PARAMS + 'print("loss:", -10 * params["x"] - params["y"])\n')
    target.configure(policy={"type": "grid", "params": {"x": [1, 2, 3, 4], "y": [1, 2, 3]}})
    assert run(target).reason == "exhausted"
    rows = target.rows()
    assert [json.loads(row["params"]) for row in rows] == [{"x": x, "y": y} for x in (1, 2, 3, 4) for y in (1, 2, 3)]
    assert {(row["status"], row["decision"]) for row in rows} == {("ok", "keep")}
    assert len(list((target.folder / "artifacts" / "versions").iterdir())) == 12


def test_search_keeps_what_beats_the_best_in_its_direction(target: Target) -> None:
    target.write(LOSS_IS_X, policy={"params": {"x": [2, 1, 3, 0, 4]}})
    run(target)
    assert [row["decision"] for row in target.rows()] == ["keep", "keep", "discard", "keep", "discard"]
    other = Target(target.folder / "max").write(
        LOSS_IS_X.replace("0.5)", "0.5) // 1"), policy={"params": {"x": [2, 1, 3, 3.5]}}, objective={"direction": "max"}
    )
    run(other)
    assert [row["decision"] for row in other.rows()] == ["keep", "discard", "keep", "discard"], "equal is not better"


def test_search_begins_with_the_untouched_target(target: Target) -> None:
    target.write(LOSS_IS_X, policy={"type": "random"}, controller={"max_iterations": 3})
    assert run(target).reason == "max_iterations"
    rows = target.rows()
    assert len(rows) == 3
    assert (rows[0]["params"], rows[0]["metric_value"], rows[0]["description"]) == ("{}", "0.5", "the untouched target")


def test_search_of_a_grid_has_no_baseline_unless_it_is_asked_for(target: Target) -> None:
    target.write(LOSS_IS_X, policy={"params": {"x": [1]}, "baseline": True})
    run(target)
    assert target.params() == [{}, {"x": 1}]


def test_trial_gets_the_contract_and_no_keys(target: Target) -> None:
    script = 'import json, os\nopen(os.environ["AR_RUN_DIR"] + "/seen", "w").write(json.dumps(dict(os.environ)))\n'
    target.write(script + 'print("loss: 1")\n', policy={"params": {"x": ["a b"], "flag": [True]}, "seed": 11})
    ended = target.run(OPENAI_API_KEY="secret", HF_TOKEN="secret", AUTORESEARCH_CACHE="/c")
    assert ended.code == 0, ended.err
    seen = json.loads((target.trial(1) / "seen").read_text())
    folder = str(target.trial(1))
    assert not [name for name, value in seen.items() if value == "secret"]
    assert json.loads(seen["AR_PARAMS_JSON"]) == {"x": "a b", "flag": True}
    assert (seen["AR_PARAM_X"], seen["AR_PARAM_FLAG"]) == ("a b", "true")
    assert (seen["AR_RUN_DIR"], seen["AUTORESEARCH_TRIAL_DIR"], seen["AR_ITER"]) == (folder, folder, "1")
    assert (
        seen["AR_PROGRESS_FILE"] == f"{folder}/progress.jsonl" and seen["AR_CONTROL_FILE"] == f"{folder}/control.json"
    )
    assert seen["AR_SEED"] == seen["AUTORESEARCH_SEED"] == "11"
    assert Path(seen["AR_MODEL_DIR"]).is_dir()
    assert seen["AUTORESEARCH_CACHE"] == "/c"


ENDS = """
import os, signal, sys, time
kind = os.environ["AR_PARAM_K"]
if kind == "ok": print("loss: 1")
if kind == "code": sys.exit("boom")
if kind == "crash": raise ValueError("a reason")
if kind == "oom": raise MemoryError
if kind == "signal": os.kill(os.getpid(), signal.SIGKILL)
if kind == "nan": print("loss: nan")
if kind == "inf": print("loss: inf")
if kind == "nothing": print("other: 1")
if kind == "lies": print("loss: 0.5"); sys.exit(1)
if kind == "leaves": print("loss: 0.5"); sys.exit(42)
if kind == "hangs": time.sleep(60)
"""
STATUSES = {
    **{"ok": "ok", "code": "failed", "crash": "failed", "oom": "oom", "signal": "killed", "nan": "invalid_metric"},
    **{"inf": "invalid_metric", "nothing": "invalid_metric", "lies": "failed", "leaves": "failed", "hangs": "timeout"},
}


def test_trial_that_fails_has_no_number_and_is_never_kept(target: Target) -> None:
    target.write(ENDS, policy={"params": {"k": list(STATUSES)}}, target={"timeout_s": 1})
    run(target)
    rows = {json.loads(row["params"])["k"]: row for row in target.rows()}
    assert {kind: row["status"] for kind, row in rows.items()} == STATUSES
    for kind, row in rows.items():
        assert (row["metric_value"], row["decision"]) == (("1.0", "keep") if kind == "ok" else ("", "discard"))
        assert row["reason"] or kind == "ok"
    assert "a reason" in rows["crash"]["reason"] and "'nan'" in rows["nan"]["reason"]
    assert "42" in rows["leaves"]["reason"] and "1 s" in rows["hangs"]["reason"]
    manifest = json.loads((target.trial(3) / "manifest.json").read_text())
    assert manifest["result"]["metric"] is None
    assert "ValueError: a reason" in manifest["result"]["tail"]


def test_trial_whose_program_is_gone_is_recorded(target: Target) -> None:
    target.write("", target={"train_cmd": ["./gone"]})
    (target.folder / "gone").write_text("#!/nowhere/at/all\n")
    (target.folder / "gone").chmod(0o755)
    run(target)
    assert {row["status"] for row in target.rows()} == {"failed"}
    assert "could not be started" in target.rows()[0]["reason"]


def test_trial_is_run_once_though_evaluation_is_the_same_command(target: Target) -> None:
    count = 'open("count", "a").write("x")\n'
    command = [sys.executable, "-S", "train.py"]
    target.write(count + 'print("loss: 1")\n', target={"eval_cmd": command}, policy={"params": {"x": [1]}})
    run(target)
    assert (target.folder / "count").read_text() == "x"


def test_trial_is_evaluated_by_another_command_afterwards(target: Target) -> None:
    (target.folder / "evaluate.py").write_text('print(open("model").read()); print("loss: 7")\n')
    target.write('open("model", "w").write("weights"); print("loss: 1")\n', policy={"params": {"x": [1]}})
    target.configure(target={"eval_cmd": [sys.executable, "-S", "evaluate.py"]}, policy={"params": {"x": [1]}})
    run(target)
    assert target.rows()[0]["metric_value"] == "7.0"
    assert (target.trial(1) / "eval.log").read_text() == "weights\nloss: 7\n"


def test_evaluation_that_fails_fails_the_trial(target: Target) -> None:
    (target.folder / "evaluate.py").write_text("raise SystemExit(3)\n")
    evaluation = {"eval_cmd": [sys.executable, "-S", "evaluate.py"]}
    target.write('print("loss: 1")\n', policy={"params": {"x": [1]}}, target=evaluation)
    run(target)
    assert (target.rows()[0]["status"], target.rows()[0]["metric_value"]) == ("failed", "")


def test_target_is_prepared_once_per_campaign(target: Target) -> None:
    (target.folder / "prepare.py").write_text('open("prepared", "a").write("x")\n')
    prepare = {"prepare_cmd": [sys.executable, "-S", "prepare.py"]}
    target.write('open("prepared").read(); print("loss: 1")\n', target=prepare, policy={"params": {"x": [1, 2]}})
    run(target)
    run(target)
    assert (target.folder / "prepared").read_text() == "x"
    assert {row["status"] for row in target.rows()} == {"ok"}


def test_search_ends_with_code_3_where_preparation_fails(target: Target) -> None:
    (target.folder / "prepare.py").write_text('raise SystemExit("no data here")\n')
    ended = target.write("", target={"prepare_cmd": [sys.executable, "prepare.py"]}).run()
    assert ended.code == 3 and "no data here" in ended.err
    assert ended.facts()["stop_reason"] == "error" and "no data here" in ended.facts()["detail"]
    assert target.events("summary")[0]["detail"] == ended.facts()["detail"]
    assert not target.trial(1).exists()


# --- limits


def test_search_stops_after_trials_without_improvement(target: Target) -> None:
    target.write(LOSS_IS_X, policy={"params": {"x": [2, 1, 3, 4, 5, 6]}}, controller={"no_improve_limit": 3})
    assert run(target).reason == "no_improvement"
    assert [params["x"] for params in target.params()] == [2, 1, 3, 4, 5]


def test_search_stops_when_too_many_trials_fail(target: Target) -> None:
    target.write(ENDS, policy={"params": {"k": ["ok", "nan", "ok", "code", "crash", "nan", "ok"]}})
    target.configure(
        policy={"params": {"k": ["ok", "nan", "oom", "code", "crash", "inf"]}},
        controller={"failure_rate_limit": 0.75, "failure_window": 4},
    )
    assert run(target).reason == "failure_rate"
    assert len(target.rows()) == 4


def test_search_stops_inside_a_trial_when_its_gpu_hours_are_spent(target: Target) -> None:
    limits = {"max_gpu_hours": 1.5 / 3600, "intra_iteration_cancel": {"poll_interval_s": 0.2}}
    target.write(SLEEPS, policy={"params": {"s": [0, 60]}}, controller=limits)
    begun = time.monotonic()
    stop = run(target)
    assert stop.reason == "max_gpu_hours" and time.monotonic() - begun < 8
    assert [row["status"] for row in target.rows()] == ["ok", "killed"]
    assert run(target).reason == "max_gpu_hours", "those of all runs count"


def test_search_stops_inside_a_trial_when_its_time_is_over(target: Target) -> None:
    target.write(SLEEPS, policy={"params": {"s": [0, 60]}}, controller={"max_wall_time_s": 1.5})
    begun = time.monotonic()
    stop = run(target)
    assert stop.reason == "max_wall_time" and time.monotonic() - begun < 8
    assert [row["status"] for row in target.rows()] == ["ok", "killed"]
    assert "max_wall_time" in target.rows()[1]["reason"]
    assert run(target).reason == "max_wall_time", "the time of all runs counts"


def test_search_has_no_limit_of_its_own(target: Target) -> None:
    target.write("", target={"train_cmd": ["echo", "loss: 1"]}, policy={"params": {"x": list(range(30))}})
    assert run(target).reason == "exhausted"
    assert len(target.rows()) == 30


@pytest.mark.parametrize(("script", "code"), [('print("loss: 1")\n', 0), ("raise ValueError\n", 3)])
def test_search_ends_with_a_code_and_a_closing_line(target: Target, script: str, code: int) -> None:
    ended = target.write(script).run()
    assert ended.code == code, ended.err
    facts = ended.facts()
    assert facts["stop_reason"] == "exhausted" and facts["trials"] == 3
    summary = target.events("summary")
    assert [event["stop_reason"] for event in summary] == ["exhausted"]


# --- cancellation

REPORTS = """
import time
from autoresearch_rl.target.progress import emit_progress
level = params["level"]
for step in range(1, 41):
    emit_progress(step=step, step_target=40, metrics={"loss": level + 2 / step})
    time.sleep(0.03)
print(f"loss={level + 2 / 40}")
"""


def cancelling(target: Target, script: str, levels: list[float], **rule: object) -> dict[float, dict[str, str]]:
    cancel = {"enabled": True, "poll_interval_s": 0.03, "min_steps": 3, **rule}
    target.write(FIND_PARAMS + script, policy={"params": {"level": levels}})
    target.configure(policy={"params": {"level": levels}}, controller={"intra_iteration_cancel": cancel})
    run(target)
    return {json.loads(row["params"])["level"]: row for row in target.rows()}


def test_trial_that_cannot_win_leaves_early(target: Target) -> None:
    rows = cancelling(target, REPORTS, [1.0, 9.0, 0.5])
    assert [rows[level]["status"] for level in (1.0, 9.0, 0.5)] == ["ok", "cancelled", "ok"]
    assert rows[9.0]["metric_value"] == "" and "probability" in rows[9.0]["reason"]
    assert rows[0.5]["decision"] == "keep"
    control = json.loads((target.trial(2) / "control.json").read_text())
    assert control["action"] == "cancel" and control["cancel"] is True
    assert not (target.trial(3) / "control.json").exists()
    assert [event["iter"] for event in target.events("cancel")] == [2]


def test_trial_that_finishes_though_it_was_cancelled_keeps_its_result(target: Target) -> None:
    deaf = REPORTS.replace('metrics={"loss"', 'exit_on_cancel=False, metrics={"loss"')
    rows = cancelling(target, deaf.replace("print(f", "level -= 9 * (level == 9.0)\nprint(f"), [1.0, 9.0])
    assert (target.trial(2) / "control.json").exists()
    assert (rows[9.0]["status"], rows[9.0]["metric_value"], rows[9.0]["decision"]) == ("ok", "0.05", "keep")


def test_cancelled_trials_do_not_count_as_failures(target: Target) -> None:
    target.configure()
    cancel = {"enabled": True, "poll_interval_s": 0.03, "min_steps": 3}
    target.write(FIND_PARAMS + REPORTS, policy={"params": {"level": [1.0, 7.0, 8.0]}})
    limits = {"failure_rate_limit": 0.5, "failure_window": 2}
    target.configure(
        policy={"params": {"level": [1.0, 7.0, 8.0]}}, controller={"intra_iteration_cancel": cancel, **limits}
    )
    assert run(target).reason == "exhausted"
    assert [row["status"] for row in target.rows()] == ["ok", "cancelled", "cancelled"]


def test_median_rule_cancels_what_is_worse_than_most(target: Target) -> None:
    rows = cancelling(target, REPORTS, [1.0, 1.2, 1.4, 9.0], rule="median")
    assert [row["status"] for row in rows.values()] == ["ok", "ok", "ok", "cancelled"]
    assert "median" in rows[9.0]["reason"]


def test_reports_are_recorded_thinned_with_the_last_one(target: Target) -> None:
    script = "from autoresearch_rl.target.progress import emit_progress\nfor step in range(1000):\n"
    script += '    emit_progress(step=step, metrics={"loss": step, "bad": float("nan")})\n'
    target.write(script, policy={"params": {"x": [1]}})
    with target.opened() as campaign:
        campaign.search()
        entry = campaign.journal.entries[1]
        [stored] = campaign.store.entries()
    assert entry.result and stored.result
    assert entry.result.status == TrialStatus.OK and entry.result.metric == 999, "the last report is the metric"
    assert 100 <= len(stored.result.reports) <= 128
    assert (stored.result.reports[0].step, stored.result.reports[-1].step) == (0, 999)
    assert stored.result.reports[-1].metrics == {"loss": 999}


# --- several at once

WAITS_FOR_THE_LAST = """
import os, time
x = os.environ["AR_PARAM_X"]
while x == "1" and '"x": 5' not in open("artifacts/results.tsv").read():
    time.sleep(0.01)
print("loss:", x)
"""


def parallel(most: int, gpus: int) -> dict[str, object]:
    return {"parallel": {"enabled": True, "max_concurrency": most, "resources": {"gpu": gpus}}}


def test_parallel_trials_are_recorded_as_they_end_and_told_in_order(target: Target) -> None:
    target.write(WAITS_FOR_THE_LAST, policy={"params": {"x": [1, 2, 3, 4, 5]}}, controller=parallel(2, 2))
    with target.opened() as campaign:
        campaign.search()
        assert campaign.journal.told == 0, "the first one ended last"
        assert [result.number for result in campaign.journal.untold()] == [1, 2, 3, 4, 5]
    assert [params["x"] for params in target.params()] == [2, 3, 4, 5, 1]


def test_parallel_trials_see_different_devices(target: Target) -> None:
    script = 'import os, time\nprint("device", os.environ["CUDA_VISIBLE_DEVICES"])\ntime.sleep(0.4)\nprint("loss: 1")\n'
    target.write(script, policy={"params": {"x": [1, 2, 3, 4]}}, controller=parallel(4, 2))
    begun = time.monotonic()
    with target.opened(devices=["5", "7"]) as campaign:
        campaign.search()
    assert time.monotonic() - begun > 0.8, "two at a time: the GPUs are two, though four may run"
    devices = [(target.trial(number) / "run.log").read_text().split()[1] for number in (1, 2, 3, 4)]
    assert {*devices[:2]} == {*devices[2:]} == {"5", "7"}


def test_parallel_trial_may_take_several_devices(target: Target) -> None:
    script = 'import os\nprint("device", os.environ["CUDA_VISIBLE_DEVICES"])\nprint("loss: 1")\n'
    target.write(script, policy={"params": {"x": [1]}}, target={"resources": {"gpu": 2}}, controller=parallel(4, 4))
    with target.opened(devices=["0", "1", "2", "3"]) as campaign:
        campaign.search()
    assert (target.trial(1) / "run.log").read_text().split()[1] == "0,1"


def test_serial_trials_are_bound_to_no_device(target: Target) -> None:
    script = 'import os\nprint("loss: 1")\nprint("device", os.environ.get("CUDA_VISIBLE_DEVICES"))\n'
    target.write(script, policy={"params": {"x": [1]}})
    run(target)
    assert "device None" in (target.trial(1) / "run.log").read_text()


def test_sixteen_trials_four_at_a_time_lose_little_time(target: Target) -> None:
    target.write("", target={"train_cmd": ["sh", "-c", "sleep 0.5; echo loss: 1"]})
    target.configure(
        target={"train_cmd": ["sh", "-c", "sleep 0.5; echo loss: 1"]},
        policy={"params": {"x": list(range(16))}},
        controller=parallel(4, 4),
    )
    begun = time.monotonic()
    run(target)
    assert time.monotonic() - begun < 4 * 0.5 + 1.5


FLOOD = """
import resource, sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]) / "tests"))
from searching import Target
target = Target(Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with target.opened() as campaign:
    campaign.search()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_flood_of_output_leaves_memory_flat_and_the_metric_found(target: Target) -> None:
    script = 'line = "x" * 999 + "\\n"\nfor _ in range(300):\n    print(line * 1000)\nprint("loss: 3")\n'
    target.write(script, policy={"params": {"x": [1]}})
    (target.folder / "flood.py").write_text(FLOOD)
    done = subprocess.run(
        [sys.executable, "flood.py", str(ROOT), str(target.folder)],
        cwd=target.folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32 << 10, "kilobytes"
    assert target.rows()[0]["metric_value"] == "3.0"
    assert (target.trial(1) / "run.log").stat().st_size < 12 << 20


# --- from outside


def test_status_tells_what_runs(target: Target) -> None:
    target.write(FIND_PARAMS + REPORTS.replace("0.03", "0.2"), policy={"params": {"level": [1.0]}})
    search = target.start()
    try:
        wait_for(lambda: (target.trial(1) / "progress.jsonl").exists())
        facts = target.run("--last", "3", verb="status").facts()
        assert (facts["running"], facts["trials"], facts["last"]) == (1, 0, [])
        assert facts["in_flight"][0]["progress"]["step_target"] == 40
        assert facts["in_flight"][0]["params"] == {"level": 1.0}
    finally:
        search.kill()
        search.communicate()


def test_second_search_in_the_same_folders_is_refused(target: Target) -> None:
    target.write(SLEEPS, policy={"params": {"s": [60]}})
    search = target.start()
    try:
        wait_for(lambda: (target.trial(1) / "run.log").exists())
        ended = target.run()
        assert ended.code == 1 and "another search is under way" in ended.err
    finally:
        search.kill()
        search.communicate()
        with target.opened() as campaign:
            campaign.engine.trials.take_over(campaign.engine.done)


def test_campaign_begun_with_another_space_is_refused(target: Target) -> None:
    target.write(LOSS_IS_X)
    assert target.run().code == 0
    ended = target.configure(policy={"params": {"x": [1, 2]}}).run()
    assert ended.code == 2 and "policy.params" in ended.err and "telemetry" in ended.err


def test_campaign_goes_on_when_its_limit_is_raised(target: Target) -> None:
    target.write(LOSS_IS_X, controller={"max_iterations": 1})
    assert target.run().facts()["stop_reason"] == "max_iterations"
    target.configure(controller={"max_iterations": 5})
    assert target.run().facts()["stop_reason"] == "exhausted"
    assert target.params() == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_files_of_others_are_set_aside_by_a_new_campaign(target: Target) -> None:
    target.write(LOSS_IS_X, policy={"params": {"x": [1]}})
    (target.folder / "artifacts" / "runs" / "run-0001").mkdir(parents=True)
    (target.folder / "artifacts" / "results.tsv").write_text("mine\n")
    (target.folder / "artifacts" / "runs" / "run-0001" / "mine").touch()
    ended = target.run()
    assert ended.code == 0 and "old-1-results.tsv" in ended.err
    assert (target.folder / "artifacts" / "old-1-results.tsv").read_text() == "mine\n"
    assert (target.folder / "artifacts" / "runs" / "old-1-run-0001" / "mine").exists()


REACHES = """
import os, socket
for path in (SECRET, "/etc/hostname"):
    try:
        print("read", path, open(path).read())
    except OSError:
        pass
try:
    open("left_behind", "w")
    print("wrote beside the code")
except OSError:
    pass
open(os.environ["AR_RUN_DIR"] + "/own", "w").write("mine")
open(os.environ["AR_MODEL_DIR"] + "/weights", "w").write("mine")
from autoresearch_rl.target.progress import emit_progress
emit_progress(step=1, metrics={"loss": 2})
"""


def test_trial_in_a_sandbox_reaches_its_own_folders_alone(
    target: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if sandbox.find().kind == "open":
        pytest.skip("nothing confines a trial on this machine")
    (secret := tmp_path_factory.mktemp("other") / "secret").write_text("x")
    target.write(f"SECRET = {str(secret)!r}\n{REACHES}")
    target.configure(policy={"params": {"x": [1]}}, target={"sandbox": True}, telemetry={"model_output_dir": "models"})
    run(target)
    log = (target.trial(1) / "run.log").read_text()
    assert target.rows()[0]["metric_value"] == "2.0", log
    assert log == ""
    assert (target.trial(1) / "own").exists() and (target.folder / "models" / "v0001" / "weights").exists()


def test_pool_without_gpus_runs_trials_all_the_same(target: Target) -> None:
    target.write("print('loss: 1')\n", controller=parallel(2, 0))
    assert run(target).reason == "exhausted"
    assert {row["status"] for row in target.rows()} == {"ok"}
