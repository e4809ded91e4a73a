"""Trials on a Ray cluster: two nodes started on this machine, of which one is killed, and a cluster of one."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from executors import ExecutorContract, Run
from searching import FIND_PARAMS, VARIABLES, Target, running_in, wait_for

from autoresearch import process
from autoresearch.errors import BadConfig
from autoresearch.search.config import Config
from autoresearch.search.executors import ray_
from autoresearch.search.executors.ray_ import RayExecutor
from autoresearch.search.spans import Spans

SLOW = FIND_PARAMS + 'import time\nprint("began", flush=True)\ntime.sleep(1)\nprint("loss:", params["x"])\n'
NODE_A, NODE_B = {"CPU": 4.0}, {"CPU": 8.0, "GPU": 2.0, "tpu_slice": 1.0}


def config_of(**sections: Any) -> Config:
    """A configuration with a command."""
    target = {"type": "ray", "train_cmd": ["true"], **sections.pop("target", {})}
    return Config.model_validate({"target": target, **sections})


@pytest.mark.parametrize(
    ("resources", "options"),
    [
        ({}, {"num_gpus": 0, "num_cpus": 1, "resources": {}}),
        ({"gpu": 0.5}, {"num_gpus": 0.5, "num_cpus": 1, "resources": {}}),
        ({"cpu": 2, "tpu_slice": 1}, {"num_gpus": 0, "num_cpus": 2, "resources": {"tpu_slice": 1}}),
    ],
)
def test_ray_is_asked_for_what_a_trial_takes(resources: dict[str, float], options: Mapping[str, Any]) -> None:
    assert ray_.taken(config_of(target={"resources": resources}), [NODE_A, NODE_B]) == options


def test_ray_is_not_asked_for_gpus_that_nobody_named_where_there_are_none() -> None:
    pooled = config_of(controller={"parallel": {"enabled": True}})
    assert pooled.cost == {"gpu": 1}
    assert ray_.taken(pooled, [NODE_A])["num_gpus"] == 0
    assert ray_.taken(pooled, [NODE_A, NODE_B])["num_gpus"] == 1


def test_ray_refuses_what_no_node_has() -> None:
    with pytest.raises(BadConfig, match=r"target\.resources.*'GPU': 3"):
        ray_.taken(config_of(target={"resources": {"gpu": 3}}), [NODE_A, NODE_B])
    with pytest.raises(BadConfig):
        ray_.taken(config_of(target={"resources": {"cpu": 6, "license": 1}}), [NODE_A, {"license": 1.0}])


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "model/../../escape", ""])
def test_ray_frames_stay_in_the_folder_of_the_trial(tmp_path: Path, name: str) -> None:
    order = Run(None, tmp_path).order(1, "finish")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="own folder"):
        ray_.write(order, {"name": name, "start": 0}, b"text")


def test_ray_frames_become_files(tmp_path: Path) -> None:
    order = Run(None, tmp_path).order(1, "finish")  # type: ignore[arg-type]
    for start, data in ((0, b"left by a try that was lost"), (0, b"one"), (3, b", two")):
        ray_.write(order, {"name": "plots/a.txt", "start": start}, data)
        ray_.write(order, {"name": "model/deep/w", "start": start}, data)
    assert (order.folder / "plots" / "a.txt").read_bytes() == b"one, two"
    assert (Path(order.env["AR_MODEL_DIR"]) / "deep" / "w").read_bytes() == b"one, two"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one node for the driver, without room for trials, and one for them."""
    kept = dict(os.environ)
    os.environ |= ray_.SETTINGS
    from ray.cluster_utils import Cluster

    found = Cluster(shutdown_at_exit=True)
    try:
        found.add_node(num_cpus=0, include_dashboard=False, dashboard_agent_listen_port=0)
        found.add_node(num_cpus=2)
        yield found
    finally:
        found.shutdown()
        os.environ.clear()
        os.environ.update(kept)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_ray_that_is_not_there_is_refused(address: str) -> None:
    with pytest.raises(BadConfig, match=rf"target\.address.*{address}"):
        RayExecutor(config_of(target={"address": address}), Spans(), VARIABLES)


@pytest.fixture(scope="class")
def executor(cluster: Any) -> Iterator[RayExecutor]:
    """One connection for all trials."""
    made = RayExecutor(config_of(target={"address": cluster.address}), Spans(), VARIABLES)
    yield made
    made.close()


