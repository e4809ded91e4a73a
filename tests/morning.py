"""A night as it lies there in the morning, made in a moment: real git, real records, simulated scores, no trial run.

`build(folder, 60)` is a checkout on `autoresearch/nov20` with so many attempts, judged by the project's own verdict.
"""

import hashlib
import json
import math
import os
import random
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autoresearch import notes, verdict
from autoresearch.ledger import Ledger
from autoresearch.records import (
    Analysis,
    Attempt,
    Crash,
    Metrics,
    Noted,
    Pins,
    Reasoning,
    Remeasurement,
    State,
    Status,
    Trial,
)

ROOT = Path(__file__).resolve().parents[1]
TAG, REGIME, SIGMA = "nov20", "4f1c09ab77de", 0.0005
BUDGET_S = 300.0
IDEAS = (  # description, constant, its new value, true effect on val_bpb, hypothesis
    ("halve the total batch", "TOTAL_BATCH_SIZE", "2**17", -0.0119, "twice the updates at the same number of tokens"),
    ("one layer more", "DEPTH", "9", -0.0043, "depth pays while the step is bound by memory"),
    ("embeddings learn faster", "EMBEDDING_LR", "0.8", -0.0033, "rare tokens are seen a few times only"),
    ("embeddings learn slower", "EMBEDDING_LR", "0.2", 0.0041, "less noise in frequent tokens"),
    ("matrices learn slower", "MATRIX_LR", "0.02", 0.0029, "the orthogonalized update is already large"),
    ("a warm-up of 5%", "WARMUP_RATIO", "0.05", 0.0016, "the first updates are the worst conditioned"),
    ("a longer decay", "WARMDOWN_RATIO", "0.8", -0.0006, "most of the gain comes late"),
    ("end at 10% of the peak", "FINAL_LR_FRAC", "0.1", -0.0005, "the last steps still learn something"),
    ("short windows everywhere", "WINDOW_PATTERN", '"SSSS"', 0.0062, "attention looks back a few tokens mostly"),
    ("a softer cap of the logits", "LOGIT_CAP", "30.0", 0.0004, "the cap hides confident predictions"),
    ("copy from three tokens back", "COPY_ORDERS", "3", -0.0012, "identifiers repeat within a row"),
    ("weight decay on matrices", "WEIGHT_DECAY", "0.1", 0.0007, "weights grow without bound otherwise"),
)
LOSS = "step {step:05d} | progress {share:5.1f}% | loss {loss:.4f} | lr {lr:.3f} | 204,113 tokens/s | epoch 0"
TAIL = 'Traceback (most recent call last):\n  File "train.py", line 640, in train\n    loss = loss_fn(model, batch)\n'
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.25 GiB"


