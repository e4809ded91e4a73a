"""Models that look ahead where they hope that nobody checks are refused; causal ones with any size of logits pass."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from models import Causal, Replaced
from torch import Tensor

import prepare

T = prepare.MAX_SEQ_LEN
ROWS = 64  # of a batch, as the referee asks for
BPB = Callable[..., float]
Where = Callable[[Tensor], Tensor]
"""From inputs (B, T) to the positions that look ahead, (B, T) bool."""


@pytest.fixture(scope="module")
def val(tokenizer: prepare.Tokenizer) -> np.ndarray:
    """Validation text, repeated until an evaluation has the rows of a real one: chance has to pick among them."""
    return np.resize(prepare.Tokens.load("val").ids, prepare.EVAL_TOKENS + 1)


class Peeking(Causal):
    """Adds to the logit of the next token, where the last position of a row has none."""

    def __init__(self, where: Where, gain: float = 20.0, offset: float = 0.0):
        super().__init__()
        self.where, self.gain, self.offset = where, gain, offset

    def forward(self, inputs: Tensor) -> Tensor:
        chosen = self.where(inputs).expand(inputs.shape).clone()
        chosen[:, -1] = False
        following = inputs.roll(-1, 1)[..., None]
        return super().forward(inputs).scatter_add(2, following, self.gain * chosen[..., None]) + self.offset


def everywhere(inputs: Tensor) -> Tensor:
    return torch.ones_like(inputs, dtype=torch.bool)


def beside_a_fixed_cut(inputs: Tensor) -> Tensor:
    """One position for each row of a batch is causal; where the row lies in the batch says which."""
    rows = torch.arange(len(inputs), device=inputs.device)
    cuts = T - 2 - rows * 37 % (T - 1)
    return torch.arange(T, device=inputs.device) != cuts[:, None]


def in_one_row_of_three(inputs: Tensor) -> Tensor:
    return inputs[:, :1] % 3 == 0


def in_one_place_of_eight(inputs: Tensor) -> Tensor:
    """Chosen by a hash of the tokens so far."""
    places = torch.arange(1, T + 1, device=inputs.device)
    hashes = ((inputs + 1) * places * 7919).cumsum(1) * 2654435761 % 2**32
    return hashes // 2**13 % 8 == 0


PEEKS = {
    "everywhere": Peeking(everywhere),
    "everywhere but at fixed cuts": Peeking(beside_a_fixed_cut),
    "in one row of three": Peeking(in_one_row_of_three),
    "in one place of eight": Peeking(in_one_place_of_eight),
    "a little": Peeking(everywhere, 0.5),
    "a little beside large logits": Peeking(everywhere, 0.5, 120.0),
}


@pytest.mark.parametrize("name", PEEKS)
def test_model_that_looks_ahead_is_refused(bpb: BPB, val: np.ndarray, name: str) -> None:
    with pytest.raises((prepare.NonCausal, prepare.Stateful)) as refused:
        bpb(PEEKS[name], val, ROWS)
    assert refused.type is prepare.NonCausal or name == "everywhere but at fixed cuts"


class Remembering(Peeking):
    """Repeats what it answered when it meets the same tokens up to a place again."""

    def __init__(self) -> None:
        super().__init__(everywhere)
        self.answers: dict[bytes, Tensor] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        logits = super().forward(inputs)
        for row, tokens in enumerate(inputs.cpu().numpy()):
            for place in range(T):
                logits[row, place] = self.answers.setdefault(tokens[: place + 1].tobytes(), logits[row, place].clone())
        return logits


def test_model_that_looks_ahead_and_remembers_its_answers_is_refused(bpb: BPB, val: np.ndarray) -> None:
    with pytest.raises(prepare.NonCausal, match="random tokens must not be known beforehand"):
        bpb(Remembering(), val, ROWS)


class MeanOfBatch(Causal):
    """Statistics over rows and time."""

    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs).mean((0, 1), keepdim=True).expand(*inputs.shape, -1)


class MeanOfPlace(Causal):
    """Statistics over the rows of a batch."""

    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs).mean(0, keepdim=True).expand(*inputs.shape, -1)


@pytest.mark.parametrize("model", [MeanOfBatch, MeanOfPlace])
def test_statistics_over_the_batch_are_refused(bpb: BPB, val: np.ndarray, model: type[Causal]) -> None:
    with pytest.raises((prepare.NonCausal, prepare.Stateful)):
        bpb(model(peek=3.0), val, ROWS)


def stretched(logits: Tensor) -> Tensor:
    """To a largest one of about 30."""
    return logits * 15


HONEST: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda logits: logits,
    "all logits moved": lambda logits: logits + 120.0,
    "large logits": stretched,
    "rounded": lambda logits: logits.bfloat16(),
    "large and rounded": lambda logits: stretched(logits).bfloat16(),
    "sure of itself": lambda logits: logits * 1000,
}


@pytest.mark.parametrize("name", HONEST)
def test_causal_model_passes_with_one_score_whatever_the_order(bpb: BPB, val: np.ndarray, name: str) -> None:
    scores = [bpb(Replaced(lambda logits, _: HONEST[name](logits)), val, ROWS) for _ in range(2)]
    assert max(scores) - min(scores) < 1e-6 * max(1.0, scores[0])
