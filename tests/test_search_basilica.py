"""Trials as deployments, against a stub of the SDK whose containers are processes here."""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from executors import ExecutorContract, Run
from searching import ROOT, VARIABLES, wait_for

from autoresearch.search.config import Config
from autoresearch.search.executors import Order, place
from autoresearch.search.spans import Spans

SDK = ROOT / "tests" / "sdk"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Trials of a stub whose containers lie in this folder."""
    monkeypatch.syspath_prepend(str(SDK))
    from autoresearch.search.executors import basilica

    config = Config.model_validate(
        {
            "objective": {"metric": "loss"},
            "target": {
                "type": "basilica", "train_cmd": ["true"],
                "basilica": {"env_passthrough": ["HF_TOKEN"], "setup_cmd": "echo ready && true", "ready_timeout_s": 30},
            },
            "controller": {"intra_iteration_cancel": {"poll_interval_s": 0.2}},
        }
    )  # fmt: skip
    variables = {**VARIABLES, "BASILICA_API_KEY": "key-7", "HF_TOKEN": "hf-7"}
    executor = basilica.BasilicaExecutor(config, Spans(), variables)
    executor.client.base_url = str(tmp_path)
    yield Run(executor, tmp_path)
    for deployment in executor.client.deployments.values():
        deployment.take_away()
    for name in [one for one in sys.modules if one.partition(".")[0] == "basilica"]:
        del sys.modules[name]  # others ask whether it is installed


class TestBasilicaExecutor(ExecutorContract):
    """The contract."""


def stub(run: Run) -> Any:
    """The service."""
    return run.executor.client  # type: ignore[attr-defined]


def call(run: Run, method: str, path: str, token: str | None = None, body: bytes = b"") -> tuple[int, bytes]:
    """A call to the one container, as it is written."""
    deployment = next(iter(stub(run).deployments.values()))
    token = json.loads(deployment.asked["env"]["AR_BOOTSTRAP"])["token"] if token is None else token
    connection = http.client.HTTPConnection(urlsplit(deployment.url).netloc, timeout=10)
    connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_basilica_deployment_is_asked_for_as_configured_and_taken_away(run: Run) -> None:
    order = run.begin(1, "finish")
    assert run.wait()[1].exit_code == 0
    asked = stub(run).asked[0]
    assert asked["gpu_models"] == ["A100", "H100"] and asked["gpu_count"] == 1 and asked["memory"] == "32Gi"
    assert asked["health_check"].liveness.path == "/" and asked["port"] == 8080
    assert (
        asked["env"]["HF_TOKEN"] == "hf-7" and "key-7" not in json.dumps(asked["env"]) and stub(run).api_key == "key-7"
    )
    assert stub(run).deleted == [asked["instance_name"]] and not stub(run).deployments
    assert (order.folder / "run.log").read_text() == "ready\nloss: 0.25\n"


def test_basilica_keeps_apart_what_evaluates(run: Run) -> None:
    order = run.order(1, "finish")
    cheat = "import os, sys; open(os.environ['AR_METRIC_FILE'], 'w').write('{\"loss\": 0}'); print('loss: 0')"
    judge = "import os; print('loss: 7' if not os.path.exists(os.environ['AR_METRIC_FILE']) else 'loss: 1')"
    commands = [[sys.executable, "-c", cheat], [sys.executable, "-c", judge]]
    order = Order(**{**order.__dict__, "commands": commands})
    run.executor.submit(order, lambda number, outcome: run.ended.put((number, outcome)))
    assert run.wait()[1].exit_code == 0
    assert (order.folder / "run.log").read_text() == "ready\nloss: 0\n"
    assert (order.folder / "eval.log").read_text() == "loss: 7\n"


def test_basilica_brings_the_model_back(run: Run) -> None:
    order = run.begin(1, "finish")
    run.wait()
    assert (Path(order.env["AR_MODEL_DIR"]) / "weights").read_text() == "numbers"


def test_basilica_phases_are_spans(run: Run) -> None:
    run.begin(1, "finish")
    run.wait()
    wait_for(lambda: not run.executor.jobs)  # type: ignore[attr-defined]
    names = [one.name for one in run.executor.spans.drain()]  # type: ignore[attr-defined]
    phases = ("create_deployment", "wait_ready", "poll_for_metrics", "download_model", "cleanup")
    assert names == [f"basilica.{phase}" for phase in phases]


def test_basilica_container_answers_nobody_without_the_token(run: Run) -> None:
    run.await_reports(run.begin(1, "wait"))
    routes = [("GET", "/trial"), ("DELETE", "/trial"), ("POST", "/trial/control"), ("GET", "/model/files")]
    for method, path in [*routes, ("GET", "/model/download/weights"), ("GET", "/nothing")]:
        for token in ("", "wrong"):
            assert call(run, method, path, token)[0] == 401
    assert call(run, "GET", "/", "")[0] == 200
    assert json.loads(call(run, "GET", "/trial")[1])["status"] == "running"
    run.executor.stop(1)
    run.wait()


def test_basilica_container_sends_files_of_the_model_alone(run: Run) -> None:
    order = run.begin(1, "wait")
    run.await_reports(order)
    container = next(run.bench.config.target.workdir.glob("autoresearch-*"))
    (container / "model" / "deep").mkdir()
    (container / "model" / "deep" / "a b.bin").write_bytes(b"\0" * 200_000)
    (container / "secret").write_text("private")
    (container / "model" / "link").symlink_to(container / "secret")
    (container / "model" / "door").symlink_to(container)
    assert json.loads(call(run, "GET", "/model/files")[1]) == {"files": [{"path": "deep/a b.bin", "size": 200_000}]}
    assert call(run, "GET", "/model/download/deep/a%20b.bin") == (200, b"\0" * 200_000)
    escapes = [
        "../secret",
        "..%2Fsecret",
        "link",
        "door/secret",
        "deep/../../secret",
        f"{container}/secret",
        "%2Fetc%2Fpasswd",
    ]
    for path in escapes:
        status, body = call(run, "GET", f"/model/download/{path}")
        assert status == 404 and b"private" not in body, path
    assert call(run, "POST", "/trial/control", body=b"x" * 100_000)[0] == 413
    run.executor.stop(1)
    run.wait()


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "model/../../escape", "", "a\0b"])
def test_basilica_files_stay_in_the_folder_of_the_trial(run: Run, name: str) -> None:
    with pytest.raises(ValueError, match="own folder"):
        place(run.order(1, "finish"), name)


def test_basilica_deployment_that_fails_is_told_and_taken_away(run: Run) -> None:
    stub(run).failing.append("create_deployment")
    run.begin(1, "finish")
    outcome = run.wait()[1]
    assert outcome.end == "unstartable" and "create_deployment is unavailable" in outcome.why


def test_basilica_survives_a_call_that_fails(run: Run) -> None:
    stub(run).failing.append("get")
    run.begin(1, "finish")
    assert run.wait()[1].exit_code == 0


def test_basilica_trial_is_stopped_before_its_container_answers(run: Run) -> None:
    stub(run).failing += ["get"] * 1000
    run.begin(1, "wait")
    time.sleep(0.1)
    run.executor.stop(1)
    assert run.wait()[1].end == "killed" and len(stub(run).deleted) == 1


def test_basilica_deployment_that_was_left_is_taken_away(run: Run) -> None:
    order = run.order(1, "wait")
    handle = run.executor.submit(order, lambda number, outcome: None)
    run.await_reports(order)
    assert not run.executor.attach(order, handle, lambda number, outcome: None)
    assert stub(run).deleted == [handle["name"]]
    run.executor.stop(1, hard=True)


def test_basilica_sends_the_changed_file(run: Run) -> None:
    from autoresearch.search.executors import container

    policy = {"type": "llm_diff", "mutable_file": "/w/train.py", "llm_api_url": "http://h", "llm_model": "m"}
    target = {"type": "basilica", "train_cmd": ["true"], "prepare_cmd": ["prepare"], "workdir": "/w"}
    told = container.orders(Config.model_validate({"policy": policy, "target": target}), run.order(1, "finish"), "t")
    assert told["files"]["train.py"] == (run.bench.config.target.workdir / "train.py").read_text()
    assert told["commands"][0] == ("prepare",)
    assert not [one for one in told["variables"].values() if str(run.bench.config.target.workdir) in one]
