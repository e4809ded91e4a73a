"""A small language model for parameter golf: the one file that an experiment edits, counted with its weights.

`uv run train_gpt.py`, or the same batches on several processes: `uv run torchrun --standalone --nproc-per-node=2
train_gpt.py`. score.py needs `build_model()` and the weights in `submission/weights.npz`, and nothing else.
"""

import json
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

# sizes; the baseline of the challenge has VOCAB_SIZE 1024, WIDTH 512, DEPTH 9, HEADS 8, ROW_TOKENS 1024, BATCH_ROWS 512
DATA = "data/datasets/stdlib_sp512/*_train_*.bin"
VOCAB_SIZE = 512
WIDTH = 96
DEPTH = 3
HEADS = 3
MLP_RATIO = 3
ROW_TOKENS = 128
BATCH_ROWS = 16  # of all processes together

# the learning rate, as a share of the budget
PEAK_LR = 6e-3
WARMUP_FRAC = 0.02
WARMDOWN_FRAC = 0.5
WEIGHT_DECAY = 0.1
BETAS = (0.9, 0.95)
LOG_STEPS = 20


class Block(nn.Module):
    """Attention and MLP, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, MLP_RATIO * WIDTH, bias=False)
        self.down = nn.Linear(MLP_RATIO * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:  # (B, T, C)
        q, k, v = self.qkv(norm(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)  # (B, H, T, C / H)
        y = F.scaled_dot_product_attention(rotate(norm(q), rotation), rotate(norm(k), rotation), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(norm(x))).square())


class Model(nn.Module):
    """A decoder whose embedding is its head as well."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.logit_scale = nn.Parameter(torch.ones(VOCAB_SIZE))
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            nn.init.zeros_(block.out.weight)
            nn.init.zeros_(block.down.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, T, vocabulary) of token numbers (B, T)."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=inputs.is_cuda):
            x, rotation = norm(self.embedding(inputs)), rotation_of(inputs.shape[1], inputs.device)
            for block in self.blocks:
                x = block(x, rotation)
            logits = F.linear(norm(x), self.embedding.weight) * self.logit_scale
        return logits.float()


def build_model() -> nn.Module:
    """The model whose weights are submitted, on the CPU; score.py fills them in."""
    return Model()


def norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],))


