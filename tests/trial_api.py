"""An API on loopback that runs trials as http.py describes it, and fails on request as real ones do."""

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from searching import VARIABLES

from autoresearch import process
from autoresearch.search.config import Config
from autoresearch.search.executors import CONTROL, PROGRESS, SHIM, Order, Outcome
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.spans import Spans

STATUS = {0: "ok", 42: "cancelled"}


@dataclass
class Fault:
    """What goes wrong with one request; the defaults are an honest answer."""

    method: str
    """Of the request that it waits for."""
    status: int = 0
    """Answer this, and do nothing."""
    body: bytes = b'{"error": "on request"}'
    headers: dict[str, str] = field(default_factory=dict)
    is_dropped: bool = False
    """Reset the connection before anything is done."""
    is_lost: bool = False
    """Do it, and reset the connection instead of an answer."""
    hold_s: float = 0.0
    """Wait before anything else."""


@dataclass
class TrialApi:
    """The API as a test sees it."""

    folder: Path
    url: str = ""
    cwd: Path = Path()
    """Where train.py lies."""
    own_ids: bool = False
    """Whether it names trials itself."""
    answer: dict[str, Any] | None = None
    """What every POST of a trial answers with, instead of running one."""
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path with query) so far."""
    headers: list[dict[str, str]] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of POST."""
    orders: dict[str, Order] = field(default_factory=dict)
    begun: list[Order] = field(default_factory=list)
    """All of them, those that a test makes it forget too."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    executor: CommandExecutor = field(
        default_factory=lambda: CommandExecutor(Config.model_validate({"target": {"train_cmd": ["true"]}}), Spans(), {})
    )

    def begin(self, body: dict[str, Any]) -> str:
        """Run a trial, unless it runs already; returns its id."""
        name = f"own {len(self.orders)}" if self.own_ids else body["id"]
        if name in self.orders:
            return name
        folder = self.folder / name
        (folder / "model").mkdir(parents=True)
        variables = {
            "AR_PARAMS_JSON": json.dumps(body["params"]), "AR_MODEL_DIR": str(folder / "model"),
            "AR_PROGRESS_FILE": str(folder / PROGRESS), "AR_CONTROL_FILE": str(folder / CONTROL),
            "AUTORESEARCH_TRIAL_DIR": str(folder), "PYTHONPATH": str(SHIM),
        }  # fmt: skip
        commands, env = ((sys.executable, "-S", "train.py"),), process.environment(VARIABLES, variables)
        self.orders[name] = order = Order(
            len(self.begun), folder, self.cwd, commands, env, variables, body["params"], body["timeout_s"]
        )
        self.begun.append(order)
        self.executor.submit(order, lambda number, outcome: self.outcomes.__setitem__(name, outcome))
        return name

    def look(self, name: str, after: int) -> dict[str, Any]:
        """How a trial stands."""
        path = self.orders[name].folder / PROGRESS
        outcome = self.outcomes.get(name)
        reports = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        found: dict[str, Any] = {"id": name, "status": "running", "progress": reports[after:]}
        if outcome:
            log = (self.orders[name].folder / "run.log").read_text()[-100_000:]
            status = "killed" if outcome.end == "killed" else STATUS.get(outcome.exit_code or 0, "failed")
            found |= {"status": status, "log": log, "error": f"exit code {outcome.exit_code}" * bool(outcome.exit_code)}
        return found


def _handler(api: TrialApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def handle_one(self) -> None:
            api.requests.append((self.command, self.path))
            api.headers.append(dict(self.headers.items()))
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = Fault("")
            if api.faults and api.faults[0].method == self.command:
                fault = api.faults.popleft()
            time.sleep(fault.hold_s)
            if fault.is_dropped:
                return self.reset()
            if fault.status:
                return self.say(fault.status, fault.body, fault.headers)
            status, body = self.respond(json.loads(text) if text else {})
            if fault.is_lost:
                return self.reset()
            return self.say(status, json.dumps(body).encode(), {})

        def respond(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            parts = urlsplit(self.path)
            _, _, name, *rest = [*parts.path.split("/"), ""]
            if self.command == "POST":
                api.posted.append(body)
                if not name:
                    return 200, api.answer or {"id": api.begin(body), "status": "running"}
            name = name.replace("%20", " ")
            if name not in api.orders:
                return 404, {"error": "no such trial"}
            order = api.orders[name]
            if self.command == "POST":
                assert rest[0] == "control"
                aside = order.folder / "aside"
                aside.write_text(json.dumps(body))
                os.replace(aside, order.folder / CONTROL)
            if self.command == "DELETE":
                api.executor.stop(order.number)
            return 200, api.look(name, int(parse_qs(parts.query).get("after", ["0"])[0]))

        def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

        def reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

        do_GET = do_POST = do_DELETE = handle_one

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    return Handler


@contextlib.contextmanager
def trial_api(folder: Path) -> Iterator[TrialApi]:
    """Serve on a free port."""
    api = TrialApi(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}/trials"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        for order in api.begun:
            api.executor.stop(order.number, hard=True)
        server.shutdown()
        server.server_close()
