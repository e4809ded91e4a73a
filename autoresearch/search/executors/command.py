"""Trials as processes of this machine, one thread waiting for each."""

import contextlib
import os
import select
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoresearch import process, referee, sandbox
from autoresearch.errors import AutoresearchError, Refused
from autoresearch.process import Deadline, Ended, Launch
from autoresearch.sandbox import files
from autoresearch.search.config import Config
from autoresearch.search.executors import LOGS, METRIC_FILE, SHIM, Done, Order, Outcome
from autoresearch.search.own import METRIC
from autoresearch.search.spans import Spans

MOST_MS = 2**31 - 1  # that poll takes
POLITE, HARD = b"p", b"h"
UNSTARTABLE = (OSError, Refused, ValueError)  # the last of zero bytes in words and variables


@dataclass
class Job:
    """A trial that runs."""

    order: Order
    launch: Launch
    begun: float = field(default_factory=time.monotonic)
    orders: tuple[int, int] = field(default_factory=os.pipe)
    """What `stop` writes to wake the thread: read end, write end."""
    stopped: bytes = b""

    def left_s(self) -> float:
        """Seconds until its deadline."""
        return self.order.timeout_s - (time.monotonic() - self.begun)


class CommandExecutor:
    """Runs training and evaluation in process groups of their own."""

    def __init__(self, config: Config, spans: Spans, variables: Mapping[str, str]):
        self.jobs: dict[int, Job] = {}
        self.lock = threading.Lock()
        self.confinement = sandbox.find() if config.target.sandbox else sandbox.OPEN

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        """Begin a trial; where the command cannot be begun, `done` is called at once."""
        try:
            job = Job(order, self._launch(order, 0))
        except UNSTARTABLE as error:
            done(order.number, Outcome("unstartable", why=f"{order.commands[0][0]} could not be started: {error}"))
            return {}
        with self.lock:
            self.jobs[order.number] = job
        threading.Thread(target=self._follow, args=(job, done), name=f"trial {order.number}", daemon=True).start()
        return {"pid": job.launch.pid, "started": job.launch.started, "mark": job.launch.mark}

    def _follow(self, job: Job, done: Done) -> None:
        """Wait for the end of all commands."""
        outcome = Outcome("lost", why="its thread broke off")
        try:
            outcome = self._run_all(job)
        except Exception as error:
            job.launch.stop()  # nobody watches it any more
            outcome = Outcome("lost", why=f"its thread broke off: {type(error).__name__}: {error}")
            raise
        finally:
            with self.lock:
                del self.jobs[job.order.number]
                for end in job.orders:
                    os.close(end)
            done(job.order.number, outcome)

    def _run_all(self, job: Job) -> Outcome:
        for number in range(len(job.order.commands)):
            if number:
                try:
                    files.remove(job.order.folder / METRIC_FILE)
                    if job.order.renew:
                        job.order.renew()
                    job.launch = self._launch(job.order, number)
                except (*UNSTARTABLE, AutoresearchError) as error:
                    return Outcome("unstartable", seconds=time.monotonic() - job.begun, why=str(error))
            ended = wait(job)
            if job.stopped or ended.timeout or ended.exit_code:
                break
        if job.order.score and not (job.stopped or ended.timeout or ended.exit_code):
            found = job.order.score()
            metrics = {METRIC: found} if isinstance(found, float) else {}
            why = "" if isinstance(found, float) else found.why
            return Outcome("exited", 0, time.monotonic() - job.begun, why, metrics)
        end: Any = "killed" if job.stopped else "timeout" if ended.timeout else "exited"
        return Outcome(end, ended.exit_code, time.monotonic() - job.begun, ended.timeout)

    def _launch(self, order: Order, number: int) -> Launch:
        """Begin one command of a trial, confined where that is asked for: it writes to its own folders alone."""
        command, env = order.commands[number], order.env
        if self.confinement.kind != "open":
            compiled, model = order.folder / "compiled", Path(order.env["AR_MODEL_DIR"])
            compiled.mkdir(exist_ok=True)
            view = sandbox.view(order.folder, compiled, [order.cwd, SHIM, *order.linked], [], order.env)
            view = replace(view, writable=(*view.writable, model.resolve()))
            command, env = tuple(sandbox.command(self.confinement, view, command)), view.env
        return Launch(command, order.cwd, env, order.folder / LOGS[number])

    def attach(self, order: Order, handle: Mapping[str, Any], done: Done) -> bool:
        """End what is left; nobody can learn the exit code of another's child."""
        process.end_group(int(handle.get("pid", 0)), str(handle.get("started", "")), str(order.folder))
        if order.score:
            process.end_group(0, "", referee.mark_of(order.folder))
        return False

    def control(self, number: int) -> None:
        """The trial reads the file itself."""

    def stop(self, number: int, *, hard: bool = False) -> None:
        """Wake its thread, which ends it, but for a scoring under way; a hard stop is done when this returns."""
        with self.lock:
            if not (job := self.jobs.get(number)):
                return
            job.stopped = HARD if hard else POLITE
            os.write(job.orders[1], job.stopped)
            one = job.launch
        if hard:
            process.end_group(one.pid, one.started, one.mark, grace_s=0)
            if job.order.score:
                process.end_group(0, "", referee.mark_of(job.order.folder), grace_s=0)

    def close(self) -> None:
        """Nothing is shared."""


def wait(job: Job) -> Ended:
    """Sleep until the command ends, its deadline passes or it is to be stopped; then nothing of it is left."""
    one = job.launch
    if not hasattr(os, "pidfd_open"):  # macOS
        with contextlib.suppress(InterruptedError):
            return one.wait([Deadline("the trial", max(0.0, one.age_s() + job.left_s()))], lambda _: _heed(job))
        return one.wait()
    pidfd = os.pidfd_open(one.pid)
    try:
        poll = select.poll()
        for descriptor in (pidfd, job.orders[0]):
            poll.register(descriptor, select.POLLIN)
        while not (found := poll.poll(min(MOST_MS, max(0.0, 1000 * job.left_s())))) and job.left_s() > 0:
            pass
    finally:
        os.close(pidfd)
    ended = one.wait([Deadline("the trial", -1)])  # at once: it has ended, or is to end now
    late = "" if found else f"the trial took longer than {job.order.timeout_s:g} s"
    return Ended(ended.exit_code, ended.seconds, late)


def _heed(job: Job) -> None:
    if job.stopped:
        raise InterruptedError