def rotation_of(length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine of rotary positions, each (T, C / H / 2)."""
    half = WIDTH // HEADS // 2
    rates = 10_000.0 ** (-torch.arange(half, device=device) / half)
    angles = torch.outer(torch.arange(length, device=device), rates)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    (cos, sin), (a, b) = rotation, x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


class Ranks:
    """The processes that train together; one alone unless torchrun started more."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.rank, self.count = int(variables.get("RANK", 0)), int(variables.get("WORLD_SIZE", 1))
        index = int(variables.get("LOCAL_RANK", 0))
        self.device = torch.device("cuda", index) if torch.cuda.is_available() else torch.device("cpu")
        if BATCH_ROWS % self.count:
            raise ValueError(f"BATCH_ROWS must divide among {self.count} processes but is {BATCH_ROWS}")
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.count > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def mean(self, *tensors: Tensor) -> None:
        """Put the mean over all processes into each."""
        if self.count > 1:
            flat = torch.cat([one.flatten() for one in tensors])
            dist.all_reduce(flat)
            for one, part in zip(tensors, (flat / self.count).split([one.numel() for one in tensors]), strict=True):
                one.copy_(part.view_as(one))

    def of_first(self, value: float) -> float:
        """What the first process says."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return float(told)


class Clock:
    """One clock for all processes, that of the first: progress from 0 to 1, by seconds or steps, whichever is ahead."""

    def __init__(self, ranks: Ranks, budget_s: float, max_steps: float) -> None:
        self.ranks, self.budget_s, self.max_steps, self.begun = ranks, budget_s, max_steps, time.monotonic()

    def progress(self, step: int) -> float:
        return self.ranks.of_first(min(1.0, max(self.seconds() / self.budget_s, step / self.max_steps)))

    def seconds(self) -> float:
        return time.monotonic() - self.begun


class Batches:
    """Rows at random places of all shards; each process gets its share of the same batch."""

    def __init__(self, pattern: str, ranks: Ranks, seed: int) -> None:
        paths = sorted(Path().glob(pattern))
        if not paths:
            raise FileNotFoundError(f"no training shards at {pattern}; see program.md")
        self.shards = [np.memmap(path, dtype="<u2", mode="r", offset=1024) for path in paths]  # behind the header
        self.ends, self.ranks, self.seed = np.cumsum([len(one) - ROW_TOKENS for one in self.shards]), ranks, seed

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets (B, T) of a step."""
        places = np.random.default_rng([self.seed, step]).integers(self.ends[-1], size=BATCH_ROWS)
        rows = [self._row(place) for place in places[self.ranks.rank :: self.ranks.count]]
        tokens = torch.from_numpy(np.stack(rows).astype(np.int64)).to(self.ranks.device)
        return tokens[:, :-1], tokens[:, 1:]

    def _row(self, place: int) -> np.ndarray:
        shard = int(np.searchsorted(self.ends, place, side="right"))
        begin = int(place - (self.ends[shard - 1] if shard else 0))
        return self.shards[shard][begin : begin + ROW_TOKENS + 1]


def lr_scale(progress: float) -> float:
    """Warm-up, then level, then down to 0."""
    return min(1.0, (progress + 1e-3) / WARMUP_FRAC, (1 - progress) / WARMDOWN_FRAC)


def step_once(model: nn.Module, ranks: Ranks, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradients of the whole batch; returns its loss."""
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    loss.backward()
    ranks.mean(*(one.grad for one in model.parameters() if one.grad is not None), told := loss.detach().clone())
    return told


def train(model: nn.Module, ranks: Ranks, batches: Batches, folder: Path) -> dict[str, float]:
    """Train until the budget is spent; returns what the summary says."""
    matrices = [one for one in model.parameters() if one.ndim > 1]
    others = [one for one in model.parameters() if one.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR, betas=BETAS)
    step_once(model, ranks, *batches.at(0))  # compiles and warms up; no update is made of it
    model.zero_grad(set_to_none=True)
    budget_s = float(os.environ.get("AUTORESEARCH_TIME_BUDGET") or 60)
    clock = Clock(ranks, budget_s, float(os.environ.get("AUTORESEARCH_MAX_STEPS") or "inf"))
    step = 0
    while (progress := clock.progress(step)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * lr_scale(progress)
        loss = step_once(model, ranks, *batches.at(step))
        optimizer.step()
        model.zero_grad(set_to_none=True)
        step += 1
        if ranks.rank == 0 and (step % LOG_STEPS == 0 or step < 10):
            tell(folder, step, progress, clock.seconds(), float(loss))
    seconds = clock.seconds()
    return {
        "training_seconds": seconds,
        "num_steps": step,
        "total_tokens_M": step * BATCH_ROWS * ROW_TOKENS / 1e6,
        "num_params_M": sum(one.numel() for one in model.parameters()) / 1e6,
    }


def tell(folder: Path, step: int, progress: float, seconds: float, loss: float) -> None:
    """One line of the log, one of progress.jsonl, and an end where nothing can come of it."""
    print(f"step {step} progress {progress:.3f} loss {loss:.6f}", flush=True)
    if not loss < 20:
        raise SystemExit(f"FAIL: loss is {loss} at step {step}")
    report = {"step": step, "progress": progress, "elapsed_s": seconds, "metrics": {"train_loss": loss}}
    with open(folder / "progress.jsonl", "a") as file:
        file.write(json.dumps(report) + "\n")


def main() -> None:
    """Train, save the weights, print the summary."""
    torch.manual_seed(seed := int(os.environ.get("AUTORESEARCH_SEED") or 42))
    folder = Path(os.environ.get("AUTORESEARCH_TRIAL_DIR") or "results/manual")
    (folder / "submission").mkdir(parents=True, exist_ok=True)
    ranks = Ranks(os.environ)
    model = build_model().to(ranks.device)
    told = train(model, ranks, Batches(DATA, ranks, seed), folder)
    if ranks.rank == 0:
        weights = {name: tensor.float().cpu().numpy() for name, tensor in model.state_dict().items()}
        np.savez(folder / "submission" / "weights.npz", **weights)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if ranks.device.type == "cuda":
            peak_mb = torch.cuda.max_memory_allocated() / 2**20
        print("---", *(f"{name}: {value:.6g}" for name, value in {**told, "peak_vram_mb": peak_mb}.items()), sep="\n")
    if ranks.count > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
