"""A confined trial among things that it must not touch, for tests of the sandbox."""

import ctypes
import functools
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoresearch import process, sandbox
from autoresearch.process import Deadline, Launch
from autoresearch.sandbox import Confinement, View

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path("/dev/shm")
SECRETS = {"OPENAI_API_KEY": "k", "HF_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "s", "SSH_AUTH_SOCK": "/x"}
TRY = """
import os, sys
def attempt(what, function, *words):
    try:
        result = function(*words)
        print("DID", what, *words, repr(result)[:60], flush=True)
    except Exception as error:
        print("failed", what, *words, type(error).__name__, error, flush=True)
def read(path):
    return os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1) + b"read"
def write(path):
    open(path, "a").write("x")
"""


def is_scoped(confinement: Confinement) -> bool:
    """Whether signals and abstract sockets stop at the sandbox: under Landlock from its version 6 on."""
    version = ctypes.CDLL(None).syscall(444, None, 0, 1)
    return confinement.kind == "bubblewrap" or version >= 6


@functools.cache
def found(kind: str) -> Confinement:
    """What works here of one kind, or else `open`."""
    return sandbox.find([kind])


class Box:
    """A machine in small: home, cache, two trials; the first is confined."""

    def __init__(self, root: Path, kind: str):
        if kind != "open" and found(kind).kind != kind:
            pytest.skip(f"no {kind} here: {found(kind).reason}")
        self.root, self.confinement = root, found(kind)
        self.home, self.cache = root / "home", root / "cache"
        self.trial, self.other, self.compiled = root / "trials/1", root / "trials/2", root / "compiled"
        self.secret = [self.home / "diary", self.cache / "set/held/val/text", self.other / "submission/weights.pt"]
        for path in (*self.secret, self.cache / "set/train/tokens", self.trial / "code/train.py"):
            path.parent.mkdir(parents=True)
            path.write_text("of " + path.name)

    @property
    def view(self) -> View:
        """What the first trial sees."""
        readable = [self.trial / "code", *sandbox.training_data(self.cache, "set")]
        hidden = sandbox.package_files(sandbox.held_packages(ROOT / "prepare.py"))
        source = {**os.environ, **SECRETS, "HOME": str(self.home), "AUTORESEARCH_CACHE": str(self.cache)}
        own = {process.MARK: str(self.trial), "PYTHONUNBUFFERED": "1"}
        return sandbox.view(self.trial, self.compiled, readable, hidden, process.environment(source, own))

    def command(self, script: str, *words: object) -> list[str]:
        """The command line of a Python text."""
        argv = [sys.executable, "-c", TRY + textwrap.dedent(script), *map(str, words)]
        return sandbox.command(self.confinement, self.view, argv)

    def start(self, script: str, *words: object) -> Launch:
        """Begin a Python text as the trial."""
        return Launch(self.command(script, *words), self.trial / "code", self.view.env, self.trial / "run.log")

    def run(self, script: str, *words: object, deadlines: Sequence[Deadline] = ()) -> tuple[int, str]:
        """Run a Python text as the trial; returns exit code and output."""
        limit = Deadline("the test", 300)
        code = self.start(script, *words).wait([*deadlines, limit]).exit_code
        return code, (self.trial / "run.log").read_text()

    def call(self, script: str, *words: object, **kwargs) -> subprocess.CompletedProcess:
        """The same without the launcher, for descriptors."""
        command, cwd = self.command(script, *words), self.trial / "code"
        return subprocess.run(command, cwd=cwd, env=dict(self.view.env), capture_output=True, text=True, **kwargs)


def listening(family: int, kind: int, address: Any) -> socket.socket:
    """A server that never answers."""
    server = socket.socket(family, kind)
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen()
    server.settimeout(0.2)
    return server
