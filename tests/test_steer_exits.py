"""How a trainer ended: only a loss that was lost is the learning rate's fault."""

import pytest

from autoresearch.steer import exits

LOSS = "step 00003\nFAIL: loss nan at step 4; the lowest, smoothed, was 3.1 nats"


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ("---\nval_bpb: nan", 0, "done"),
        ("cancelled on request", 42, "aborted"),
        (LOSS, 1, "numeric"),
        ("prepare.NonFinite: a scored token", 1, "numeric"),
        ("", -6, "infra"),
        ("skipping update, non-finite gradient\nstep 00007", -9, "infra"),
        (LOSS, -6, "numeric"),
        ("", -9, "infra"),
        ("torch.OutOfMemoryError: CUDA out of memory", 1, "infra"),
        ("RuntimeError: CUDA error: device lost", 1, "infra"),
        ("ValueError: no such data", 1, "infra"),
    ],
)
def test_exit_is_classified(text: str, code: int, kind: str) -> None:
    assert exits.classify(text, code).kind == kind


@pytest.mark.parametrize(("text", "kind"), [(LOSS, "numeric"), ("step 00003", "infra"), ("", "infra")])
def test_end_that_nobody_saw_is_told_by_the_log_alone(text: str, kind: str) -> None:
    assert exits.unseen(text).kind == kind
