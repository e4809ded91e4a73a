"""Trials of an API elsewhere: posted, asked about until they are over, told about cancellation, and deleted.

    POST   URL                    {"mode": "train", "id", "run_dir", "params", "seed", "number", "timeout_s"}
    GET    URL/ID?after=N         how it stands, with its reports beyond the first N
    POST   URL/ID/control         the content of control.json
    DELETE URL/ID?after=N         end it

Both first answer alike: {"status", "metrics", "progress", "log", "eval_log", "error", "id"}; a status `queued` or
`running` means that there is more to come. An API that answers the POST with the end of the training is served too;
where its answer lacks the objective, a second POST with the mode `eval` asks for it.
The id is ours and stands in the header `Idempotency-Key` too. After a reply that was lost the API is asked about it;
only if it answers 404 is the trial posted again. The code of a trial is the API's own: diffs cannot be sent.
"""

import contextlib
import json
import queue
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoresearch.sandbox import files
from autoresearch.search.config import Config
from autoresearch.search.executors import CANCEL_EXIT, CONTROL, LOGS, PROGRESS, Done, End, Order, Outcome
from autoresearch.search.executors.remote import Answer, Remote, Request, filled
from autoresearch.search.spans import Spans

KEY_FILE = "http.json"  # in the folder of a trial
PAUSES_S = (0.1, 1.5)  # the first, and by what each is longer than the one before
LOG_CHARS = 1 << 20
FAREWELL_S = 5.0
UNDERWAY = ("queued", "pending", "running")
ENDS: dict[str, tuple[End, int | None]] = {
    **dict.fromkeys(("ok", "done", "completed", "succeeded", "finished"), ("exited", 0)),
    **dict.fromkeys(("failed", "error", "crash"), ("exited", 1)),
    "cancelled": ("exited", CANCEL_EXIT),
    "timeout": ("timeout", None),
    "oom": ("oom", None),
    "killed": ("killed", None),
    "lost": ("lost", None),
}
Message = Answer | str


@dataclass
class Job:
    """A trial that was posted, or will be."""

    order: Order
    key: str
    """Its id until the API names another."""
    num_reports: int = 0
    """Lines in progress.jsonl."""
    begun: float = field(default_factory=time.monotonic)
    inbox: "queue.SimpleQueue[Message]" = field(default_factory=queue.SimpleQueue)
    """Answers, and `stop`, `hard` or `control`."""
    log: str = ""
    eval_log: str = ""
    ended_at_once: bool = False
    """Whether the POST was answered with the end of the training, by an API that is asked in two modes."""

    def left_s(self) -> float:
        """Seconds until its deadline."""
        return max(0.0, self.order.timeout_s - (time.monotonic() - self.begun))


