"""Trials as tasks of a Ray cluster, each beside a program on its node that runs the commands; raytask.py, node.py.

Every node must see this repository and the target's folder at the same paths. What a trial leaves comes back in frames,
a few at a time, so that no output is ever held as a whole. A trial whose node is lost is queued again.
"""

import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch.errors import BadConfig
from autoresearch.sandbox import files
from autoresearch.search.config import Config
from autoresearch.search.executors import CONTROL, Done, End, Order, Outcome, place, raytask
from autoresearch.search.pool import GPU
from autoresearch.search.spans import Spans

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell its makers
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # each worker would install this project again
    "RAY_worker_niceness": "0",  # trials would yield to all other processes
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of trials that were stopped, on the terminal
}
"""For the environment before Ray is imported."""
ROOT = Path(__file__).resolve().parents[3]
REACH_S = 10.0
FRAMES = 8  # of one trial, underway at once
STORE_BYTES = 128 << 20
CPU, STOP = "cpu", "stop"
NAMES = {GPU: "GPU", CPU: "CPU"}
"""Resources that Ray spells otherwise."""


@dataclass
class Job:
    """A trial that was submitted."""

    order: Order
    key: str
    """Of its letters: a new one for each try, since a node that seems lost may still read."""
    stream: Any
    """Generator of references to frames."""
    has_begun: bool = False
    is_stopped: bool = False


class RayExecutor:
    """Submits trials to a cluster, and follows each in a thread."""

    def __init__(self, config: Config, spans: Spans, variables: Mapping[str, str]):
        """Join the cluster, or start one of this machine.

        Raises:
            BadConfig: there is none, or no node of it has what a trial takes.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.cloudpickle.register_pickle_by_value(raytask)  # workers import nothing of this package
        self.ray, self.config = ray, config
        self.jobs: dict[int, Job] = {}
        self.lock = threading.Lock()
        self._join()
        try:
            amounts = taken(config, [one["Resources"] for one in ray.nodes() if one["Alive"]])
        except BadConfig:
            ray.shutdown()
            raise
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox: Any = ray.remote(raytask.Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.task = ray.remote(raytask.run_there).options(
            num_returns="streaming", max_retries=0, _generator_backpressure_num_objects=FRAMES, **amounts
        )

    def _join(self) -> None:
        target, pooled = self.config.target, self.config.controller
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if target.address != "local":
            try:
                if target.address != "auto":
                    reach(target.address)
                self.ray.init(target.address, **quiet)
            except (OSError, ValueError) as error:
                raise BadConfig(f"target.address must be a Ray cluster's but {target.address}: {error}") from error
            return
        others = {name: amount for name, amount in pooled.parallel.resources.items() if name not in NAMES}
        self.ray.init(
            "local",
            num_cpus=math.ceil(pooled.max_concurrency * self.config.cost.get(CPU, 1)),
            resources=others,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            **quiet,
        )

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        """Begin a trial as soon as a node has room; nothing is found again, since tasks end with their driver."""
        told = {
            "number": order.number,
            "folder": str(order.folder),
            "cwd": str(order.cwd),
            "commands": order.commands,
            "variables": passed(order, self.config.target.env_passthrough),
            "timeout_s": order.timeout_s,
        }
        key = uuid.uuid4().hex
        job = Job(order, key, self.task.remote(str(ROOT), json.dumps(told), key, self.mailbox))
        with self.lock:
            self.jobs[order.number] = job
        threading.Thread(target=self._follow, args=(job, done), name=f"trial {order.number}", daemon=True).start()
        return {}

    def _follow(self, job: Job, done: Done) -> None:
        """Wait for the end of a trial."""
        outcome = Outcome("lost", why="its thread broke off")
        try:
            outcome = self._collect(job)
        finally:
            with self.lock:
                del self.jobs[job.order.number]
            done(job.order.number, outcome)

    def _collect(self, job: Job) -> Outcome:
        """Write down what comes, until the outcome does."""
        from ray import exceptions

        begun, found = time.monotonic(), None
        end: End = "lost"
        why = "its program broke off"
        try:
            for reference in job.stream:
                header, data = self.ray.get(reference)
                job.has_begun = True
                if "outcome" in header:
                    found = Outcome(**header["outcome"])
                elif header:
                    write(job.order, header, data)
        except exceptions.TaskCancelledError:
            end, why = "killed", "stopped"
        except exceptions.OutOfMemoryError:
            end, why = "oom", "its node was out of memory"
        except exceptions.RayTaskError as error:
            end, why = "unstartable", str(error.cause).strip()[-500:]
        except (exceptions.RayError, OSError, ValueError) as error:
            end, why = "lost", f"{type(error).__name__}: {error}".splitlines()[0]
            self.ray.cancel(job.stream, force=True)
        return found or Outcome("killed" if job.is_stopped else end, seconds=time.monotonic() - begun, why=why)

    def attach(self, order: Order, handle: Mapping[str, Any], done: Done) -> bool:
        """Nothing goes on: tasks end with their driver, and programs on nodes with their task."""
        return False

    def control(self, number: int) -> None:
        """Send the file to the trial."""
        with self.lock:
            job = self.jobs.get(number)
        if job:
            line = " ".join(files.read_text(job.order.folder / CONTROL).split())
            self.mailbox.put.remote(job.key, line)

    def stop(self, number: int, *, hard: bool = False) -> None:
        """Have a trial ended by its node, or its task with it; one that waits for room is taken back."""
        with self.lock:
            job = self.jobs.get(number)
        if not job:
            return
        job.is_stopped = True
        if job.has_begun and not hard:
            self.mailbox.put.remote(job.key, STOP)
        else:
            self.ray.cancel(job.stream, force=hard)

    def close(self) -> None:
        """Leave the cluster; one of this machine ends."""
        self.ray.shutdown()


def reach(address: str) -> None:
    """Look whether somebody listens there, for whom Ray would wait for many minutes.

    Raises:
        OSError: nobody does.
        ValueError: it is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()


def taken(config: Config, nodes: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What a task takes, as options of Ray.

    GPUs that nobody named are not asked for where there are none: then their number only limits how many trials run.

    Args:
        nodes: what each node has, by the names of Ray.

    Raises:
        BadConfig: no node has that.
    """
    cost = dict(config.cost)
    if not config.target.resources and not any(node.get("GPU") for node in nodes):
        cost.pop(GPU, None)
    wanted = {NAMES.get(name, name): amount for name, amount in cost.items()}
    if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        raise BadConfig(f"target.resources: some node of the cluster must have {wanted} but they have {[*nodes]}")
    custom = {name: amount for name, amount in cost.items() if name not in NAMES}
    return {"num_gpus": cost.get(GPU, 0), "num_cpus": cost.get(CPU, 1), "resources": custom}


def passed(order: Order, names: Sequence[str]) -> dict[str, str]:
    """The variables that a trial is given on its node, which has the others itself."""
    ours = {name: order.env[name] for name in order.env if name.startswith("AUTORESEARCH_") or name in names}
    return {**ours, **order.variables}


def write(order: Order, header: Mapping[str, Any], data: bytes) -> None:
    """Add a part to a file of a trial."""
    path = place(order, header["name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not header["start"]:
        files.remove(path)
    with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | files.SAFE, 0o666), "ab") as file:
        file.write(data)
