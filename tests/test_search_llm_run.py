"""A whole campaign of the policy hybrid against the stub: parameters, code, a model that then fails for good."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import chat_stub
import pytest
from asking import KEY, batch
from chat_stub import Answer, Request, Stub

ROOT = Path(__file__).resolve().parent.parent
TRAIN = """import json, os
from autoresearch_rl.target.progress import emit_progress
RATE = 0.5  # at trial 0
x = json.loads(os.environ["AR_PARAMS_JSON"]).get("x", 0.9)
for step in range(3):
    emit_progress(step=step, step_target=3, metrics={"loss": x + RATE})
print("loss:", (x - 0.3) ** 2 + RATE)
"""
CONFIG = """name: night
objective: {metric: loss, direction: min}
target: {train_cmd: [PYTHON, train.py], timeout_s: 60}
policy: {type: hybrid, params: {x: {low: 0.0, high: 1.0}}, mutable_file: train.py, frozen_file: prepare.py,
  program_file: program.md, llm_api_url: URL, llm_model: tiny, llm_api_key_env: STUB_KEY,
  hybrid_param_explore_iters: 3, hybrid_stall_threshold: 2}
controller: {max_iterations: TRIALS, parallel: {enabled: true, max_concurrency: 2, resources: {}}}
"""


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as served:
        yield served


class Model:
    """Plays the language model: steps in x that stop helping, then code that breaks the contract before it keeps it."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)

    def __call__(self, request: Request) -> Answer:
        number = next(self.numbers)
        if "`find`" not in request.text:
            asked = re.search(r"exactly (\d+) proposal", request.text)
            assert asked
            answer = batch(*({"x": number / 20 + place / 1000} for place in range(int(asked[1]))))
        else:
            line = re.findall(r"^RATE = .*$", request.text, re.MULTILINE)[-1]
            edit = {"find": line, "replace": f"RATE = {0.5 / number}  # at trial {number}"}
            if len(request.body["messages"]) == 2:  # first try
                edit = {"find": "    emit_progress(", "replace": "    dict("}
            answer = {"rationale": f"rate {number}", "edits": [edit], "diff": ""}
        return Answer(json.dumps(answer))


def run(root: Path, stub: Stub, environment: Mapping[str, str], num_trials: int) -> subprocess.CompletedProcess[str]:
    text = CONFIG.replace("PYTHON", sys.executable).replace("URL", stub.url).replace("TRIALS", str(num_trials))
    (root / "config.yaml").write_text(text)
    return cli(root, stub, environment, "run", "config.yaml")


def cli(root: Path, stub: Stub, environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autoresearch", *words],
        cwd=root,
        env={**environment, "PYTHONPATH": str(ROOT), "STUB_KEY": KEY},
        capture_output=True,
        text=True,
    )


def rows(root: Path) -> list[dict[str, str]]:
    head, *lines = (root / "artifacts" / "results.tsv").read_text().splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


@pytest.mark.slow
def test_hybrid_campaign_from_parameters_to_code_to_a_model_that_is_gone(stub, environment, tmp_path):
    for name, text in {"train.py": TRAIN, "prepare.py": "print(1)\n", "program.md": "Lower it.\n"}.items():
        (tmp_path / name).write_text(text)
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm begin"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    stub.always = Model()
    done = run(tmp_path, stub, environment, 12)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in (tmp_path / "traces" / "events.jsonl").read_text().splitlines()]
    sources = [one["source"] for one in events if one.get("source")]
    assert {"baseline", "llm", "llm_diff"} <= set(sources)
    kept = [row for row in rows(tmp_path) if row["description"].startswith("rate") and row["decision"] == "keep"]
    assert kept and all("x" in json.loads(row["params"]) for row in kept)
    log = subprocess.run(["git", "log", "--format=%s"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert kept[-1]["description"] in log and "emit_progress(" in (tmp_path / "train.py").read_text()
    assert any("must go on calling emit_progress" in one.text for one in stub.requests)
    assert "llm.chat_completion" in (tmp_path / "traces" / "timeline.json").read_text()
    bill, num_requests = json.loads(done.stdout)["llm"], len(stub.requests)
    assert (bill["attempts"], bill["prompt_tokens"], bill["failures"]) == (num_requests, 10 * num_requests, 0)

    stub.always = Answer(f"no such key {KEY}", status=401)
    done = run(tmp_path, stub, environment, 18)
    assert done.returncode == 1 and "HTTP 401: no such key ***; check the key" in done.stderr
    assert len(rows(tmp_path)) == 12
    closing = json.loads(done.stdout)
    assert (closing["stop_reason"], closing["trials"]) == ("policy_failed", 12) and "HTTP 401" in closing["detail"]
    assert closing["llm"] | {"seconds": 0} == bill | {
        "calls": bill["calls"] + 1, "attempts": num_requests + 1, "failures": 1, "seconds": 0,
    }  # fmt: skip
    shown = cli(tmp_path, stub, environment, "status", "config.yaml")
    assert json.loads(shown.stdout)["llm"] == closing["llm"]
    events = [json.loads(line) for line in (tmp_path / "traces" / "events.jsonl").read_text().splitlines()]
    assert events[-1]["type"] == "summary" and events[-1]["detail"] == closing["detail"]
    everything = (
        done.stdout
        + done.stderr
        + "".join(
            path.read_text(errors="replace")
            for path in tmp_path.rglob("*")
            if path.is_file() and ".git" not in path.parts
        )
    )
    assert KEY not in everything