class HttpExecutor:
    """Follows each trial in a thread."""

    def __init__(self, config: Config, spans: Spans, variables: Mapping[str, str]):
        assert config.target.url
        self.remote = Remote(config.target.url, filled(config.target.headers, variables)[0])
        self.metric, self.poll_s = config.objective.metric, config.controller.intra_iteration_cancel.poll_interval_s
        self.jobs: dict[int, Job] = {}
        self.lock = threading.Lock()

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        """Post a trial."""
        job = Job(order, uuid.uuid4().hex)
        files.write(order.folder / KEY_FILE, json.dumps({"id": job.key}))  # before it is posted, so that none is lost
        self._start(job, done, is_posted=False)
        return {"id": job.key}

    def attach(self, order: Order, handle: Mapping[str, Any], done: Done) -> bool:
        """Go on asking about a trial that was posted; one that never arrived is queued again."""
        with contextlib.suppress(ValueError, AttributeError):
            handle = handle or json.loads(files.read(order.folder / KEY_FILE) or b"{}")
        if not (key := str(handle.get("id", ""))):
            return False
        num_reports = files.read(order.folder / PROGRESS).count(b"\n")
        self._start(Job(order, key, num_reports), done, is_posted=True)
        return True

    def _start(self, job: Job, done: Done, is_posted: bool) -> None:
        with self.lock:
            self.jobs[job.order.number] = job
        name = f"trial {job.order.number}"
        threading.Thread(target=self._follow, args=(job, done, is_posted), name=name, daemon=True).start()

    def _follow(self, job: Job, done: Done, is_posted: bool) -> None:
        outcome = Outcome("lost", why="its thread broke off")
        try:
            first = None if is_posted else self._post(job)
            outcome = first or self._watch(job)
            if first and job.ended_at_once and first.exit_code == 0 and self.metric not in (first.metrics or {}):
                outcome = self._evaluate(job, first)
            if job.log:
                files.write(job.order.folder / LOGS[0], job.log)
            if job.eval_log:
                files.write(job.order.folder / LOGS[1], job.eval_log)
        finally:
            with self.lock:
                del self.jobs[job.order.number]
            done(job.order.number, outcome)

    def _post(self, job: Job) -> Outcome | None:
        """Have the trial begun exactly once; returns how it ended if that is known already, or begun it cannot be."""
        pause_s, is_unknown = PAUSES_S[0], False
        while True:
            request = Request("GET", job.key) if is_unknown else self._order(job, "train", job.key)
            answer = self._ask(job, request)
            if isinstance(answer, Outcome):
                return answer
            if answer.is_good:
                job.ended_at_once = not is_unknown
                return self._take(job, answer)
            if is_unknown and answer.status == 404:
                is_unknown = False
            elif not answer.may_change:
                return self._outcome(job, "unstartable", why=answer.why)
            else:
                is_unknown = is_unknown or (answer.may_have_arrived and answer.status not in (429, 503))
                if over := self._pause(job, max(pause_s, answer.retry_after_s)):
                    return over
                pause_s = min(self.poll_s, pause_s * PAUSES_S[1])

    def _watch(self, job: Job) -> Outcome:
        """Ask until the trial is over."""
        pause_s = PAUSES_S[0]
        while True:
            if over := self._pause(job, pause_s):
                return over
            answer = self._ask(job, Request("GET", job.key, query={"after": job.num_reports}))
            if isinstance(answer, Outcome):
                return answer
            if answer.is_good:
                if outcome := self._take(job, answer, "ok" if "metrics" in answer.body else "running"):
                    return outcome
            elif answer.status in (404, 410):
                return self._outcome(job, "lost", why=f"the API does not know the trial: {answer.why}")
            elif not answer.may_change:
                self.remote.begin(Request("DELETE", job.key), lambda answer: None)
                return self._outcome(job, "unstartable", why=answer.why)
            pause_s = max(answer.retry_after_s, min(self.poll_s, pause_s * PAUSES_S[1]))

    def _evaluate(self, job: Job, trained: Outcome) -> Outcome:
        """Ask for the metrics of a trial whose training did not tell the objective; what fails leaves it as it is."""
        answer = self._ask(job, self._order(job, "eval", f"{job.key}-eval"))
        if isinstance(answer, Outcome):
            return answer
        found = answer.body.get("metrics") if answer.is_good else None
        if not isinstance(found, dict):
            return trained
        return self._outcome(job, "exited", 0, metrics={**(trained.metrics or {}), **found})

    def _order(self, job: Job, mode: str, key: str) -> Request:
        order = job.order
        body = {
            "mode": mode, "id": key, "run_dir": str(order.folder), "params": dict(order.params), "number": order.number,
            "seed": int(order.variables["AR_SEED"]), "timeout_s": order.timeout_s,
        }  # fmt: skip
        return Request("POST", body=body, timeout_s=max(1.0, job.left_s()))

    def _ask(self, job: Job, request: Request) -> Answer | Outcome:
        """The answer to a call, or the outcome of a trial that is stopped or late meanwhile."""
        answers: queue.SimpleQueue[Message] = job.inbox
        self.remote.begin(request, answers.put)
        while True:
            message = self._receive(job, job.left_s())
            if isinstance(message, Answer | Outcome):
                return message

    def _pause(self, job: Job, seconds: float) -> Outcome | None:
        """Wait; the outcome of a trial that is stopped or late meanwhile."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            message = self._receive(job, min(left_s, job.left_s()))
            if isinstance(message, Outcome):
                return message
        return None

    def _receive(self, job: Job, seconds: float) -> Answer | Outcome | None:
        """What comes next, if anything does in that time; orders are carried out."""
        message: Message | None = None
        with contextlib.suppress(queue.Empty):
            message = job.inbox.get(timeout=seconds)
        if message == "control":
            with contextlib.suppress(ValueError):
                body = json.loads(files.read(job.order.folder / CONTROL))
                self.remote.begin(Request("POST", job.key, "control", body=body), lambda answer: None)
        if isinstance(message, Answer):
            return message
        if message in ("stop", "hard") or job.left_s() <= 0:
            farewell = Request("DELETE", job.key, query={"after": job.num_reports}, timeout_s=FAREWELL_S)
            if message == "hard":
                self.remote.begin(farewell, lambda answer: None)
            elif (answer := self.remote.ask(farewell)).is_good:
                self._take(job, answer)
            if message:
                return self._outcome(job, "killed", why="stopped")
            return self._outcome(job, "timeout", why=f"the trial took longer than {job.order.timeout_s:g} s")
        return None

    def _take(self, job: Job, answer: Answer, unsaid: str = "ok") -> Outcome | None:
        """Write down what an answer tells; returns the outcome of a trial that is over.

        Args:
            unsaid: the status where the answer has none; to a POST, whoever names none has done the trial.
        """
        body = answer.body
        if isinstance(body.get("id"), str) and 0 < len(body["id"]) <= 200:
            job.key = body["id"]
            files.write(job.order.folder / KEY_FILE, json.dumps({"id": job.key}))
        found = body.get("progress")
        reports = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        if reports:
            files.append(job.order.folder / PROGRESS, "".join(json.dumps(one) + "\n" for one in reports))
            job.num_reports += len(reports)
        if isinstance(body.get("log"), str):
            job.log = body["log"][-LOG_CHARS:]
        if isinstance(body.get("eval_log"), str):
            job.eval_log = body["eval_log"][-LOG_CHARS:]
        status = str(body.get("status", unsaid))
        if status in UNDERWAY:
            return None
        end, code = ENDS.get(status, ("exited", 1))
        why = str(body.get("error") or ("" if status in ENDS else f"unknown status {status!r}"))
        if code == 1:
            job.log += f"\n{why}"
        metrics = body.get("metrics")
        return self._outcome(
            job, end, code, " ".join(why.split())[:300], metrics if isinstance(metrics, dict) else None
        )

    def _outcome(
        self, job: Job, end: End, code: int | None = None, why: str = "", metrics: Mapping[str, Any] | None = None
    ) -> Outcome:
        return Outcome(end, code, time.monotonic() - job.begun, why, metrics)

    def control(self, number: int) -> None:
        """Send the file to the trial."""
        self._tell(number, "control")

    def stop(self, number: int, *, hard: bool = False) -> None:
        """Have the trial deleted; a hard stop does not wait for the answer."""
        self._tell(number, "hard" if hard else "stop")

    def _tell(self, number: int, what: str) -> None:
        with self.lock:
            if job := self.jobs.get(number):
                job.inbox.put(what)

    def close(self) -> None:
        """Nothing is shared."""


def following(
    config: Config, remote: Remote, order: Order, name: str
) -> tuple[HttpExecutor, "queue.SimpleQueue[Outcome]"]:
    """An executor that follows a trial of this API from now on, and where its outcome will be.

    Args:
        name: id of the trial there.
    """
    target = config.target.model_copy(update={"url": remote.url, "headers": remote.headers})
    executor = HttpExecutor(config.model_copy(update={"target": target}), Spans(), {})
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    executor.attach(order, {"id": name}, lambda number, outcome: outcomes.put(outcome))
    return executor, outcomes
