"""bits_per_byte refuses by name what it cannot score: other shapes, infinite losses, models that peek or remember."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from models import Causal, Replaced
from torch import Tensor

import prepare

BPB = Callable[..., float]


@pytest.mark.parametrize(
    "change",
    [
        lambda logits, inputs: logits[..., :-1],
        lambda logits, inputs: logits[:, :-1],
        lambda logits, inputs: logits[:1],
        lambda logits, inputs: logits.flatten(0, 1),
        lambda logits, inputs: (logits, None),
        lambda logits, inputs: None,
    ],
    ids=["vocabulary", "length", "batch", "flat", "tuple", "nothing"],
)
def test_bpb_refuses_answers_of_another_shape(bpb: BPB, ids: np.ndarray, change: Callable) -> None:
    with pytest.raises(prepare.PrepareError, match=r"logits of shape \(4, 64, 512\)"):
        bpb(Replaced(change), ids)


def nan_at(row: int, position: int) -> Callable[[Tensor, Tensor], Tensor]:
    def change(logits: Tensor, inputs: Tensor) -> Tensor:
        where = torch.zeros(inputs.shape, dtype=torch.bool, device=inputs.device)
        where[row, position] = True
        return logits.masked_fill(where[..., None], math.nan)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda logits, inputs: logits * math.nan,
        lambda logits, inputs: logits * 0 + math.inf,
        lambda logits, inputs: logits * 0 - math.inf,
        nan_at(0, 0),
        nan_at(2, 5),
    ],
    ids=["nan", "inf", "minus inf", "first token", "one token"],
)
def test_bpb_refuses_losses_that_are_not_finite(bpb: BPB, ids: np.ndarray, change: Callable) -> None:
    with pytest.raises(prepare.NonFinite):
        bpb(Replaced(change), ids)


class NoMask(Causal):
    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs).mean(1, keepdim=True)


class NextToken(Causal):
    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs.roll(-1, 1))


class RowEndPeeksAtNextRow(Causal):
    """The target of a row's last position is the first token of the next row of the batch."""

    def forbidden(self, inputs: Tensor) -> Tensor:
        following = self.embedding(inputs[:, :1].roll(-1, 0))
        last = torch.arange(inputs.size(1), device=inputs.device) == inputs.size(1) - 1
        return following * last[:, None]


class NextBatchRow(Causal):
    """Every position of a row sees the row after it."""

    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs.roll(-1, 0)).mean(1, keepdim=True)


class LastInputOnly(Causal):
    """All positions see the last token of their row."""

    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs[:, -1:])


@pytest.mark.parametrize("peeking", [NoMask, NextToken, LastInputOnly])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_bpb_refuses_models_that_see_the_future(
    bpb: BPB, ids: np.ndarray, peeking: type[Causal], batch_size: int
) -> None:
    with pytest.raises(prepare.NonCausal):
        bpb(peeking(peek=3.0), ids, batch_size)


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_bpb_refuses_peeking_beside_large_logits(bpb: BPB, ids: np.ndarray, offset: float) -> None:
    class Shifted(NextToken):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs) + offset

    with pytest.raises(prepare.NonCausal):
        bpb(Shifted(peek=80.0), ids)


def test_bpb_refuses_peeking_beside_one_absurd_logit(bpb: BPB, ids: np.ndarray, tokenizer: prepare.Tokenizer) -> None:
    class Absurd(NextToken):
        def forward(self, inputs: Tensor) -> Tensor:
            bos = torch.arange(prepare.VOCAB_SIZE, device=inputs.device) == tokenizer.get_bos_token_id()
            return super().forward(inputs).masked_fill(bos, -1e6)

    with pytest.raises(prepare.NonCausal):
        bpb(Absurd(peek=3.0), ids)


@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_bpb_of_equal_logits_is_the_vocabulary_whatever_they_are(bpb: BPB, ids: np.ndarray, offset: float) -> None:
    plain = bpb(Replaced(lambda logits, inputs: logits * 0), ids)
    assert bpb(Replaced(lambda logits, inputs: logits * 0 + offset), ids) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("peeking", [RowEndPeeksAtNextRow, NextBatchRow])
@pytest.mark.parametrize("batch_size", [2, 3, 16])
def test_bpb_refuses_models_that_see_other_rows(
    bpb: BPB, ids: np.ndarray, peeking: type[Causal], batch_size: int
) -> None:
    with pytest.raises((prepare.NonCausal, prepare.Stateful)):
        bpb(peeking(peek=3.0), ids, batch_size)


class Counter(Causal):
    calls = 0

    def forbidden(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return self.embedding(inputs) * self.calls


class CachedBatch(Causal):
    """Mixes in the batch before."""

    cached: Tensor | None = None

    def forbidden(self, inputs: Tensor) -> Tensor:
        before = inputs if self.cached is None else self.cached
        self.cached = inputs
        return self.embedding(before)


@pytest.mark.parametrize("stateful", [Counter, CachedBatch])
def test_bpb_refuses_models_that_remember(bpb: BPB, ids: np.ndarray, stateful: type[Causal]) -> None:
    with pytest.raises(prepare.Stateful):
        bpb(stateful(peek=3.0), ids)


def test_bpb_allows_what_bfloat16_rounds_away(bpb: BPB, ids: np.ndarray) -> None:
    torch.manual_seed(0)
    bpb(Replaced(lambda logits, _: logits + 1e-4 * torch.randn_like(logits)), ids)
