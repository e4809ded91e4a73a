"""A small transformer, trained by a script that begins at its first line: the way experiments used to be written."""

import math
import time
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from prepare import MAX_SEQ_LEN, TIME_BUDGET, Tokenizer, evaluate_bpb, make_dataloader

DEPTH = 2
WIDTH = 64
HEADS = 2
LEARNING_RATE = 3e-3
WARMDOWN_RATIO = 0.5
TOTAL_BATCH_SIZE = 16 * MAX_SEQ_LEN
DEVICE_BATCH_SIZE = 8


@dataclass
class GPTConfig:
    sequence_len: int = MAX_SEQ_LEN
    vocab_size: int = 512
    n_layer: int = DEPTH
    n_head: int = HEADS
    n_embd: int = WIDTH


class Block(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        parts = self.qkv(F.rms_norm(x, (C,))).view(B, T, 3, self.n_head, C // self.n_head)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.relu(self.up(F.rms_norm(x, (C,)))).square())


class GPT(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.sequence_len, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, idx, targets=None, reduction="mean"):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))
        for block in self.blocks:
            x = block(x)
        logits = self.lm_head(F.rms_norm(x, (x.size(-1),))).float()
        logits = 15 * torch.tanh(logits / 15)
        if targets is None:
            return logits
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1, reduction=reduction)


t_start = time.time()
torch.manual_seed(42)
device = torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")

tokenizer = Tokenizer.from_directory()
vocab_size = tokenizer.get_vocab_size()
print(f"vocabulary: {vocab_size:,}")

model = GPT(GPTConfig(vocab_size=vocab_size)).to(device)
num_params = sum(p.numel() for p in model.parameters())
optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
for group in optimizer.param_groups:
    group["initial_lr"] = group["lr"]

assert TOTAL_BATCH_SIZE % (DEVICE_BATCH_SIZE * MAX_SEQ_LEN) == 0
grad_accum_steps = TOTAL_BATCH_SIZE // (DEVICE_BATCH_SIZE * MAX_SEQ_LEN)
train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
x, y, epoch = next(train_loader)

step, total_training_time, smooth_loss = 0, 0.0, 0.0
while True:
    t0 = time.time()
    train_loss = 0.0
    for _ in range(grad_accum_steps):
        loss = model(x, y, reduction="none").mean()
        train_loss += loss.item() / grad_accum_steps
        (loss / grad_accum_steps).backward()
        x, y, epoch = next(train_loader)
    progress = min(total_training_time / TIME_BUDGET, 1.0)
    multiplier = min(1.0, (1.0 - progress) / WARMDOWN_RATIO)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * multiplier
    optimizer.step()
    model.zero_grad(set_to_none=True)
    if math.isnan(train_loss) or train_loss > 100:
        print("FAIL")
        raise SystemExit(1)
    smooth_loss = 0.9 * smooth_loss + 0.1 * train_loss
    step += 1
    total_training_time += time.time() - t0
    if step % 50 == 0:
        debiased = smooth_loss / (1 - 0.9**step)
        print(f"step {step:05d} ({100 * progress:.1f}%) | loss {debiased:.4f} | epoch {epoch}", flush=True)
    if total_training_time >= TIME_BUDGET:
        break

model.eval()
val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)

print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {total_training_time:.1f}")
print(f"total_seconds:    {time.time() - t_start:.1f}")
print(f"total_tokens_M:   {step * TOTAL_BATCH_SIZE / 1e6:.1f}")
print(f"num_steps:        {step}")
print(f"num_params_M:     {num_params / 1e6:.1f}")
print(f"depth:            {DEPTH}")