@pytest.mark.slow
class TestRayExecutor(ExecutorContract):
    """The contract."""

    @pytest.fixture
    def run(self, executor: RayExecutor, tmp_path: Path) -> Run:
        return Run(executor, tmp_path)

    def test_ray_brings_the_model_back(self, run: Run) -> None:
        order = run.begin(1, "finish")
        run.wait()
        assert (Path(order.env["AR_MODEL_DIR"]) / "weights").read_text() == "numbers"

    def test_ray_takes_back_a_trial_that_waits_for_room(self, run: Run) -> None:
        for number in (1, 2, 3):
            run.begin(number, "wait")
        run.executor.stop(3)
        number, outcome = run.wait()
        assert (number, outcome.end) == (3, "killed")
        for number in (1, 2):
            run.executor.stop(number, hard=True)
        assert [run.wait()[1].end for _ in (1, 2)] == ["killed", "killed"]
        wait_for(lambda: not running_in(run.bench.config.target.workdir))


@pytest.mark.slow
def test_ray_node_that_is_killed_costs_no_result(cluster: Any, tmp_path: Path) -> None:
    doomed = cluster.add_node(num_cpus=2)
    gone = tmp_path / "gone"
    halt = (
        f"import pathlib\nwhile params['x'] > 7 and not pathlib.Path({str(gone)!r}).exists():\n    time.sleep(0.02)\n"
    )
    target = Target(tmp_path).write(
        SLOW + halt,
        target={"type": "ray", "address": cluster.address},
        policy={"params": {"x": list(range(16))}},
        controller={"parallel": {"enabled": True, "max_concurrency": 4}},
    )
    raylet = doomed.all_processes["raylet"][0].process.pid
    killed: list[int] = []
    with target.opened() as campaign:

        def kill_in_the_middle() -> None:
            wait_for(lambda: len(campaign.journal.over) >= 8, 120)  # all that runs now waits for the node's end
            killed.extend(wait_for(lambda: on_node(raylet, tmp_path)))
            cluster.remove_node(doomed, allow_graceful=False)
            wait_for(lambda: not {*killed} & {*running_in(tmp_path)}, 60)  # its workers see a moment later that it died
            gone.touch()

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        campaign.search()
        killer.join()
    assert killed and len(target.events("requeue")) >= 1
    rows = target.rows()
    assert sorted(row["params"] for row in rows) == sorted(json.dumps({"x": x}) for x in range(16))
    assert {row["status"] for row in rows} == {"ok"}
    assert all(float(row["metric_value"]) == json.loads(row["params"])["x"] for row in rows)
    assert sorted(event["iter"] for event in target.events("iteration")) == list(range(1, 17))
    wait_for(lambda: not running_in(tmp_path))


@pytest.mark.slow
def test_ray_search_that_was_killed_leaves_nothing_behind_and_goes_on(tmp_path: Path) -> None:
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.02)\n"
    target = Target(tmp_path / "target").write(
        wait + FIND_PARAMS + 'print("loss:", params["x"])\n',
        target={"type": "ray"},
        controller={"parallel": {"enabled": True, "max_concurrency": 2}},
    )
    first = target.start()
    wait_for(lambda: trials_in(target.folder), 120)
    first.kill()
    first.communicate()
    wait_for(lambda: not trials_in(target.folder))
    (tmp_path / "go").touch()
    ended = target.run()
    assert ended.code == 0, ended.err
    assert ended.facts()["counts"] == {"ok": 3} and not trials_in(target.folder)
    assert sorted(row["params"] for row in target.rows()) == [json.dumps({"x": x}) for x in (1, 2, 3)]


def trials_in(folder: Path) -> list[int]:
    """Processes of trials in a folder; those of a search run there too."""
    found = []
    for pid in running_in(folder):
        with contextlib.suppress(OSError):
            if b"train.py" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                found.append(pid)
    return found


def on_node(raylet: int, folder: Path) -> list[int]:
    """Processes of trials in a folder that run on a node."""
    found = []
    for pid in running_in(folder):
        with contextlib.suppress(OSError, KeyError):
            if raylet_of(pid) == raylet:
                found.append(pid)
    return found


def raylet_of(pid: int) -> int:
    """The Ray process of the node that a trial's process runs on, as its parent was told."""
    parent = process.processes()[pid].parent
    variables = (Path("/proc") / str(parent) / "environ").read_bytes().split(b"\0")
    return next((int(one.partition(b"=")[2]) for one in variables if one.startswith(b"RAY_RAYLET_PID=")), 0)
