"""A stub of the published SDK of Basilica: deployments are processes of this machine, on ports of loopback."""

import json
import os
import socket
import subprocess
from dataclasses import dataclass, field
from typing import Any

from autoresearch.process import end_group, start_time

PATHS = ("PATH", "HOME", "LANG", "TMPDIR")


class BasilicaError(Exception):
    """What the SDK raises."""


@dataclass
class ProbeConfig:
    """One probe."""

    path: str
    port: int | None = None
    initial_delay_seconds: int = 30
    period_seconds: int = 10
    timeout_seconds: int = 5
    failure_threshold: int = 3


@dataclass
class HealthCheckConfig:
    """All probes."""

    liveness: ProbeConfig | None = None
    readiness: ProbeConfig | None = None
    startup: ProbeConfig | None = None


@dataclass
class DeploymentStatus:
    """How a deployment stands."""

    state: str
    message: str | None = None

    @property
    def is_ready(self) -> bool:
        return self.state == "Running"

    @property
    def is_failed(self) -> bool:
        return self.state == "Failed"


@dataclass
class Deployment:
    """One deployment."""

    instance_name: str
    asked: dict[str, Any]
    url: str
    process: "subprocess.Popen[bytes]"
    state: str = "Running"

    def take_away(self) -> None:
        """End the container, and with it all that runs there."""
        end_group(self.process.pid, start_time(self.process.pid), "", grace_s=0)

    def status(self) -> DeploymentStatus:
        return DeploymentStatus(self.state, "no such image" if self.state == "Failed" else None)


@dataclass
class BasilicaClient:
    """The service; the folder for containers is its base_url."""

    base_url: str | None = None
    api_key: str | None = None
    deployments: dict[str, Deployment] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    """Names of methods whose next call fails."""

    def _fail(self, method: str) -> None:
        if method in self.failing:
            self.failing.remove(method)
            raise BasilicaError(f"{method} is unavailable")

    def create_deployment(
        self, instance_name: str, image: str, port: int = 80, command: list[str] | None = None,
        env: dict[str, str] | None = None, cpu: str = "500m", memory: str = "512Mi", gpu_count: int | None = None,
        gpu_models: list[str] | None = None, min_gpu_memory_gb: int | None = None, ttl_seconds: int | None = None,
        public: bool = True, storage: str | None = None, health_check: HealthCheckConfig | None = None,
    ) -> Any:  # fmt: skip
        """Start a process, its port and folder moved to free ones, as a container has its own."""
        self._fail("create_deployment")
        self.asked.append({name: value for name, value in locals().items() if name != "self"})
        assert command and env and self.base_url
        home = os.path.join(self.base_url, instance_name)
        orders = json.loads(env["AR_BOOTSTRAP"])
        with socket.create_server(("127.0.0.1", 0)) as free:
            there = free.getsockname()[1]
        moved = json.dumps({**orders, "port": there}).replace(orders["folder"], home)
        kept = {name: os.environ[name] for name in PATHS if name in os.environ}
        process = subprocess.Popen(
            command, env={**kept, **env, "AR_BOOTSTRAP": moved}, cwd=self.base_url, start_new_session=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        made = Deployment(instance_name, self.asked[-1], f"http://127.0.0.1:{there}", process)
        self.deployments[instance_name] = made
        return made

    def get(self, name: str) -> Deployment:
        self._fail("get")
        if name not in self.deployments:
            raise BasilicaError("no such deployment")
        return self.deployments[name]

    def delete_deployment(self, instance_name: str) -> None:
        self._fail("delete_deployment")
        if not (gone := self.deployments.pop(instance_name, None)):
            raise BasilicaError("no such deployment")
        self.deleted.append(instance_name)
        gone.take_away()
        gone.process.wait()
