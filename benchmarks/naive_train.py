"""The yardstick of cpu_baseline.py: what one gets by shrinking the GPU setting and leaving all else as it is.

Depth 4, width 256, heads of 128, 2**14 tokens per update, nothing compiled, Muon and AdamW at the GPU's rates.
Same data, tokens, clock and evaluation as train.py. Not tuned on purpose; do not improve it.
"""

import math
import time
from itertools import count

import torch
import torch.nn.functional as F
from torch import nn

import prepare
from prepare import DEVICE, MAX_SEQ_LEN, SEED, VOCAB_SIZE, Clock, Schedule, Tokenizer

DEPTH = 4
WIDTH = 256
HEAD_DIM = 128
BATCH_ROWS = 2**14 // MAX_SEQ_LEN
EMBEDDING_LR = 0.6
UNEMBEDDING_LR = 0.004
MATRIX_LR = 0.04
SCALAR_LR = 0.5
WEIGHT_DECAY = 0.2
WARMDOWN_RATIO = 0.5
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # one quintic, five times (Jordan et al. 2024)


def norm(x):
    """RMS norm without weights."""
    return F.rms_norm(x, (x.size(-1),))


def linear(fan_in, fan_out):
    """A matrix without bias."""
    return nn.Linear(fan_in, fan_out, bias=False)


class Block(nn.Module):
    """Attention and MLP; every second layer adds gated token embeddings to its values."""

    def __init__(self, layer):
        super().__init__()
        self.qkv, self.out = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
        self.up, self.down = linear(WIDTH, 4 * WIDTH), linear(4 * WIDTH, WIDTH)
        self.values = nn.Embedding(VOCAB_SIZE, WIDTH) if layer % 2 else None
        self.gate = linear(32, WIDTH // HEAD_DIM) if layer % 2 else None
        self.window = MAX_SEQ_LEN if layer == DEPTH - 1 else MAX_SEQ_LEN // 2

    def attend(self, x, tokens, cos, sin):
        """Rotary self-attention over `window` tokens, x (B, T, C)."""
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, -1, HEAD_DIM).unbind(2)  # (B, T, H, D)
        if self.values is not None and self.gate is not None:
            v = v + 2 * torch.sigmoid(self.gate(x[..., :32]))[..., None] * self.values(tokens).view_as(v)
        halves = [z.chunk(2, dim=-1) for z in (q, k)]
        q, k = (norm(torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)) for a, b in halves)
        past = torch.arange(T, device=x.device)[:, None] - torch.arange(T, device=x.device)
        mask = (past >= 0) & (past < self.window)
        q, k, v = (z.transpose(1, 2).to(v.dtype) for z in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(B, T, C))

    def forward(self, x, tokens, cos, sin):
        x = x + self.attend(norm(x), tokens, cos, sin)
        return x + self.down(F.relu(self.up(norm(x))).square())


