"""Models of a few lines for the evaluation: causal, and causal but for one change."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import prepare

V = prepare.VOCAB_SIZE


class Causal(nn.Module):
    """Random weights; logits from the tokens so far, and `peek` times something that must not be used."""

    def __init__(self, peek: float = 0.0):
        super().__init__()
        torch.manual_seed(3)
        self.embedding, self.head, self.peek = nn.Embedding(V, 8), nn.Linear(8, V), peek

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.embedding(inputs)
        x = x + x.cumsum(1) / torch.arange(1, inputs.size(1) + 1, device=x.device)[:, None]
        return self.head(torch.tanh(x + self.peek * self.forbidden(inputs)))

    def forbidden(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs) * 0


class Replaced(Causal):
    """A causal model whose answer is changed by a function of logits and inputs."""

    def __init__(self, change: Callable[[Tensor, Tensor], object]):
        super().__init__()
        self.change = change

    def forward(self, inputs: Tensor) -> Tensor:
        return self.change(super().forward(inputs), inputs)  # type: ignore[return-value]
