"""A configuration as the document of AutoResearch-RL spells it, run unchanged from the root of its repository."""

import json
import subprocess
import sys
from pathlib import Path

from searching import ROOT, VARIABLES, Target

PLACE = "examples/showcase"
CONFIG = f"""
name: showcase
program_path: {PLACE}/program.md
objective: {{metric: val_loss, direction: min}}
target:
  type: command
  workdir: {PLACE}
  timeout_s: 30
  prepare_cmd: ["python3", "prepare.py"]
  train_cmd: ["python3", "train.py"]
  eval_cmd: ["python3", "train.py"]
  basilica: {{image: "python:3.11-slim", gpu_count: 1, gpu_models: ["A100"], ttl_seconds: 300}}
policy:
  type: random
  seed: 42
  params:
    learning_rate: [1.0e-4, 3e-4, 1e-3, 3.0e-3]
    batch_size: [8, 16, 32]
    use_norm: [true, false]
  mutable_file: {PLACE}/train.py
  frozen_file: {PLACE}/prepare.py
  program_file: {PLACE}/program.md
  hybrid_stall_threshold: 3
  required_calls: ["emit_progress"]
controller:
  max_wall_time_s: 300
  max_iterations: 6
  no_improve_limit: 10
  failure_rate_limit: 0.8
  failure_window: 5
  checkpoint_path: {PLACE}/artifacts/checkpoint.json
  parallel: {{enabled: true, max_concurrency: 3, resources: {{gpu: 4}}, submit_poll_interval_s: 0.1}}
  intra_iteration_cancel: {{enabled: true, min_steps: 3, poll_interval_s: 0.1, min_reports_before_decide: 5}}
comparability:
  {{budget_mode: parallel_wallclock, expected_budget_s: 30, expected_hardware_fingerprint: null, strict: false}}
scoring: {{val_bpb: 1.0}}
telemetry:
  trace_path: {PLACE}/artifacts/traces/events.jsonl
  ledger_path: {PLACE}/artifacts/results.tsv
  artifacts_dir: {PLACE}/artifacts/runs
  versions_dir: {PLACE}/artifacts/versions
  model_output_dir: {PLACE}/models
  timeline_path: {PLACE}/artifacts/traces/timeline.json
"""
TRAIN = """
import json, os, sys
from pathlib import Path
try:
    from autoresearch_rl.target.progress import emit_progress
except ImportError:
    sys.exit("the progress channel must be found")

if not Path("data/ready.json").exists():
    sys.exit("prepare.py must have run beside this file")
params = json.loads(os.environ.get("AR_PARAMS_JSON", "{}"))
rate = float(params.get("learning_rate", 1e-3))
for name, value in params.items():
    assert os.environ[f"AR_PARAM_{name.upper()}"].lower() == str(value).lower()
for step in range(1, 9):
    loss = 0.2 + 100 * abs(rate - 3e-3) + 1 / step
    emit_progress(step=step, step_target=8, metrics={"val_loss": loss})
Path(os.environ["AR_MODEL_DIR"], "weights").write_text(str(rate))
assert Path(os.environ["AR_RUN_DIR"]).is_dir() and os.environ["AR_ITER"] and os.environ["AR_SEED"] == "42"
print(f"val_loss={loss:.6f}")
"""
PREPARE = 'import os\nos.makedirs("data", exist_ok=True)\nopen("data/ready.json", "w").write("{}")\n'


def command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb, from the root of the repository."""
    line = [sys.executable, "-m", "autoresearch", *words]
    return subprocess.run(line, cwd=root, env=VARIABLES | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


def test_public_configuration_runs_from_the_root_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / PLACE
    place.mkdir(parents=True)
    files = {"config.yaml": CONFIG, "train.py": TRAIN, "prepare.py": PREPARE, "program.md": "Lower the loss.\n"}
    for name, text in files.items():
        (place / name).write_text(text)
    Target(tmp_path).commit()
    file = f"{PLACE}/config.yaml"
    for words in (("validate", file), ("run", file)):
        done = command(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert "no effect" in done.stderr and f"taken from {tmp_path}" in done.stderr
    closing = json.loads(done.stdout)
    assert (closing["stop_reason"], closing["trials"]) == ("max_iterations", 6)
    assert set(closing["counts"]) <= {"ok", "cancelled"} and closing["counts"]["ok"] >= 1

    table = (place / "artifacts" / "results.tsv").read_text().splitlines()
    assert len(table) == 7 and table[1].split("\t")[5] == "the untouched target"
    version = json.loads((place / "artifacts" / "versions" / "v0001" / "version.json").read_text())
    assert (Path(version["model_dir"]) / "weights").exists() and version["model_dir"] == str(place / "models" / "v0001")
    for name in ("checkpoint.json", "traces/events.jsonl", "traces/timeline.json", "runs/run-0006/progress.jsonl"):
        assert (place / "artifacts" / name).stat().st_size > 0, name
    assert {path.name for path in tmp_path.iterdir()} == {".git", ".gitignore", "examples"}, "nothing beside it"

    status = json.loads(command(tmp_path, "status", file, "--last", "5").stdout)
    assert len(status["last"]) == 5 and status["best"] == closing["best"]
    done = command(tmp_path, "run-one", file, "--params", '{"learning_rate": 3e-3}')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 7
