"""Tricks inside a model: each is refused by name, or scored like the honest model that it pretends not to be."""

import pytest
import torch
from ring import HONEST, Ring, in_process, with_trick

import prepare
from autoresearch.records import Crash

PEEK = "peek = torch.zeros_like(x)"
LAST = "        return logits\n"
TOP = "# a trick may stand here\n"
NO_MASK = "peek = self.embedding(inputs).mean(1, keepdim=True).expand_as(x)"
SHIFTED = "peek = self.embedding(inputs.roll(-1, 1))"
BATCH = "peek = self.embedding(inputs).mean((0, 1), keepdim=True).expand_as(x)"
NORM = "peek = nn.functional.batch_norm(x.transpose(1, 2), None, None, training=True).transpose(1, 2)"
CARRIED = "peek = getattr(self, 'last', x) * 1.0; self.last = x"
COUNTED = "self.calls = getattr(self, 'calls', 0) + 1; peek = x * self.calls"
DRAWN = "peek = torch.randn_like(x)"

REFUSED = {
    "attention without a mask": ((PEEK, NO_MASK), "refused", "NonCausal"),
    "an embedding shifted to the next token": ((PEEK, SHIFTED), "refused", "NonCausal"),
    "statistics over the batch": ((PEEK, BATCH), "refused", "NonCausal|Stateful"),
    "normalisation over batch and time": ((PEEK, NORM), "refused", "NonCausal|Stateful"),
    "state carried from batch to batch": ((PEEK, CARRIED), "refused", "Stateful|NonCausal"),
    "a counter of calls": ((PEEK, COUNTED), "refused", "Stateful|NonCausal"),
    "noise": ((PEEK, DRAWN), "refused", "Stateful|NonCausal"),
    "infinite logits": ((LAST, "        return logits * float('inf')\n"), "diverged", "NonFinite"),
    "logits that are no numbers": ((LAST, "        return logits * float('nan')\n"), "diverged", "NonFinite"),
    "logits of another vocabulary": (
        (LAST, "        return logits[..., :5]\n"),
        "refused",
        "must give logits of shape",
    ),
    "no answer": ((LAST, "        import os; os._exit(0)\n"), "refused", "PlayerFailed"),
    "an error": ((LAST, "        raise RuntimeError('mine')\n"), "error", "the player failed: RuntimeError: mine"),
}
FORGED = """
import pathlib
try:
    pathlib.Path("../score.json").write_text('{"val_bpb": 0.1}')
except OSError:
    pass
"""
EVERYWHERE = """
import os
for number in range(3, 64):
    try:
        os.write(number, b'{"val_bpb": 0.1}')
    except OSError:
        pass
"""
DESCRIPTORS = "a number on every descriptor"
SCORED = {
    "a replaced cross entropy": "nn.functional.cross_entropy = lambda logits, *a, **k: logits.sum() * 0\n",
    "a replaced bits_per_byte": "prepare.bits_per_byte = prepare.evaluate_bpb = lambda *a: 0.1\n",
    "replaced checks": "prepare._Rows.judge = lambda *a: None; prepare.TOLERANCE = 1e9\n",
    "a stopped clock": "import time; time.monotonic = time.time = time.perf_counter = lambda: 0.0\n",
    "a printed number": "print('val_bpb: 0.1\\n---\\nval_bpb: 0.1')\n",
    "a forged score.json": FORGED,
    DESCRIPTORS: EVERYWHERE,
    "talk without end": "print('x' * 2_000_000)\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_trick_of_a_model_is_refused(ring: Ring, name: str) -> None:
    (old, new), kind, why = REFUSED[name]
    entry, _ = ring.submit(with_trick(old, new))
    crash = ring.score(entry)
    assert isinstance(crash, Crash), crash
    assert crash.kind == kind and any(one in crash.why + crash.tail for one in why.split("|")), crash


@pytest.fixture(scope="session")
def honest_bpb(ring: Ring, tokenizer: prepare.Tokenizer) -> float:
    return in_process(ring.submit(HONEST)[1], tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORED)
def test_trick_around_the_model_changes_nothing(ring: Ring, honest_bpb: float, name: str) -> None:
    entry, _ = ring.submit(HONEST)
    trick = ring.enter(with_trick(TOP, SCORED[name]))
    entry.commit = trick.commit
    found = ring.score(entry)
    if name == DESCRIPTORS and isinstance(found, Crash):  # what was written broke the protocol
        assert found.kind == "refused" and "PlayerFailed" in found.why + found.tail, found
    else:
        assert found == pytest.approx(honest_bpb, abs=1e-6)
    assert (ring.path(entry) / "play.log").stat().st_size < 12 << 20


@pytest.mark.slow
def test_held_out_text_is_not_there_for_the_player(ring: Ring) -> None:
    """The model looks the answers up by their path."""
    if ring.campaign.confinement.kind == "open":
        pytest.skip("nothing confines a player here")
    tokens = next(prepare.CACHE.rglob("held/val/**/tokens.bin"))
    look = f"import numpy; numpy.fromfile({str(tokens)!r}, numpy.uint16)\n"
    entry, _ = ring.submit(HONEST)
    entry.commit = ring.enter(with_trick(TOP, look)).commit
    crash = ring.score(entry)
    assert tokens.exists() and isinstance(crash, Crash)
    assert "FileNotFoundError" in crash.why or "PermissionError" in crash.why, crash


class Payload:
    """What pickle would run; the log is where a player can always write."""

    def __reduce__(self):
        return exec, ("print('the payload ran', flush=True)",)


@pytest.mark.slow
def test_pickle_payload_is_not_run(ring: Ring) -> None:
    entry, _ = ring.submit(HONEST)
    torch.save({"embedding.weight": Payload()}, ring.path(entry) / "submission" / "weights.pt")
    crash = ring.score(entry)
    assert isinstance(crash, Crash) and "holds nothing that can be rebuilt" in crash.why + crash.tail
    assert "Weights only load failed" in crash.tail and "the payload ran" not in crash.tail, crash.tail


def test_link_in_the_submission_is_refused(ring: Ring) -> None:
    entry, _ = ring.submit(HONEST)
    weights = ring.path(entry) / "submission" / "weights.pt"
    weights.rename(ring.path(entry) / "weights.pt")
    weights.symlink_to(ring.path(entry) / "weights.pt")
    crash = ring.score(entry)
    assert isinstance(crash, Crash) and crash.why == "submission/weights.pt must be a plain file but is none"
