"""Frozen: makes the tasks, and verifies answers: what is correct is decided here.

A task is four digits; the answer is the same digits in ascending order. The verifier looks at answers alone, not at
how they were found.
"""

import json
import os
import random
import sys
from pathlib import Path

LENGTH = 4
NUM_HELD = 200


def tasks() -> list[list[int]]:
    """All tasks, in a random order that never changes."""
    found = [[number // 10**place % 10 for place in range(LENGTH)] for number in range(10**LENGTH)]
    random.Random(1).shuffle(found)
    return found


def is_correct(task: list[int], answer: list[int]) -> bool:
    """The verifier."""
    return answer == sorted(task)


def prepare() -> None:
    """Write the tasks to learn from, and those that are asked at the end."""
    found = tasks()
    Path("tasks.json").write_text(json.dumps({"train": found[NUM_HELD:], "held": found[:NUM_HELD]}))


def verify() -> None:
    """Print the share of the held-out tasks that a trial answered correctly."""
    answers = json.loads((Path(os.environ["AR_MODEL_DIR"]) / "answers.json").read_text())
    held = tasks()[:NUM_HELD]
    print("eval_score:", sum(is_correct(*pair) for pair in zip(held, answers, strict=True)) / len(held))


if __name__ == "__main__":
    verify() if sys.argv[1:] == ["verify"] else prepare()
