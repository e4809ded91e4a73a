"""Speaks the trial contract as prepare.py does, without torch: a loss from the learning rate, and ways to go wrong.

Its habits stand in the file that it is given: `pace_s` per update, `mode`, from which step `at` and how many `times` it
strikes, `limit` (the scale above which the loss explodes), whether it `saves` checkpoints, which of them is
`torn`, and its last `words`.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["AUTORESEARCH_TRIAL_DIR"])
STEPS = int(os.environ.get("AUTORESEARCH_MAX_STEPS") or 10**9)
BUDGET_S = float(os.environ["AUTORESEARCH_TIME_BUDGET"])
PERIOD = int(os.environ["AUTORESEARCH_CHECKPOINT_STEPS"])
SEED = int(os.environ["AUTORESEARCH_SEED"])
BASE_LR = 0.02
HABITS: dict[str, Any] = {"pace_s": 0.005, "mode": "fine", "at": 0, "limit": 10.0, "times": 1, "saves": True, "torn": 0}
HABITS |= json.loads(Path(sys.argv[1]).read_text())


def scale_of(plan: dict[str, Any], p: float) -> float:
    """The schedule of prepare.py."""
    start = plan["start"] if plan["ramp"] else plan["peak"]
    if p < plan["warmup"]:
        return start * p / plan["warmup"]
    if p < plan["warmup"] + plan["ramp"]:
        return start + (plan["peak"] - start) * (p - plan["warmup"]) / plan["ramp"]
    if p <= 1 - plan["decay"]:
        return plan["peak"]
    x = (p - (1 - plan["decay"])) / plan["decay"]
    left = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "sqrt": 1 - math.sqrt(x)}[plan["shape"]]
    return plan["peak"] * (plan["final"] + (1 - plan["final"]) * left)


def append(name: str, row: dict[str, Any]) -> None:
    """One JSON line."""
    with open(FOLDER / name, "a") as file:
        file.write(json.dumps(row) + "\n")


class Channel:
    """Commands of this run and branch, each once, at their step."""

    def __init__(self) -> None:
        self.seen, self.seq = b"", -1
        self.plan: dict[str, Any] = {}
        self.waiting: list[dict[str, Any]] = []
        self.acks: list[dict[str, Any]] = []
        self.identity: list[Any] = []
        self.poll(0)

    def poll(self, next_step: int) -> None:
        text = (FOLDER / "control.json").read_bytes()
        if text == self.seen:
            return
        self.seen, command = text, json.loads(text)
        identity = [command["run_id"], command["branch_id"]]
        self.identity = self.identity or identity
        if identity != self.identity or command["seq"] <= self.seq:
            print("control.json refused", flush=True)
            return
        self.seq = command["seq"]
        earlier = [one for one in self.waiting if one["effective_step"] < command["effective_step"]]
        self.waiting = [*earlier, command]

    def apply(self, step: int) -> None:
        self.poll(step + 1)
        while self.waiting and self.waiting[0]["effective_step"] <= step:
            command = self.waiting.pop(0)
            self.plan = command["plan"]
            self.acks.append({"seq": command["seq"], "branch_id": command["branch_id"], "applied_step": step})


class Run:
    """A loss that falls the faster the higher the rate, and rises above the limit."""

    def __init__(self) -> None:
        self.channel = Channel()
        self.step, self.updates, self.latest, self.spent_s = 0, 0, 0.0, 0.0
        self.loss = math.log(32_000)
        self.begun = time.monotonic()
        if resume := os.environ.get("AUTORESEARCH_RESUME"):
            self.load(json.loads(Path(resume).read_text()))

    def load(self, saved: dict[str, Any]) -> None:
        if saved["step"] == HABITS["torn"]:
            sys.exit(f"prepare.PrepareError: step {saved['step']} cannot be resumed from: SafetensorError: incomplete")
        self.step, self.loss = saved["step"], saved["loss"]
        if saved["branch"] != self.channel.identity:
            last = [json.loads(line) for line in (FOLDER / "progress.jsonl").read_text().splitlines()][-1]
            saved |= {"updates": max(saved["updates"], last["num_steps"])}
            saved |= {"latest": max(saved["latest"], last["progress"])}
            saved |= {"spent_s": max(saved["spent_s"], last["elapsed_s"])}
        self.updates, self.latest, self.spent_s = saved["updates"], saved["latest"], saved["spent_s"]

    def save(self) -> None:
        path = FOLDER / "checkpoints" / f"step-{self.step:08d}.pt"
        path.parent.mkdir(exist_ok=True)
        saved = {"step": self.step, "loss": self.loss, "branch": self.channel.identity, "updates": self.updates}
        aside = path.with_suffix(".aside")
        aside.write_text(json.dumps(saved | {"latest": self.latest, "spent_s": self.elapsed_s}))
        aside.replace(path)

    @property
    def elapsed_s(self) -> float:
        return self.spent_s + time.monotonic() - self.begun

    def train(self) -> None:
        """Until the budget is used up."""
        metrics: dict[str, Any] = {}
        lr = BASE_LR if not self.step else 0.123  # what a restored optimizer holds: nothing to rely on
        while self.updates < STEPS and self.elapsed_s < BUDGET_S:
            report = {"step": self.step, "step_target": STEPS, "progress": self.latest, "lr": lr}
            append(
                "progress.jsonl", report | {"elapsed_s": self.elapsed_s, "num_steps": self.updates, "metrics": metrics}
            )
            if HABITS["mode"] == "lost" and metrics.get("train_loss", 0.0) is None:
                sys.exit(f"FAIL: loss nan at step {self.step}")
            self.channel.apply(self.step)
            self.latest = max(self.latest, 1e-6, min(1.0, max((self.updates + 1) / STEPS, self.elapsed_s / BUDGET_S)))
            scale = scale_of(self.channel.plan, self.latest)
            lr = BASE_LR * scale
            self.updates += 1
            for ack in self.channel.acks:
                append("acks.jsonl", ack | {"lr": lr})
            self.channel.acks = []
            append("trace.jsonl", {"step": self.step, "lr": lr, "p": self.latest})
            time.sleep(HABITS["pace_s"])
            self.go_wrong()
            self.loss += 1.0 if scale > HABITS["limit"] else -0.02 * min(scale, 4.0) * (self.loss - 2.0)
            metrics = {"train_loss": None if HABITS["mode"] in ("nan", "lost") and self.is_time() else self.loss}
            metrics["grad_norm"] = 1 + self.step % 3 / 100
            if HABITS["mode"] in ("gradient", "spike") and self.is_time():
                metrics["grad_norm"] = None if HABITS["mode"] == "gradient" else 1e3
            self.step += 1
            if self.step % PERIOD == 0 and HABITS["saves"]:
                self.save()

    def is_time(self) -> bool:
        """Whether the mode's step has come, and it has not struck often enough."""
        struck = FOLDER / "struck"
        count = len(struck.read_text()) if struck.exists() else 0
        if self.step < HABITS["at"] or count >= HABITS["times"]:
            return False
        struck.write_text("x" * (count + 1))
        return True

    def go_wrong(self) -> None:
        """Do what the mode says."""
        mode = HABITS["mode"]
        if (mode == "explode" and self.is_time()) or self.loss > 30:
            sys.exit(f"FAIL: loss {self.loss} at step {self.step}")
        if mode == "abort" and self.is_time():
            os.kill(os.getpid(), signal.SIGABRT)
        if mode == "memory" and self.is_time():
            raise MemoryError("CUDA out of memory")
        if mode == "words" and self.is_time():
            sys.exit(HABITS["words"])
        if mode == "hang" and self.is_time():
            time.sleep(600)
        if mode == "deaf":
            self.channel.plan = dict(self.channel.plan, peak=3.0)


run = Run()
run.train()
print("---")
print(f"quality: {run.loss + 0.001 * SEED}")
print(f"schedule_p_end: {run.latest}")
