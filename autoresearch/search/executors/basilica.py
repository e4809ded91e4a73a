"""Trials as deployments on the Basilica GPU cloud: each a container that runs bootstrap.py, followed as http.py does.

Written against the published SDK, basilica-sdk 0.36, and tested against a stub of it; it has never been run against the
real service. The image must hold the target's code; a changed file is sent along.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoresearch.search.config import Config
from autoresearch.search.executors import Done, Order, Outcome, container, http
from autoresearch.search.executors.remote import Remote, Request
from autoresearch.search.spans import Spans


@dataclass
class Job:
    """A trial, from its deployment to the end of that."""

    order: Order
    name: str
    is_stopped: threading.Event = field(default_factory=threading.Event)
    api: http.HttpExecutor | None = None  # follows it once its container answers


class BasilicaExecutor:
    """Follows each deployment in a thread."""

    def __init__(self, config: Config, spans: Spans, variables: Mapping[str, str]):
        import basilica

        self.sdk, self.config, self.spans, self.variables = basilica, config, spans, variables
        self.client = basilica.BasilicaClient(api_key=next(filter(None, map(variables.get, container.KEYS)), None))
        self.failures = (basilica.BasilicaError, RuntimeError, OSError, ValueError)
        self.jobs, self.poll_s = dict[int, Job](), config.controller.intra_iteration_cancel.poll_interval_s

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        """Begin a deployment."""
        job = self.jobs[order.number] = Job(order, f"autoresearch-{secrets.token_hex(6)}")
        threading.Thread(target=self._follow, args=(job, done), name=f"trial {order.number}", daemon=True).start()
        return {"name": job.name}

    def _follow(self, job: Job, done: Done) -> None:
        outcome = Outcome("lost", why="its thread broke off")
        try:
            outcome = self._run(job)
        except self.failures as error:
            outcome = Outcome("unstartable", why=f"{type(error).__name__}: {error}"[:300])
        finally:
            del self.jobs[job.order.number]
            try:
                with contextlib.suppress(*self.failures), self.spans.span("basilica.cleanup", deployment=job.name):
                    self.client.delete_deployment(job.name)
            finally:
                done(job.order.number, outcome)

    def _run(self, job: Job) -> Outcome:
        """Deploy, wait, follow, fetch."""
        token = secrets.token_hex(24)
        with self.spans.span("basilica.create_deployment", deployment=job.name):
            probe = self.sdk.ProbeConfig(path="/", port=container.PORT, failure_threshold=120)
            health = self.sdk.HealthCheckConfig(liveness=probe, startup=probe)
            wanted = container.deployment(self.config, job.order, token, self.variables)
            self.client.create_deployment(instance_name=job.name, health_check=health, **wanted)
        with self.spans.span("basilica.wait_ready", deployment=job.name):
            remote = self._wait_ready(job, {"Authorization": f"Bearer {token}"})
        if isinstance(remote, Outcome):
            return remote
        with self.spans.span("basilica.poll_for_metrics", deployment=job.name):
            job.api, outcomes = http.following(self.config, remote, job.order, container.TRIAL)
            if job.is_stopped.is_set():
                job.api.stop(job.order.number)
            outcome = outcomes.get()
        if outcome.exit_code == 0:
            with self.spans.span("basilica.download_model", deployment=job.name) as args:
                args["problems"] = container.fetch_model(job.order, remote)
        return outcome

    def _wait_ready(self, job: Job, headers: Mapping[str, str]) -> Remote | Outcome:
        """The container once it answers, or why it does not."""
        begun, ready_s, why = time.monotonic(), self.config.target.basilica.ready_timeout_s, "it was not ready"
        while (waited_s := time.monotonic() - begun) < ready_s:
            try:
                deployment = self.client.get(job.name)
                status, remote = deployment.status(), Remote(deployment.url, headers)
                if status.is_failed:
                    return Outcome("unstartable", None, waited_s, f"the deployment failed: {status.message}")
                if status.is_ready and remote.ask(Request("GET", container.TRIAL, timeout_s=10)).is_good:
                    return remote
            except self.failures as error:  # perhaps of one call alone
                why = f"{type(error).__name__}: {error}"[:300]
            if job.is_stopped.wait(self.poll_s):
                return Outcome("killed", None, waited_s, "stopped")
        return Outcome("unstartable", None, waited_s, f"no deployment within {ready_s:g} s: {why}")

    def attach(self, order: Order, handle: Mapping[str, Any], done: Done) -> bool:
        """End the deployment that was left; its token is gone."""
        with contextlib.suppress(KeyError, *self.failures):
            self.client.delete_deployment(handle["name"])
        return False

    def control(self, number: int) -> None:
        """Send the file to the trial."""
        if (job := self.jobs.get(number)) and job.api:
            job.api.control(number)

    def stop(self, number: int, *, hard: bool = False) -> None:
        """End a trial, and its deployment with it."""
        if job := self.jobs.get(number):
            job.is_stopped.set()
            if job.api:
                job.api.stop(number, hard=hard)

    def close(self) -> None:
        """Nothing is shared."""