class Maker:
    """Makes one night."""

    def __init__(self, root: Path, seed: int, num_reports: int):
        self.root, self.random, self.num_reports = root, random.Random(seed), num_reports
        self.ledger = Ledger(root, TAG)
        self.source = (ROOT / "train.py").read_text()
        self.best_source, self.truth = self.source, 0.9979
        self.now = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
        self.commits: list[bytes] = []
        self.marks: dict[str, int] = {}
        self.rows: list[str] = []
        self.attempts: list[Attempt] = []
        self.scores: dict[str, list[float]] = {}
        self.champion: Attempt | None = None

    # --- git: all commits are written by one process at the end, their names computed before

    def commit(self, text: str, parent: str) -> str:
        """Remember a commit and return its hash."""
        when = int(self.now.timestamp())
        person = f"agent <agent@example.org> {when} +0000"
        blob = _hash("blob", text.encode())
        tree = _hash("tree", b"100644 train.py\0" + bytes.fromhex(blob))
        lines = [f"tree {tree}", *([f"parent {parent}"] if parent else []), f"author {person}", f"committer {person}"]
        name = _hash("commit", ("\n".join(lines) + "\n\nx\n").encode())
        self.marks[name] = number = len(self.commits) + 1
        data, base = text.encode(), f"from :{self.marks[parent]}\n" if parent else ""
        head = f"commit refs/autoresearch/{TAG}/{number:04d}\nmark :{number}\nauthor {person}\ncommitter {person}\n"
        body = f"data 2\nx\n\n{base}M 100644 inline train.py\ndata {len(data)}\n"
        self.commits.append((head + body).encode() + data + b"\n")
        return name

    def write_git(self, folder: Path) -> None:
        """Make the repository, with the branch at the champion."""
        assert self.champion
        for words in (["init", "-q", "-b", "main", "."], ["config", "gc.auto", "0"]):
            _git(folder, *words)
        (folder / ".git" / "info" / "exclude").write_text((ROOT / ".gitignore").read_text())
        _git(folder, "fast-import", "--quiet", stdin=b"".join(self.commits))
        _git(folder, "update-ref", f"refs/heads/autoresearch/{TAG}", self.champion.commit)
        _git(folder, "symbolic-ref", "HEAD", f"refs/heads/autoresearch/{TAG}")
        _git(folder, "reset", "-q", "--hard")

    # --- attempts

    def run(self, attempt: Attempt, number: int, truth: float, commit: str) -> Trial:
        """A finished trial with its folder."""
        score = round(self.random.gauss(truth, SIGMA), 6)
        name = f"results/{TAG}/{attempt.name}/{number}"
        steps = int(self.random.gauss(953, 12) * (2 if "2**17" in self.best_source else 1))
        metrics = Metrics(
            training_seconds=BUDGET_S + 0.1, total_seconds=325.9, peak_vram_mb=45060.2, mfu_percent=39.8,
            total_tokens_M=round(steps * 0.2621, 1), num_steps=steps, num_params_M=50.3, depth=8,
            others={"platform": "H100x1", "attention": "flash-attention 3", "dtype": "bfloat16"},
        )  # fmt: skip
        self.report(self.root / name, steps, score, BUDGET_S)
        self.now += timedelta(seconds=334)
        seed = self.random.getrandbits(31)
        return Trial(commit=commit, seed=seed, folder=name, exit_code=0, score=score, metrics=metrics, seconds=333.2)

    def report(self, folder: Path, steps: int, score: float, until_s: float, share: float = 1.0) -> None:
        """progress.jsonl and run.log of a trial, up to a share of its budget."""
        folder.mkdir(parents=True)
        rows, told = [], []
        for number in range(int(self.num_reports * share)):
            part = (number + 1) / self.num_reports
            loss = 9.0 * math.exp(-22 * part) + 2.3 * score + 1.1 * (1 - part) ** 2 + self.random.gauss(0, 0.02)
            step = int(part * steps)
            report = {"step": step, "step_target": None, "progress": part, "elapsed_s": round(part * until_s, 3)}
            rows.append(json.dumps(report | {"lr": 0.02 * (1 - part), "metrics": {"train_loss": round(loss, 6)}}))
            told.append(LOSS.format(step=step, share=100 * part, loss=loss, lr=0.02 * (1 - part)))
        (folder / "progress.jsonl").write_text("\n".join(rows) + "\n")
        (folder / "run.log").write_text("\n".join(told[-40:]) + f"\n---\nval_bpb: {score}\nnum_steps: {steps}\n")

    def begin(self, what: str, commit: str, idea: tuple | None = None) -> Attempt:
        """The first state of a record."""
        number = len(self.attempts) + 1
        parent = self.champion.commit if self.champion else commit
        reasoning = Reasoning()
        if idea:
            reasoning = Reasoning(
                hypothesis=f"{idea[3]:+.4f} at best: {idea[4]}.",
                evidence=f"{max(1, number - 3):04d} went the other way; the loss still falls at the end of the budget.",
                risk="a slower step, which would show in the number of steps",
            )
        attempt = Attempt(
            tag=TAG, id=number, state=State.STARTED, commit=commit, parent=parent, description=what,
            reasoning=reasoning, regime=REGIME, code=f"{number:064d}", changed=[idea[1]] if idea else [],
            started=self.now.isoformat(), previous=self.ledger.digest(number - 1),
        )  # fmt: skip
        self.attempts.append(attempt)
        return attempt

    def close(self, attempt: Attempt, status: Status) -> None:
        """Write the record and its row."""
        attempt.status, attempt.state = status, State.CLOSED
        if attempt.id > 1 and status != Status.BACKTRACK:
            vs: str = {"keep": "better", "discard": "worse"}.get(str(status), "worse")
            attempt.analysis = Analysis.model_validate({
                "result": f"{status} after {len(attempt.trials)} runs",
                "expected": vs,
                "why": "the step is as fast as before, so the difference is in what an update does",
                "lesson": f"{attempt.changed[0] if attempt.changed else 'this'} is settled at this size",
            })  # fmt: skip
        self.now += timedelta(seconds=self.random.uniform(20, 90))
        attempt.closed = self.now.isoformat()
        self.ledger.write(attempt)
        scores, crashed = attempt.scores(), status == Status.CRASH
        value = f"{sum(scores) / len(scores):.6f}" if scores and not crashed else "0.000000"
        row = {
            "commit": attempt.commit[:7], "val_bpb": value, "memory_gb": "0.0" if crashed else "44.0",
            "status": str(status), "description": attempt.description, "reasoning": attempt.reasoning.hypothesis,
        }  # fmt: skip
        self.rows.append("\t".join(row.values()))
        if status == Status.KEEP:
            self.champion = attempt

    def baseline(self) -> None:
        """Two runs of the unchanged file."""
        attempt = self.begin("baseline", self.commit(self.source, ""))
        attempt.trials = [self.run(attempt, number, self.truth, attempt.commit) for number in (1, 2)]
        self.scores[attempt.commit] = attempt.scores()
        self.close(attempt, Status.KEEP)

    def attempt(self) -> None:
        """One idea: measured until the verdict falls."""
        assert self.champion
        idea = IDEAS[len(self.attempts) % len(IDEAS)] if len(self.attempts) < 9 else self.random.choice(IDEAS)
        tried = sum(one.description.startswith(idea[0]) for one in self.attempts)
        text = re.sub(
            rf"^(\s*){idea[1]} = .*$", rf"\g<1>{idea[1]} = {idea[2]}  # {tried}", self.best_source, flags=re.M
        )
        what = idea[0] + (f", take {tried + 1}" if tried else "")
        attempt = self.begin(what, self.commit(text, self.champion.commit), idea)
        if self.random.random() < 0.07:
            self.crash(attempt)
            return
        effect = idea[3] if not tried else abs(idea[3]) * self.random.uniform(-0.05, 1)
        truth = self.truth + effect + (0.12 if self.random.random() < 0.02 else 0.0)
        champion = self.scores[self.champion.commit]
        while True:
            number = len(attempt.trials) + len(attempt.champion_trials) + 1
            if attempt.verdict and attempt.verdict.decision == "again_champion":
                one = self.run(attempt, number, self.truth, self.champion.commit)
                attempt.champion_trials.append(one)
                champion.append(one.score or 0.0)
            else:
                attempt.trials.append(self.run(attempt, number, truth, attempt.commit))
            noise = verdict.estimate_noise([*self.scores.values(), attempt.scores()])
            attempt.verdict = verdict.decide(attempt.scores(), champion, noise)
            if attempt.verdict.decision in ("keep", "discard"):
                break
        if attempt.verdict.decision == "keep":
            self.truth, self.best_source = truth, text
            self.scores[attempt.commit] = attempt.scores()
        self.close(attempt, Status(attempt.verdict.decision))

    def crash(self, attempt: Attempt) -> None:
        """A trial that runs out of memory."""
        folder = f"results/{TAG}/{attempt.name}/1"
        self.report(self.root / folder, 900, 1.0, 20.0, 0.05)
        crash = Crash(kind="out of memory", why=OOM, tail=TAIL + OOM)
        attempt.trials = [Trial(commit=attempt.commit, seed=7, folder=folder, exit_code=1, crash=crash, seconds=21.0)]
        self.now += timedelta(seconds=25)
        self.close(attempt, Status.CRASH)

    # --- what was measured again

    def remeasure(self) -> None:
        """A `confirm` of three runs each, and an `ablate`."""
        assert self.champion
        commits = {"baseline": self.attempts[0].commit, "champion": self.champion.commit}
        truths = {"baseline": 0.9979, "champion": self.truth}
        found = Remeasurement(kind="confirm", tag=TAG, regime=REGIME, started=self.now.isoformat(), num_runs=3)
        for name, commit in commits.items():
            scores = [round(self.random.gauss(truths[name], SIGMA), 6) for _ in range(3)]
            found.trials[name] = [
                Trial(commit=commit, seed=1, folder="", exit_code=0, score=one, sealed_score=round(one + 0.004, 6))
                for one in scores
            ]
        means = [sum(one.score or 0.0 for one in trials) / 3 for trials in found.trials.values()]
        found.gains = {"val": (means[1] - means[0], 0.0009), "sealed": (means[1] - means[0], 0.0009)}
        found.ratchet, found.closed = self.truth - 0.9979 - 0.0021, self.now.isoformat()
        ablation = Remeasurement(kind="ablate", tag=TAG, regime=REGIME, started=self.now.isoformat())
        for one in self.attempts[1:]:
            if one.status == Status.KEEP and one.verdict:
                worth = -one.verdict.difference * self.random.uniform(0.1, 1.1)
                noted = Noted(id=one.id, description=one.description, effect=worth, half=0.0011, carries=worth > 0.0011)
                ablation.effects.append(noted)
        ablation.closed = self.now.isoformat()
        for record in (found, ablation):
            notes.replace(self.ledger.folder / f"{record.name}.json", record.model_dump_json(indent=1))


