"""A program: runs one trial in a container and serves what http.py asks about it; standard library, Python from 3.8.

    python3 -uc "$(cat bootstrap.py)"

It imports nothing of the package. AR_BOOTSTRAP holds JSON: `port`, `token`, `folder`, `setup` (a line for the shell of
the container, or nothing), `commands`, `evaluates` (whether the last of them has a log of its own), `files` (text by
path, relative to the current folder or absolute, written first) and `variables`. Every path but `/` wants the token. It
serves until the container is taken away.

    GET    /trial?after=N         GET /model/files
    POST   /trial/control         GET /model/download/PATH
    DELETE /trial
"""

import hmac
import json
import os
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LOG_BYTES = 1 << 20
CONTROL_BYTES = 1 << 16
REPORT_BYTES = 4 << 20
PART_BYTES = 1 << 16
SAID = {0: "ok", 42: "cancelled"}


class Trial:
    """The trial of this container."""

    def __init__(self, told):
        self.told, self.folder = told, told["folder"]
        self.child, self.status, self.error, self.is_stopped = None, "running", "", False

    def run(self):
        """Set up, and run the commands while each exits with 0."""
        try:
            code = self.run_all()
        except OSError as error:
            code, self.error = 127, str(error)
        self.status = "killed" if self.is_stopped else SAID.get(code, "failed")

    def run_all(self):
        os.makedirs(self.path("model"), exist_ok=True)
        for path, text in self.told["files"].items():
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        setup = [["sh", "-c", self.told["setup"]]] if self.told["setup"] else []
        env = {name: value for name, value in os.environ.items() if name != "AR_BOOTSTRAP"}
        commands = [*setup, *self.told["commands"]]
        for number, command in enumerate(commands, 1):
            is_evaluation = self.told["evaluates"] and number == len(commands)
            if is_evaluation and os.path.lexists(self.path("metric.json")):
                os.remove(self.path("metric.json"))  # what training says of itself
            with open(self.path("eval.log" if is_evaluation else "run.log"), "ab") as log:
                self.child = subprocess.Popen(
                    command, env={**env, **self.told["variables"]}, stdout=log, stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            if self.is_stopped:  # before there was a child
                self.stop()
            if code := self.child.wait():
                self.error = "" if code == 42 else f"{command[0]} exited with {code}"
                return code
        return 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def stop(self):
        """End the command that runs."""
        self.is_stopped = True
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)

    def describe(self, after):
        """How it stands, with its reports beyond the first so many."""
        status = self.status  # before the files are read: what it says is all there then
        try:
            with open(self.path("progress.jsonl"), "rb") as file:
                lines = [line for line in file if line.endswith(b"\n")][after:]
        except OSError:
            lines = []
        reports, size = [], 0
        for line in lines:
            size += len(line)
            if size > REPORT_BYTES:
                break
            try:
                reports.append(json.loads(line))
            except ValueError:
                reports.append({})
        found = {"status": status, "error": self.error, "progress": reports}
        if status != "running":
            found["status"] = "running" if len(reports) < len(lines) else status  # until all of them were fetched
            found["log"], found["eval_log"] = self.end_of("run.log"), self.end_of("eval.log")
        return found

    def end_of(self, name):
        """The last of a log; empty where there is none."""
        try:
            with open(self.path(name), "rb") as file:
                file.seek(max(0, os.path.getsize(file.name) - LOG_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def control(self, text):
        """Put an order where the trial looks."""
        with open(self.path("control.new"), "wb") as file:
            file.write(text)
        os.replace(self.path("control.new"), self.path("control.json"))

    def model_files(self):
        """Plain files below the model's folder, by relative path, with their sizes."""
        root, found = os.path.realpath(self.path("model")), {}
        for folder, _, names in os.walk(root):
            for path in (os.path.join(folder, name) for name in names):
                if os.path.isfile(path) and not os.path.islink(path):
                    found[os.path.relpath(path, root)] = os.path.getsize(path)
        return found


class Handler(BaseHTTPRequestHandler):
    """The routes of one trial."""

    trial: Trial  # set before it serves

    def log_message(self, format, *args):
        """Say nothing."""

    def serve(self):
        parts = urlsplit(self.path)
        route = (self.command, parts.path.rstrip("/") or "/")
        if route == ("GET", "/"):
            return self.say(200, {"ok": True})
        known = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(known, b"Bearer " + self.trial.told["token"].encode()):
            return self.say(401, {"error": "the token is wrong"})
        if route == ("POST", "/trial/control"):
            size = int(self.headers.get("Content-Length") or 0)
            if size > CONTROL_BYTES:
                return self.say(413, {"error": "too long"})
            self.trial.control(self.rfile.read(size))
        elif route == ("DELETE", "/trial"):
            self.trial.stop()
        elif route == ("GET", "/model/files"):
            files = self.trial.model_files()
            return self.say(200, {"files": [{"path": one, "size": files[one]} for one in sorted(files)]})
        elif self.command == "GET" and parts.path.startswith("/model/download/"):
            return self.send_file(unquote(parts.path[len("/model/download/") :]))
        elif route != ("GET", "/trial"):
            return self.say(404, {"error": "no such path"})
        after = parse_qs(parts.query).get("after", ["0"])[0]
        return self.say(200, self.trial.describe(int(after) if after.isdigit() else 0))

    def send_file(self, name):
        """Only what is listed is sent, so that no path leads elsewhere."""
        size = self.trial.model_files().get(name)
        if size is None:
            return self.say(404, {"error": "no such file"})
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        with open(os.path.join(self.trial.path("model"), name), "rb") as file:
            while size > 0:
                part = file.read(min(size, PART_BYTES))
                if not part:
                    break
                size -= len(part)
                self.wfile.write(part)

    def say(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = serve


def main():
    """Serve, and run the trial."""
    trial = Trial(json.loads(os.environ["AR_BOOTSTRAP"]))
    os.makedirs(trial.folder, exist_ok=True)
    open(trial.path("run.log"), "wb").close()
    Handler.trial = trial
    threading.Thread(target=trial.run, daemon=True).start()
    ThreadingHTTPServer(("", trial.told["port"]), Handler).serve_forever()


if __name__ == "__main__":
    main()
