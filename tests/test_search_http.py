"""Trials of an API, against a real one on loopback."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from executors import ExecutorContract, Run
from searching import VARIABLES, Ended, Target, running_in, wait_for
from trial_api import Fault, TrialApi, trial_api

from autoresearch.search.config import Config
from autoresearch.search.executors.http import HttpExecutor
from autoresearch.search.executors.remote import ANSWER_BYTES, Remote, Request, filled
from autoresearch.search.spans import Spans

VALUES = 'import json, os\nx = json.loads(os.environ["AR_PARAMS_JSON"])["x"]\nprint("loss:", x)\n'


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TrialApi]:
    with trial_api(tmp_path / "api") as found:
        found.cwd = tmp_path
        yield found


@pytest.fixture
def run(api: TrialApi, tmp_path: Path) -> Run:
    target = {"type": "http", "url": api.url, "headers": {"Authorization": "Bearer $TRIAL_KEY"}}
    sections = {"target": target, "controller": {"intra_iteration_cancel": {"poll_interval_s": 0.1}}}
    config = Config.model_validate({"objective": {"metric": "loss"}, **sections})
    return Run(HttpExecutor(config, Spans(), {**VARIABLES, "TRIAL_KEY": "secret-7"}), tmp_path)


class TestHttpExecutor(ExecutorContract):
    """The contract."""


def campaign(api: TrialApi, folder: Path, **sections: Any) -> Target:
    """A search of the API, with its code in `folder`."""
    return Target(folder).write(VALUES, target={"type": "http", "url": api.url, "train_cmd": None}, **sections)


def test_http_search_runs_to_the_end(api: TrialApi, tmp_path: Path) -> None:
    target = campaign(api, tmp_path, policy={"params": {"x": [3, 1, 2]}})
    ended: Ended = target.run()
    assert ended.code == 0, ended.err
    assert [row["metric_value"] for row in target.rows()] == ["3.0", "1.0", "2.0"]
    assert [(one["mode"], one["number"], one["params"]) for one in api.posted] == [
        ("train", 1, {"x": 3}), ("train", 2, {"x": 1}), ("train", 3, {"x": 2}),
    ]  # fmt: skip


def test_http_headers_are_sent_and_written_nowhere(api: TrialApi, tmp_path: Path) -> None:
    target = campaign(api, tmp_path)
    target.configure(
        target={"type": "http", "url": api.url, "train_cmd": None, "headers": {"X-Key": "Token ${TRIAL_KEY}"}}
    )
    ended = target.run(TRIAL_KEY="secret-7")
    assert ended.code == 0 and {one["X-Key"] for one in api.headers} == {"Token secret-7"}
    written = [path for path in tmp_path.rglob("*") if path.is_file() and b"secret-7" in path.read_bytes()]
    assert not written and "secret-7" not in ended.out + ended.err


def test_http_headers_name_what_is_missing() -> None:
    found, missing = filled({"a": "$ONE-${TWO}", "b": "plain"}, {"ONE": "1"})
    assert found == {"a": "1-", "b": "plain"} and missing == ["TWO"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", is_dropped=True),
        Fault("POST", is_lost=True),
        Fault("POST", status=503, headers={"Retry-After": "0"}),
        Fault("POST", status=429),
        Fault("POST", status=502),
        Fault("GET", is_dropped=True),
        Fault("GET", status=500),
        Fault("GET", status=503),
        Fault("GET", status=200, body=b'{"detail": "starting"}'),
    ],
    ids=lambda fault: f"{fault.method} {fault.status or ('dropped' if fault.is_dropped else 'lost')}",
)
def test_http_trial_survives_a_failure_and_runs_once(api: TrialApi, run: Run, fault: Fault) -> None:
    api.faults.append(fault)
    order = run.begin(1, "finish")
    outcome = run.wait()[1]
    assert (outcome.end, outcome.exit_code) == ("exited", 0) and not api.faults
    assert len(api.orders) == 1 and "loss: 0.25" in (order.folder / "run.log").read_text()


def test_http_trial_is_posted_again_under_the_same_id(api: TrialApi, run: Run) -> None:
    api.faults += [Fault("POST", is_dropped=True), Fault("POST", is_dropped=True)]
    run.begin(1, "finish")
    run.wait()
    assert [method for method, _ in api.requests[:5]] == ["POST", "GET", "POST", "GET", "POST"]
    posted = [one["Idempotency-Key"] for one in api.headers if "Idempotency-Key" in one]
    assert posted == [api.posted[0]["id"]] * 3


def test_http_trial_waits_for_an_api_that_is_not_there_yet(api: TrialApi, run: Run) -> None:
    executor = run.executor
    assert isinstance(executor, HttpExecutor)
    there, executor.remote.url = executor.remote.url, "http://127.0.0.1:1/trials"
    run.begin(1, "finish")
    time.sleep(0.3)
    executor.remote.url = there
    assert run.wait()[1].exit_code == 0


def test_http_trial_of_an_api_that_never_answers_ends_at_its_deadline(api: TrialApi, run: Run) -> None:
    api.faults.append(Fault("POST", hold_s=5))
    begun = time.monotonic()
    run.begin(1, "finish", timeout_s=1)
    assert run.wait()[1].end == "timeout" and time.monotonic() - begun < 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 301])
def test_http_trial_that_is_refused_is_not_posted_again(api: TrialApi, run: Run, status: int) -> None:
    api.faults.append(Fault("POST", status=status, headers={"Location": "http://127.0.0.1:1/"}))
    run.begin(1, "finish")
    outcome = run.wait()[1]
    assert outcome.end == "unstartable" and str(status) in outcome.why
    assert len(api.requests) == 1
    assert "on request" in outcome.why or (status == 301 and "target.url" in outcome.why)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "must be a JSON object"),
        (b"no json", "must be a JSON object"),
        (b"[" * 100_000, "must be a JSON object"),
        (b'"' + b"x" * (ANSWER_BYTES + 1) + b'"', "must have at most 8,388,608 bytes"),
        (b'{"a": NaN', "must be a JSON object"),
        (b"\xff\xfe", "must be a JSON object"),
    ],
    ids=["list", "text", "deep", "huge", "cut", "binary"],
)
def test_http_trial_with_a_hostile_answer_fails_alone(api: TrialApi, run: Run, body: bytes, words: str) -> None:
    api.faults.append(Fault("POST", status=200, body=body))
    run.begin(1, "finish")
    outcome = run.wait()[1]
    assert outcome.end == "unstartable" and words in outcome.why and len(outcome.why) < 500
    run.begin(2, "finish")
    assert run.wait()[1].exit_code == 0


def test_http_answer_may_hold_anything_in_its_fields(api: TrialApi, run: Run) -> None:
    api.answer = {"id": ["x"], "status": {"a": 1}, "metrics": [1], "progress": {"step": 1}, "log": 7, "error": None}
    run.begin(1, "finish")
    outcome = run.wait()[1]
    assert outcome.exit_code == 1 and "unknown status" in outcome.why and outcome.metrics is None


def test_http_id_of_the_api_is_quoted(api: TrialApi, run: Run) -> None:
    api.own_ids = True
    run.begin(1, "finish")
    assert run.wait()[1].exit_code == 0
    assert any(path.startswith("/trials/own%200") for _, path in api.requests)
    assert Remote("http://h/a?key=1", {}).address(Request("GET", "../x", "control")) == (
        "http://h/a/..%2Fx/control?key=1"
    )


def test_http_trial_that_the_api_forgot_is_lost(api: TrialApi, run: Run) -> None:
    order = run.begin(1, "wait")
    run.await_reports(order)
    api.orders.clear()
    assert run.wait()[1].end == "lost"


def test_http_api_that_answers_at_the_end_is_served(api: TrialApi, run: Run) -> None:
    api.answer = {"status": "ok", "metrics": {"loss": 0.5, "steps": 3}}
    run.begin(1, "finish")
    outcome = run.wait()[1]
    assert (outcome.exit_code, outcome.metrics) == (0, {"loss": 0.5, "steps": 3})
    assert [one["mode"] for one in api.posted] == ["train"]


def test_http_api_that_evaluates_apart_is_asked_to(api: TrialApi, run: Run) -> None:
    api.answer = {"metrics": {"steps": 3}}
    run.begin(1, "finish")
    wait_for(lambda: api.posted)
    run.wait()
    assert [one["mode"] for one in api.posted] == ["train", "eval"]
    assert api.posted[0]["id"] != api.posted[1]["id"]


@pytest.mark.parametrize("handle", [{"id": "mine"}, {}], ids=["stored", "in its folder"])
def test_http_trial_is_taken_over_by_the_next_engine(api: TrialApi, run: Run, handle: dict[str, str]) -> None:
    order = run.order(1, "wait")
    body = {"id": "mine", "params": order.params, "timeout_s": 60}
    assert Remote(api.url, {}).ask(Request("POST", body=body)).is_good
    wait_for(lambda: len(api.look("mine", 0)["progress"]) > 2)
    lines = [json.dumps(one) + "\n" for one in api.look("mine", 0)["progress"][:2]]
    (order.folder / "progress.jsonl").write_text("".join(lines))
    (order.folder / "http.json").write_text('{"id": "mine"}')
    assert run.executor.attach(order, handle, lambda number, outcome: run.ended.put((number, outcome)))
    wait_for(lambda: len(run.reports(order)) > 6)
    run.executor.stop(1)
    assert run.wait()[1].end == "killed" and len(api.orders) == 1
    assert [one["step"] for one in run.reports(order)] == list(range(1, len(run.reports(order)) + 1))


def test_http_trial_that_was_never_posted_is_not_taken_over(run: Run) -> None:
    assert not run.executor.attach(run.order(1, "finish"), {}, lambda number, outcome: None)


@pytest.mark.slow
def test_http_search_that_was_killed_goes_on_with_what_runs(api: TrialApi, tmp_path: Path) -> None:
    target = campaign(api, tmp_path / "own", policy={"params": {"x": [1, 2]}})
    api.cwd = tmp_path
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.02)\n"
    (tmp_path / "train.py").write_text(wait + VALUES)
    first = target.start()
    wait_for(lambda: running_in(tmp_path))
    first.kill()
    first.communicate()
    (tmp_path / "go").touch()
    assert target.run().code == 0
    assert [row["metric_value"] for row in target.rows()] == ["1.0", "2.0"]
    assert len(api.orders) == 2