class Naive(nn.Module):
    """The model of the GPU setting, shrunk."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self):
        super().__init__()
        self.config = {}
        self.embedding = nn.Embedding(VOCAB_SIZE, WIDTH)
        self.blocks = nn.ModuleList(Block(layer) for layer in range(DEPTH))
        self.head = linear(WIDTH, VOCAB_SIZE)
        self.residual_scales = nn.Parameter(torch.ones(DEPTH))
        self.x0_scales = nn.Parameter(torch.full((DEPTH,), 0.1))
        angle = torch.arange(MAX_SEQ_LEN)[:, None] * 10_000 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        self.register_buffer("cos", angle.cos()[:, None])
        self.register_buffer("sin", angle.sin()[:, None])
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.uniform_(weight, -((3 / WIDTH) ** 0.5), (3 / WIDTH) ** 0.5)
            if any(part in name for part in (".out.", ".down.", ".gate.")):
                nn.init.zeros_(weight)
        nn.init.normal_(self.embedding.weight)
        nn.init.normal_(self.head.weight, std=0.001)

    def forward(self, tokens):
        with torch.autocast(DEVICE.type, torch.bfloat16):
            x = x0 = norm(self.embedding(tokens))
            for layer, block in enumerate(self.blocks):
                x = self.residual_scales[layer] * x + self.x0_scales[layer] * x0
                x = block(x, tokens, self.cos[: tokens.size(1)], self.sin[: tokens.size(1)])
            return 15 * torch.tanh(self.head(norm(x)).float() / 15)


class MuonAdamW(torch.optim.Optimizer):
    """Muon one matrix at a time, AdamW for groups with `betas`."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state.update(first=torch.zeros_like(weight), second=torch.zeros_like(weight), step=0)
                state["step"] += 1
                (self.adamw if "betas" in group else self.muon)(weight, state, group)

    def adamw(self, weight, state, group):
        """Plain Adam: these groups have no decay."""
        beta1, beta2 = group["betas"]
        state["first"].lerp_(weight.grad, 1 - beta1)
        state["second"].lerp_(weight.grad.square(), 1 - beta2)
        size = (state["second"] / (1 - beta2 ** state["step"])).sqrt() + 1e-10
        weight.sub_(group["lr"] / (1 - beta1 ** state["step"]) * state["first"] / size)

    def muon(self, weight, state, group):
        """Momentum of .95, orthogonalised by five Newton-Schulz iterations; cautious decay."""
        state["first"].lerp_(weight.grad, 0.05)
        x = weight.grad.lerp(state["first"], 0.95).bfloat16()
        x = x.mT if x.size(0) > x.size(1) else x
        x = x / (x.norm() + 1e-7)
        a, b, c = NEWTON_SCHULZ
        for _ in range(5):
            gram = x @ x.mT
            x = a * x + (b * gram + c * gram @ gram) @ x
        update = (x.mT if weight.size(0) > weight.size(1) else x).float()
        decay = group["weight_decay"] * weight * (update * weight >= 0)
        weight.sub_(group["lr"] * max(1, weight.size(0) / weight.size(1)) ** 0.5 * (update + decay))


def build_optimizer(model):
    """Groups at the GPU's rates, AdamW's scaled by width as there."""
    per_width = (WIDTH / 768) ** -0.5
    matrices = [w for block in model.blocks for name, w in block.named_parameters() if "values" not in name]
    embeddings = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    adamw = {"betas": (0.8, 0.95)}
    groups = [
        {"params": embeddings, "lr": EMBEDDING_LR * per_width, **adamw},
        {"params": [model.head.weight], "lr": UNEMBEDDING_LR * per_width, **adamw},
        {"params": [model.residual_scales], "lr": SCALAR_LR * 0.01, **adamw},
        {"params": [model.x0_scales], "lr": SCALAR_LR, "betas": (0.96, 0.95)},
        {"params": matrices, "lr": MATRIX_LR},
    ]
    return MuonAdamW([{**group, "initial_lr": group["lr"]} for group in groups], {})


def main():
    """Train for the budget and print the summary's keys that the comparison reads."""
    torch.manual_seed(SEED)
    tokenizer = Tokenizer.from_directory()
    model = Naive().to(DEVICE)
    optimizer = build_optimizer(model)
    clock, schedule = Clock(model, optimizer), Schedule(decay=WARMDOWN_RATIO)
    loader = prepare.make_dataloader(tokenizer, BATCH_ROWS, MAX_SEQ_LEN, "train")
    clock.start()
    step_s = 0.0
    for step in count():
        if clock.done:
            break
        begun = time.perf_counter()
        progress = clock.progress(step_s)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule.lr_scale(progress)
            group["weight_decay"] = WEIGHT_DECAY * (1 - progress)
        inputs, targets, _ = next(loader)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"FAIL: loss {loss.item()} at step {step}")
        step_s = time.perf_counter() - begun
        if step % 10 == 0:
            print(f"step {step} | loss {loss.item():.4f} | {step_s:.2f} s", flush=True)
    training_s = clock.elapsed_s
    val_bpb = prepare.evaluate_bpb(model, tokenizer, 64)
    print(f"---\nval_bpb: {val_bpb:.6f}\ntraining_seconds: {training_s:.1f}\nnum_steps: {clock.num_steps}")
    print(f"total_tokens_M: {clock.num_steps * BATCH_ROWS * MAX_SEQ_LEN / 1e6:.3f}")


if __name__ == "__main__":
    main()
