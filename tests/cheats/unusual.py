"""A train.py with honest models that are unlike the usual one; `kind` in the config names which."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import prepare
from prepare import Clock

WIDTH = 16
KIND = "fp32"


class Base(nn.Module):
    """Embeddings, one causal layer, logits. (B, T) -> (B, T, V)."""

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(prepare.VOCAB_SIZE, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.head = nn.Linear(WIDTH, prepare.VOCAB_SIZE, bias=False)

    def attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = (layer(x)[:, None] for layer in (self.query, self.key, self.value))
        return x + F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None)[:, 0]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.attend(self.embedding(inputs)))


class MixtureOfExperts(Base):
    """Each token goes to the two experts that it chooses itself."""

    def __init__(self, config: dict):
        super().__init__(config)
        self.router = nn.Linear(WIDTH, 4)
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.attend(self.embedding(inputs))
        weights, chosen = self.router(x).softmax(-1).topk(2)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            share = (weights * (chosen == index)).sum(-1, keepdim=True)
            mixed = mixed + share * expert(x)
        return self.head(x + mixed)


class SlidingWindow(Base):
    """Attention to the last eight tokens."""

    def forward(self, inputs: Tensor) -> Tensor:
        ages = torch.arange(inputs.size(1))[:, None] - torch.arange(inputs.size(1))
        mask = ((ages >= 0) & (ages < 8)).to(inputs.device)
        return self.head(self.attend(self.embedding(inputs), mask))


class TiedWeights(Base):
    """The embedding is the head."""

    def __init__(self, config: dict):
        super().__init__(config)
        self.head.weight = self.embedding.weight


class AveragedWeights(Base):
    """Scored with a running average of its weights, which it carries in buffers."""

    average: Tensor

    def __init__(self, config: dict):
        super().__init__(config)
        self.register_buffer("average", torch.randn(prepare.VOCAB_SIZE, WIDTH))

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.attend(self.embedding(inputs))
        return self.head(x) if self.training else F.linear(x, self.average)


class SeveralTokens(Base):
    """Heads for the next three tokens; only the first answers."""

    def __init__(self, config: dict):
        super().__init__(config)
        self.further = nn.ModuleList(nn.Linear(WIDTH, prepare.VOCAB_SIZE) for _ in range(2))

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.attend(self.embedding(inputs))
        heads = torch.stack([self.head(x), *(head(x) for head in self.further)])
        return heads[0]


class ByteLevel(Base):
    """Tokens are embedded by their bytes, of which the submission carries the table."""

    bytes: Tensor

    def __init__(self, config: dict):
        super().__init__(config)
        self.register_buffer("bytes", torch.randint(256, (prepare.VOCAB_SIZE, 4)))
        self.of_bytes = nn.Embedding(256, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.attend(self.of_bytes(self.bytes[inputs]).sum(2)))


class HalfWidth(Base):
    """Logits in bfloat16, made under autocast."""

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return super().forward(inputs)


class Recurrent(Base):
    """A GRU."""

    def __init__(self, config: dict):
        super().__init__(config)
        self.cell = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.cell(self.embedding(inputs))[0])


MODELS = {
    "mixture of experts by token choice": MixtureOfExperts,
    "sliding window": SlidingWindow,
    "tied weights": TiedWeights,
    "averaged weights": AveragedWeights,
    "heads for several tokens": SeveralTokens,
    "byte level": ByteLevel,
    "fp32": Base,
    "bfloat16": HalfWidth,
    "recurrent": Recurrent,
}


def build_model(config: dict) -> nn.Module:
    return MODELS[config["kind"]](config)


def main() -> None:
    torch.manual_seed(prepare.SEED)
    tokenizer = prepare.Tokenizer.from_directory()
    model = build_model({"kind": KIND}).to(prepare.DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    clock = Clock(model, optimizer)
    loader = prepare.make_dataloader(tokenizer, 4, 32, "train")
    clock.start()
    while not clock.done:
        inputs, targets, _ = next(loader)
        F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    val_bpb = prepare.evaluate_bpb(model, tokenizer, 16)
    print(f"---\nval_bpb: {val_bpb}\ntraining_seconds: {clock.elapsed_s}\nnum_steps: {clock.num_steps}")


if __name__ == "__main__":
    main()