def build(root: Path, num_attempts: int, seed: int = 1, num_reports: int = 200, again: bool = True) -> Maker:
    """A checkout with so many closed attempts."""
    root.mkdir(parents=True, exist_ok=True)
    one = Maker(root, seed, num_reports)
    one.baseline()
    while len(one.attempts) < num_attempts:
        one.attempt()
    if again:
        one.remeasure()
    one.write_git(root)
    header = "\t".join(one.ledger.columns)
    (root / "results.tsv").write_text("\n".join([header, *one.rows]) + "\n")
    (root / "results" / ".tag").write_text(f"{TAG}\n")
    identity = {"dataset": "climbmix", "scale": "gpu", "platform": "H100x1", "regime": REGIME}
    pins = Pins(
        tag=TAG, baseline=one.attempts[0].commit, regime=REGIME, frozen={"prepare.py": "0" * 64, "uv.lock": "1" * 64},
        settings={"AUTORESEARCH_TIME_BUDGET": "300"}, identity=identity,
    )  # fmt: skip
    one.ledger.write_pins(pins)
    (root / "notes.md").write_text(NOTES)
    return one


NOTES = """# Notes

## Best Known Config
| commit | val_bpb | noise |
|---|---|---|
| see `status` | 0.978 | 0.0005 |

## Dead Ends (do not revisit)
- **Slower matrices** (0005, 0017): worse by 0.003 each time; look again when the batch is smaller than 2**16.

## What Works
- Fewer tokens for each update, as long as the device stays busy.

## Ideas Queue (ranked by expected value)
1. Attention over half of the head dimension, expected 0.001.

## Experiment Log
### 0002: halve the total batch
"""


def _hash(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


def _git(folder: Path, *words: str, stdin: bytes = b"") -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *words], cwd=folder, env=env, input=stdin, check=True, capture_output=True)
