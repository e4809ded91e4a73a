"""Verbs in processes that start in milliseconds: forked from one that has imported the command line and ran nothing."""

import atexit
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import night

SERVER = """
import json, os, sys, traceback
import requests, pydantic, typer, urllib3
from autoresearch import cli
from autoresearch.commands import setup_, try_, wait_
for line in sys.stdin:
    job = json.loads(line)
    if pid := os.fork():
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])), flush=True)
        continue
    code = 70
    try:
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["env"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in enumerate(("out", "err"), start=1):
            os.dup2(os.open(job[name], os.O_WRONLY), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        sys.argv = ["autoresearch", *job["args"]]
        cli.run()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    env = {**night.KEPT, "PYTHONPATH": str(night.ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def end() -> None:
        server.kill()
        server.communicate()

    atexit.register(end)
    return server


class Night(night.Night):
    """A checkout whose verbs start at once."""

    def run(self, *args: str, code: int | None = 0) -> subprocess.CompletedProcess:
        server = _server()
        assert server.stdin and server.stdout
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            job = {"args": args, "cwd": str(self.root), "env": self.env, "out": out.name, "err": err.name}
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            found = json.loads(server.stdout.readline())
            texts = [Path(file.name).read_text() for file in (out, err)]
        assert code is None or found == code, f"{args} left with {found}\n{texts[0]}\n{texts[1]}"
        return subprocess.CompletedProcess(args, found, *texts)
