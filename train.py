"""Train a small GPT for the fixed budget and print its validation score: the one file to edit.

The number printed is a measurement by hand; the score that counts is made by prepare.py from the submission.
Shapes: B rows, T tokens, C width, H heads, D width of a head, V vocabulary, W window, K matrices of one shape (M, N).
"""

import functools
import gc
import itertools
import math
import re
import resource
import statistics
import sys
import time
import timeit
from collections import deque
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

import prepare
from prepare import DEVICE, MAX_SEQ_LEN, SCALE, SEED, TIME_BUDGET, VOCAB_SIZE, Clock, Schedule, Tokenizer

# ---- Constants: the first block serves `gpu` (one H100 for five minutes), the other scales replace what differs

# Model
DEPTH = 9  # layers
ASPECT_RATIO = 56  # width = DEPTH * ASPECT_RATIO, rounded up to whole heads
HEAD_DIM = 128  # width of one attention head; range: none
MLP_RATIO = 4  # hidden width of the MLP, in widths
WINDOW_PATTERN = "SSSL"  # repeated over the layers: S short window, L full; the last layer is always L
SHORT_WINDOW_FRAC = 0.125  # short window, in rows; range: none
ROPE_BASE = 200_000  # longest rotary wavelength, in 2 pi tokens
QK_SCALE = 1.1  # sharpness of attention, on queries and on keys
LOGIT_CAP = 15.0  # logits lie in -cap..cap
VALUE_EMBEDDING_PERIOD = 2  # every n-th layer from the last mixes token embeddings into its values; 0: none does
COPY_ORDERS = 0  # for n up to this, embed the token that followed the last n tokens when they last occurred in the row
INIT_SCALE = 0.68  # standard deviation of the initial matrices, in width**-0.5
X0_INIT = 0.05  # how much of the first layer's input every layer receives, at the start

# Optimization
TOTAL_BATCH_SIZE = 2**18  # tokens per update; range: 131072..1048576
DEVICE_BATCH_SIZE = 64  # rows per forward pass; halved until it fits into the memory; range: none
EMBEDDING_LR = 0.8  # AdamW: all embeddings; for width 768, as the other AdamW rates
UNEMBEDDING_LR = 0.006  # AdamW: the matrix that makes the logits
MATRIX_LR = 0.04  # Muon: all other matrices
SCALAR_LR = 0.5  # AdamW: residual scalars
WEIGHT_DECAY = 0.2  # Muon, cautious, falling to zero over the budget
EMBEDDING_DECAY = 0.003  # AdamW, value embeddings only
ADAM_BETAS = (0.8, 0.95)
MUON_MOMENTUM = 0.95  # reached from MUON_MOMENTUM_START after MUON_MOMENTUM_RATIO of the budget
MUON_MOMENTUM_START = 0.85
MUON_MOMENTUM_RATIO = 0.3
MUON_BETA2 = 0.95  # of the second moments of orthogonalised rows
MUON_STEPS = 5  # iterations of the orthogonalisation: 3 or 5; range: none

# Schedule, in fractions of the budget
WARMUP_RATIO = 0.0  # range: 0..0.2
WARMDOWN_RATIO = 0.7  # range: 0.1..0.8
FINAL_LR_FRAC = 0.05  # of the peak, at the end

if SCALE == "cpu":
    DEPTH = 4
    ASPECT_RATIO = 48
    HEAD_DIM = 64  # range: none
    ROPE_BASE = 10_000
    COPY_ORDERS = 2
    TOTAL_BATCH_SIZE = 2**11  # range: 2048..8192
    DEVICE_BATCH_SIZE = 4  # range: none
    MUON_STEPS = 3  # range: none
elif SCALE == "tiny":
    DEPTH = 2
    ASPECT_RATIO = 32
    HEAD_DIM = 32  # range: none
    TOTAL_BATCH_SIZE = 2**10  # range: 1024..4096
    DEVICE_BATCH_SIZE = 16  # range: none
    MUON_STEPS = 3  # range: none

# Around the run
MAX_LOSS_RISE = 2.0  # nats above the lowest smoothed loss that count as an explosion; range: none
LOG_PERIOD_S = 10.0  # between lines in a file; a terminal has one live line; range: none

# ---- Hardware --------------------------------------------------------------------------------------------------------
# Dense bf16 (fp16 before Ampere) tensor TFLOP/s of the data sheets; the first name found in the device's name counts.
PEAK_TFLOPS = {
    "B300": 2500, "B200": 2250, "GH200": 989, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989,
    "H800": 989, "H20": 148, "A100": 312, "A800": 312, "A10G": 70, "A10": 125, "A30": 165, "A40": 150, "L40S": 362,
    "L40": 181, "L4": 121, "RTX 6000 Ada": 364, "RTX A6000": 155, "RTX 5090": 209, "RTX 5080": 113, "RTX 4090": 165,
    "RTX 4080": 97, "RTX 4070": 58, "RTX 3090": 71, "RTX 3080": 60, "RTX 2080": 42, "T4": 65,
}  # fmt: skip


def find_dtype() -> torch.dtype:
    """The type to multiply in: half the width where the hardware multiplies it, else fp32."""
    if DEVICE.type == "cuda":  # before Ampere only fp16 is fast; its small range is what LOSS_SCALE is for
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    if DEVICE.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return torch.bfloat16
    return torch.float32


COMPUTE_DTYPE = find_dtype()
# Gradients of fp16 vanish below 6e-8. Muon and AdamW divide by the size of the gradient, so that nobody has to unscale.
LOSS_SCALE = 4096.0 if COMPUTE_DTYPE is torch.float16 else 1.0


@functools.cache
def can_compile() -> bool:
    """Whether torch.compile works here, found out by trying; says so when it does not."""
    if SCALE == "tiny" or DEVICE.type == "mps":
        return False
    from torch._inductor import config, cpu_vec_isa

    reason = ""
    for config.cpp.vec_isa_ok in (True, None):  # None tries out every instruction set of the CPU: ten seconds more
        try:
            torch.compile(lambda x: x + 1)(torch.ones(64, device=DEVICE))
            return True
        except Exception as error:  # no compiler, one too old, no headers, no room: training works without
            reason = str(error).strip().partition("\n")[0]
            cpu_vec_isa.valid_vec_isa_list.cache_clear()
    print(f"notice: nothing is compiled, so training is slower: {reason}", flush=True)
    return False


def compiled(function):
    """`function` compiled where that is possible, for fixed shapes."""
    return torch.compile(function, dynamic=False) if can_compile() else function


def peak_flops() -> tuple[float, str]:
    """FLOP/s that the device multiplies at its best, and where the number is from."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "other"
    for part, tflops in PEAK_TFLOPS.items():
        if re.search(rf"\b{part}\b(?! (Ti|SUPER|Laptop|D)\b)", name):
            return tflops * 1e12, "data sheet"
    size = 4096 if DEVICE.type == "cuda" else 1024
    a = torch.randn(size, size, device=DEVICE).to(COMPUTE_DTYPE)
    seconds = min(timeit.repeat(lambda: (a @ a)[0, 0].item(), number=1, repeat=8))  # .item() waits for the device
    return 2 * size**3 / seconds, "measured"


def peak_memory_mb() -> float:
    """Most memory used so far: the allocator's on CUDA, the process's elsewhere."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


# ---- Attention: attend(q, k, v, window) maps (B, T, H, D) to itself; a token sees window tokens, itself the last
def attend_in_blocks(q, k, v, window):
    """Plain torch. Rows are cut into blocks of `window` queries, which see their own block and the one before."""
    B, T, H, D = q.shape
    if window >= T or T % window:
        position = torch.arange(T, device=q.device)
        distance = position[:, None] - position
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, H, T, D)
        return attend_where((distance >= 0) & (distance < window), q, k, v).transpose(1, 2)
    q, k, v = (x.view(B, T // window, window, H, D).transpose(2, 3) for x in (q, k, v))  # (B, T/W, H, W, D)
    k, v = (torch.cat((x.roll(1, dims=1), x), dim=3) for x in (k, v))  # (B, T/W, H, 2W, D)
    position = torch.arange(2 * window, device=q.device)
    distance = position[window:, None] - position
    has_past = torch.arange(T // window, device=q.device)[:, None, None, None] > 0
    mask = (distance >= 0) & (distance < window) & (has_past | (position >= window))
    return attend_where(mask, q, k, v).transpose(2, 3).reshape(B, T, H, D)


def attend_where(mask, q, k, v):
    """Softmax attention; on a CPU spelled out, which is faster than the library's kernel, compiled or not."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.size(-1) ** -0.5) @ k.mT
    if torch.compiler.is_compiling():
        return scores.float().masked_fill(~mask, -math.inf).softmax(-1).to(v.dtype) @ v
    bias = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, -math.inf)
    return scores.add_(bias).softmax(-1) @ v


def make_flex_attention(windows):
    """Block-sparse attention of torch, compiled, for CUDA devices without the FlashAttention kernel."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def make_mask(window):
        def band(b, h, i, j):
            return (i >= j) & (i - j < window)

        return create_block_mask(band, None, None, MAX_SEQ_LEN, MAX_SEQ_LEN, device=str(DEVICE))

    flex = torch.compile(flex_attention, dynamic=False)
    masks = {window: make_mask(window) for window in set(windows)}

    def attend(q, k, v, window):
        if not q.is_cuda or q.size(1) != MAX_SEQ_LEN:
            return attend_in_blocks(q, k, v, window)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return flex(q, k, v, block_mask=masks[window]).transpose(1, 2)

    return attend


def make_kernel_attention(kernel):
    """FlashAttention-3 from `kernels`."""

    def attend(q, k, v, window):
        if not q.is_cuda:
            return attend_in_blocks(q, k, v, window)
        out = kernel.flash_attn_func(q, k, v, causal=True, window_size=(window - 1, 0))
        return out[0] if isinstance(out, tuple) else out

    return attend


@functools.cache
def choose_attention(windows: tuple[int, ...]):
    """Pick the attention of this process by trying, since a kernel may load and not run: its name, and attend."""
    candidates: dict = {}
    if DEVICE.type == "cuda" and can_compile():
        kernel, name = prepare.attention_kernel()
        print(f"attention kernel: {name}")
        candidates = {name: functools.partial(make_kernel_attention, kernel)} if kernel else {}
        candidates["flex"] = functools.partial(make_flex_attention, windows)
    for name, make in candidates.items():
        trial = torch.randn(1, MAX_SEQ_LEN, 1, HEAD_DIM, device=DEVICE, dtype=COMPUTE_DTYPE, requires_grad=True)
        try:
            compiled(attend := make())(trial, trial, trial, windows[0]).sum().backward()
            return name, attend
        except Exception as error:  # whatever a binary or a compiler may raise
            print(f"notice: attention {name} does not run here: {str(error).strip().partition(chr(10))[0]}")
    return "torch, in blocks of a window", attend_in_blocks


# ---- Model -----------------------------------------------------------------------------------------------------------
def norm(x):
    """RMS norm without weights."""
    return F.rms_norm(x, (x.size(-1),))


def rotate(x, cos, sin):
    """Rotary embedding of x (B, T, H, D); the pairs lie half a head apart. cos, sin: (T, 1, D/2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class Linear(nn.Linear):
    """A matrix kept in fp32 and multiplied in the type of what comes in."""

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__(fan_in, fan_out, bias=False)

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype))


class Embedding(nn.Embedding):
    """A table kept in fp32 and read in COMPUTE_DTYPE."""

    def forward(self, tokens):
        return super().forward(tokens).to(COMPUTE_DTYPE)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys; some layers add token embeddings to their values."""

    def __init__(self, config: dict, layer: int):
        super().__init__()
        width, self.num_heads = config["width"], config["num_heads"]
        self.window, self.qk_scale = config["windows"][layer], config["qk_scale"]
        self.attend = choose_attention(tuple(config["windows"]))[1]
        self.query = Linear(width, width)
        self.key = Linear(width, width)
        self.value = Linear(width, width)
        self.output = Linear(width, width)
        mixes_tokens = layer in config["value_embedding_layers"]
        self.value_embedding = Embedding(config["vocab_size"], width) if mixes_tokens else None
        self.gate = Linear(min(32, width), self.num_heads) if mixes_tokens else None

    def forward(self, x, tokens, cos, sin):
        B, T, C = x.shape
        q, k, v = (project(x).view(B, T, self.num_heads, -1) for project in (self.query, self.key, self.value))
        if self.value_embedding is not None and self.gate is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., : self.gate.in_features]))  # (B, T, H), 1 at the start
            v = v + gate[..., None] * self.value_embedding(tokens).view_as(v)
        q, k = (norm(rotate(x, cos, sin)) * self.qk_scale for x in (q, k))
        return self.output(self.attend(q, k, v, self.window).reshape(B, T, C))


class MLP(nn.Module):
    """Two matrices around a squared ReLU."""

    def __init__(self, config: dict):
        super().__init__()
        self.up = Linear(config["width"], config["mlp_width"])
        self.down = Linear(config["mlp_width"], config["width"])

    def forward(self, x):
        return self.down(F.relu(self.up(x)).square())


def find_follower(tokens, order: int):
    """What followed the last `order` tokens when they last occurred in the row (B, T), and whether they did (B, T)."""
    position = torch.arange(tokens.size(1), device=tokens.device)
    same = match = tokens[:, :, None] == tokens[:, None, :]  # (B, T now, T then)
    for _ in range(order - 1):
        same = F.pad(same, (1, 0, 1, 0))[:, :-1, :-1]
        match = match & same
    after = torch.where(match & (position[:, None] > position), position + 1, 0).amax(-1)
    return tokens.gather(1, after), after > 0


class GPT(nn.Module):
    """Tokens (B, T) int64 -> logits (B, T, V), causal."""

    rotation: torch.Tensor

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        depth, width, vocab_size = config["depth"], config["width"], config["vocab_size"]
        self.embedding = Embedding(vocab_size, width)
        self.copy_embeddings = nn.ModuleList(Embedding(vocab_size, width) for _ in range(config["copy_orders"]))
        self.attentions = nn.ModuleList(Attention(config, layer) for layer in range(depth))
        self.mlps = nn.ModuleList(MLP(config) for _ in range(depth))
        self.residual_scales = nn.ParameterList(torch.ones(()) for _ in range(depth))  # as a vector, each compiles anew
        self.x0_scales = nn.ParameterList(torch.zeros(()) for _ in range(depth))
        self.unembedding = Linear(width, vocab_size)
        head_dim = width // config["num_heads"]
        frequency = config["rope_base"] ** (-torch.arange(0, head_dim, 2) / head_dim)
        angle = torch.arange(config["sequence_len"])[:, None, None] * frequency  # (T, 1, D/2)
        rotation = torch.stack((angle.cos(), angle.sin())).to(COMPUTE_DTYPE)
        self.register_buffer("rotation", rotation, persistent=False)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for order, embedding in enumerate(self.copy_embeddings, start=1):
            follower, found = find_follower(tokens, order)
            x = x + found[..., None] * embedding(follower)
        x = x0 = norm(x)
        cos, sin = self.rotation[:, : tokens.size(1)]
        layers = zip(self.residual_scales, self.x0_scales, self.attentions, self.mlps, strict=True)
        for residual_scale, x0_scale, attention, mlp in layers:
            x = residual_scale.to(x.dtype) * x + x0_scale.to(x.dtype) * x0
            x = x + attention(norm(x), tokens, cos, sin)
            x = x + mlp(norm(x))
        cap = self.config["logit_cap"]
        return cap * torch.tanh(self.unembedding(norm(x) / cap))

    @torch.no_grad()
    def initialize(self):
        """Draw the weights. What is added to the residual stream starts at zero, so that depth costs nothing."""
        bound = INIT_SCALE * (3 / self.config["width"]) ** 0.5
        for name, weight in self.named_parameters():
            if name.endswith(("output.weight", "down.weight", "gate.weight")) or "copy_embeddings" in name:
                weight.zero_()
            elif name == "embedding.weight":
                weight.normal_()
            elif name == "unembedding.weight":
                weight.normal_(std=0.001)
            elif weight.ndim == 2:
                weight.uniform_(-bound, bound)
            else:
                weight.fill_(X0_INIT if "x0_scales" in name else 1.0)

    def flops_per_token(self) -> int:
        """Multiplications and additions of forward and backward, embeddings left out."""
        matrices = sum(module.weight.numel() for module in self.modules() if isinstance(module, Linear))
        return 6 * matrices + 12 * self.config["width"] * sum(self.config["windows"])


def make_config() -> dict:
    """The constants that shape the model, as the plain dictionary from which build_model makes it again."""
    num_heads = math.ceil(DEPTH * ASPECT_RATIO / HEAD_DIM)
    spans = {"S": max(1, int(MAX_SEQ_LEN * SHORT_WINDOW_FRAC)), "L": MAX_SEQ_LEN}
    windows = [spans[WINDOW_PATTERN[layer % len(WINDOW_PATTERN)]] for layer in range(DEPTH - 1)] + [spans["L"]]
    return {
        "vocab_size": VOCAB_SIZE,
        "sequence_len": MAX_SEQ_LEN,
        "depth": DEPTH,
        "width": num_heads * HEAD_DIM,
        "num_heads": num_heads,
        "mlp_width": MLP_RATIO * num_heads * HEAD_DIM,
        "windows": windows,
        "value_embedding_layers": [*range(DEPTH - 1, -1, -VALUE_EMBEDDING_PERIOD)] if VALUE_EMBEDDING_PERIOD else [],
        "copy_orders": COPY_ORDERS,
        "rope_base": ROPE_BASE,
        "qk_scale": QK_SCALE,
        "logit_cap": LOGIT_CAP,
    }


def build_model(config: dict) -> GPT:
    """Make the model that `config` describes, on the CPU; its weights are to be initialized or loaded."""
    return GPT(config)


# ---- Optimizer -------------------------------------------------------------------------------------------------------
# Odd quintics a x + b x^3 + c x^5 that bring singular values to 1: in turn, each the best in the largest error for the
# interval that the one before leaves, from [.03, 1] for three and [.001, 1] for five (the Polar Express, Amsel et al.
# 2025, computed anew with the Remez algorithm). Fewer are cheaper and leave small singular values smaller. After the
# first, five are stretched by 1%: else rounding to bf16 leaves their intervals, and singular values grow past 1000.
POLAR_EXPRESS = {
    3: ((7.3625, -20.7434, 15.1606), (2.9175, -2.1824, 0.4755), (2.0463, -1.4295, 0.3934)),
    5: ((8.4703, -25.1081, 18.6293), (4.1414, -3.0173, 0.5524), (3.9227, -2.8672, 0.5357),
        (3.2541, -2.3922, 0.4828), (2.2512, -1.5963, 0.3960)),
}  # fmt: skip


def orthogonalize(x):
    """Bring the singular values of every matrix in x (K, M, N) close to 1."""
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = (x / (1.02 * x.norm(dim=(-2, -1), keepdim=True) + 1e-10)).to(COMPUTE_DTYPE)
    for a, b, c in POLAR_EXPRESS[MUON_STEPS]:
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    x = x.float()
    return x.mT if tall else x


def update_muon(weights, gradients, momenta, moments, rates):
    """Muon (Jordan et al. 2024) on matrices of one shape, with second moments per slice (NorMuon, Li et al. 2025)."""
    lr, momentum, weight_decay = rates
    weight, gradient = torch.stack(weights), torch.stack(gradients)  # (K, M, N)
    momenta.lerp_(gradient, 1 - momentum)
    update = orthogonalize(gradient.lerp(momenta, momentum))
    size = update.norm(dim=(-2, -1), keepdim=True)
    moments.lerp_(update.square().mean(-1 if moments.size(-1) == 1 else -2, keepdim=True), 1 - MUON_BETA2)
    update = update * moments.clamp_min(1e-10).rsqrt()
    update = update * (size / update.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10))  # only the direction changes
    decay = weight_decay * weight * (update * weight >= 0)  # cautious: not where the update makes the weight grow
    weight = weight - lr * max(1, weight.size(-2) / weight.size(-1)) ** 0.5 * (update + decay)
    for target, value in zip(weights, weight.unbind(), strict=True):
        target.copy_(value)


def update_adamw(weights, gradients, averages, squares, rates):
    """AdamW (Loshchilov and Hutter 2019)."""
    lr, beta1, beta2, weight_decay, step = rates
    for weight, gradient, average, square in zip(weights, gradients, averages, squares, strict=True):
        average.lerp_(gradient, 1 - beta1)
        square.lerp_(gradient.square(), 1 - beta2)
        size = (square / (1 - beta2**step)).sqrt() + 1e-10
        weight.mul_(1 - lr * weight_decay).sub_(lr / (1 - beta1**step) * average / size)


def update_all(muon: list, adamw: list):
    """All of one step, so that it compiles into a single graph."""
    for tensors in muon:
        update_muon(*tensors)
    for tensors in adamw:
        update_adamw(*tensors)


class MuonAdamW(torch.optim.Optimizer):
    """Muon for groups that carry `momentum` (matrices of one shape), AdamW for groups that carry `betas`."""

    def __init__(self, groups: list[dict]):
        super().__init__([{**group, "initial_lr": group["lr"], "step": 0} for group in groups], {})
        is_compiled = DEVICE.type == "cuda" and can_compile()  # on a CPU not worth the wait
        self.update_all = compiled(update_all) if is_compiled else update_all
        self.as_rate = torch.tensor if is_compiled else float  # a graph would be compiled anew for every number
        for group in self.param_groups:
            weights = group["params"]
            if "momentum" in group:
                M, N = weights[0].shape
                moments = (M, 1) if M >= N else (1, N)  # one per slice of the long side: only these can differ
                zeros = functools.partial(weights[0].new_zeros, len(weights))
                self.state[weights[0]] = {"momentum": zeros(M, N), "moments": zeros(*moments)}
            else:
                for weight in weights:
                    self.state[weight] = {"average": torch.zeros_like(weight), "square": torch.zeros_like(weight)}

    @torch.no_grad()
    def step(self, closure=None):
        muon: list[tuple] = []
        adamw: list[tuple] = []
        for group in self.param_groups:
            group["step"] += 1
            weights = group["params"]
            gradients = [weight.grad for weight in weights]
            states = [self.state[weight] for weight in weights]
            if "momentum" in group:
                rates = (group["lr"], group["momentum"], group["weight_decay"])
                work, state = muon, (states[0]["momentum"], states[0]["moments"])
            else:
                rates = (group["lr"], *group["betas"], group["weight_decay"], group["step"])
                work, state = adamw, ([each["average"] for each in states], [each["square"] for each in states])
            work.append((weights, gradients, *state, [self.as_rate(float(rate)) for rate in rates]))
        self.update_all(muon, adamw)


def build_optimizer(model: GPT) -> MuonAdamW:
    """Sort the parameters of `model` into groups; AdamW's rates go with the root of the width."""
    per_width = (model.config["width"] / 768) ** -0.5
    embeddings, value_embeddings = [], []
    matrices: dict[torch.Size, list] = {}
    for name, weight in model.named_parameters():
        if "value_embedding" in name:
            value_embeddings.append(weight)
        elif name == "embedding.weight" or "copy_embeddings" in name:
            embeddings.append(weight)
        elif weight.ndim == 2 and name != "unembedding.weight":
            matrices.setdefault(weight.shape, []).append(weight)

    def adamw(weights, lr, betas=ADAM_BETAS, weight_decay=0.0):
        return {"params": weights, "lr": lr, "betas": betas, "weight_decay": weight_decay}

    groups = [
        adamw(embeddings, EMBEDDING_LR * per_width),
        adamw(value_embeddings, EMBEDDING_LR * per_width, weight_decay=EMBEDDING_DECAY),
        adamw([model.unembedding.weight], UNEMBEDDING_LR * per_width),
        adamw([*model.residual_scales], SCALAR_LR * 0.01),  # these multiply at every layer
        adamw([*model.x0_scales], SCALAR_LR, betas=(0.96, 0.95)),
    ]
    for weights in matrices.values():
        groups.append({"params": weights, "lr": MATRIX_LR, "momentum": MUON_MOMENTUM, "weight_decay": WEIGHT_DECAY})
    return MuonAdamW(groups)


def set_rates(optimizer: MuonAdamW, lr_scale: float, progress: float) -> None:
    """Set what changes over the budget, from `progress` alone."""
    risen = min(1.0, progress / MUON_MOMENTUM_RATIO) if MUON_MOMENTUM_RATIO else 1.0
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr_scale
        if "momentum" in group:
            group["momentum"] = MUON_MOMENTUM_START + (MUON_MOMENTUM - MUON_MOMENTUM_START) * risen
            group["weight_decay"] = WEIGHT_DECAY * (1 - progress)


# ---- Training --------------------------------------------------------------------------------------------------------
class Watch:
    """Follows the loss and the pace: prints them, and ends the process when the loss is lost."""

    def __init__(self, peak: float, flops_per_token: int):
        self.peak, self.flops_per_token = peak, flops_per_token
        self.recent_s: deque[float] = deque(maxlen=16)
        self.smooth = self.lowest = math.inf
        self.shown_s = 0.0

    @property
    def step_s(self) -> float:
        """What the next update will probably take, in seconds."""
        return statistics.median(self.recent_s or [0.0])

    def mfu_percent(self, tokens: float, seconds: float) -> float:
        """The model's own arithmetic, of the peak."""
        return 100 * self.flops_per_token * tokens / seconds / self.peak

    def see(self, step: int, loss: float, step_s: float) -> None:
        """Take note of an update; end the process when its loss is not finite, or far above what has been reached."""
        self.recent_s.append(step_s)
        self.smooth = loss if math.isinf(self.smooth) else 0.9 * self.smooth + 0.1 * loss
        if not math.isfinite(loss) or self.smooth > self.lowest + MAX_LOSS_RISE:
            sys.exit(f"FAIL: loss {loss:.4f} at step {step}; the lowest, smoothed, was {self.lowest:.4f} nats")
        self.lowest = min(self.lowest, self.smooth)

    def show(self, step: int, progress: float, elapsed_s: float, epoch: int) -> None:
        """One live line on a terminal; elsewhere the first ten updates, then a line every LOG_PERIOD_S."""
        live = sys.stdout.isatty()
        if step >= 10 and progress < 1 and elapsed_s - self.shown_s < (0.1 if live else LOG_PERIOD_S):
            return
        self.shown_s = elapsed_s
        pace = TOTAL_BATCH_SIZE / self.step_s
        print(
            f"step {step:05d} | {100 * progress:5.1f}% | loss {self.smooth:.4f} | {1000 * self.step_s:.0f} ms | "
            f"{pace:,.0f} tok/s | mfu {self.mfu_percent(pace, 1):.1f}% | epoch {epoch} | {elapsed_s:.0f} s",
            end="    \r" if live and progress < 1 else "\n",
            flush=True,
        )


def loss_of(model, inputs, targets):
    """Mean cross entropy in nats."""
    return F.cross_entropy(model(inputs).flatten(0, 1).float(), targets.flatten())


def backward(loss_fn, model: nn.Module, batches: Iterable, num_batches: int) -> tuple[torch.Tensor, int]:
    """Accumulate the gradient of the mean loss over `batches` of (inputs, targets, epoch); that mean and the epoch."""
    total, last_epoch = torch.zeros((), device=DEVICE), 0
    for inputs, targets, last_epoch in batches:  # noqa: B007
        loss = loss_fn(model, inputs, targets)
        (loss * (LOSS_SCALE / num_batches)).backward()
        total += loss.detach() / num_batches
    return total, last_epoch


def count_batches(rows: int) -> int:
    """Forward passes of one update."""
    if TOTAL_BATCH_SIZE % (rows * MAX_SEQ_LEN):
        needed = f"a multiple of DEVICE_BATCH_SIZE * MAX_SEQ_LEN = {rows} * {MAX_SEQ_LEN}"
        sys.exit(f"TOTAL_BATCH_SIZE must be {needed} but got {TOTAL_BATCH_SIZE}; change it in train.py")
    return TOTAL_BATCH_SIZE // (rows * MAX_SEQ_LEN)


def warm_up(loss_fn, model: GPT, optimizer: MuonAdamW, clock: Clock) -> int:
    """Compile, on random tokens, and find out how many rows per forward pass fit into the memory."""
    rows = DEVICE_BATCH_SIZE
    while True:
        num_batches = count_batches(rows)
        try:
            with clock.warmup():
                for _ in range(2):  # the first may settle on something that the second compiles anew
                    inputs, targets = torch.randint(VOCAB_SIZE, (2, rows, MAX_SEQ_LEN), device=DEVICE).unbind()
                    backward(loss_fn, model, [(inputs, targets, 0)] * num_batches, num_batches)[0].item()
                    optimizer.step()
                    optimizer.zero_grad()
            return rows
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        rows //= 2
        torch.cuda.empty_cache()
        print(f"notice: out of memory, so DEVICE_BATCH_SIZE is {rows} in this run", flush=True)


def train(loss_fn, loader, clock: Clock, watch: Watch, plan: Schedule) -> None:
    """Train the clock's model until the clock is done."""
    model, optimizer = clock.model, clock.optimizer
    state = {"model": model, "optimizer": optimizer, "loader": loader, "clock": clock}
    step = prepare.load_checkpoint(prepare.RESUME, **state) if prepare.RESUME else 0
    num_batches = count_batches(loader.B)
    metrics: dict[str, float] = {}
    gc.collect()
    gc.disable()  # a collection takes longer than a step of a small model
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # what was tried before counts for nothing
    clock.start()
    while not clock.done:
        begun = time.perf_counter()
        control = prepare.emit_progress(step=step, step_target=prepare.MAX_STEPS, metrics=metrics)
        progress = clock.progress(watch.step_s)
        set_rates(optimizer, (control.schedule or plan).lr_scale(progress) * control.lr_scale, progress)
        loss, epoch = backward(loss_fn, model, itertools.islice(loader, num_batches), num_batches)
        gradient = nn.utils.get_total_norm(weight.grad for weight in model.parameters() if weight.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
        train_loss, grad_norm = torch.stack((loss, gradient / LOSS_SCALE)).tolist()  # waits for the device
        metrics = {"train_loss": train_loss, "grad_norm": grad_norm}
        watch.see(step, train_loss, time.perf_counter() - begun)
        watch.show(step, progress, clock.elapsed_s, epoch)
        step += 1
        if prepare.CHECKPOINT_STEPS and step % prepare.CHECKPOINT_STEPS == 0:
            prepare.save_checkpoint(step, **state)
    gc.enable()


def main() -> None:
    """Build, train, evaluate, report."""
    begun = time.perf_counter()
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    if DEVICE.type == "cpu":  # the same seed gives the same losses, at no cost here
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    plan = Schedule(warmup=WARMUP_RATIO, decay=WARMDOWN_RATIO, final=FINAL_LR_FRAC)
    tokenizer = Tokenizer.from_directory()
    model = build_model(make_config())
    model.initialize()
    model.to(DEVICE)
    optimizer = build_optimizer(model)
    clock = Clock(model, optimizer)
    attention, _ = choose_attention(tuple(model.config["windows"]))
    peak, peak_source = peak_flops()
    num_params = sum(weight.numel() for weight in model.parameters())
    print(f"model: {num_params / 1e6:.2f}M parameters, {model.flops_per_token() / 1e6:.1f} MFLOP/token, {model.config}")
    print(f"device: {DEVICE}, {COMPUTE_DTYPE}, {peak / 1e12:.2f} TFLOP/s ({peak_source}); attention: {attention}")

    loss_fn = compiled(loss_of)
    rows = warm_up(loss_fn, model, optimizer, clock)
    loader = prepare.make_dataloader(tokenizer, rows, MAX_SEQ_LEN, "train")
    watch = Watch(peak, model.flops_per_token())
    print(f"start: {time.perf_counter() - begun:.1f} s before the budget of {TIME_BUDGET} s", flush=True)
    train(loss_fn, loader, clock, watch, plan)
    training_s, tokens = clock.elapsed_s, clock.num_steps * TOTAL_BATCH_SIZE
    val_bpb = prepare.evaluate_bpb(model, tokenizer, rows)
    summary = {
        "val_bpb": f"{val_bpb:.6f}",
        "training_seconds": f"{training_s:.1f}",
        "total_seconds": f"{time.perf_counter() - begun:.1f}",
        "peak_vram_mb": f"{peak_memory_mb():.1f}",
        "mfu_percent": f"{watch.mfu_percent(tokens, training_s):.2f}",
        "total_tokens_M": f"{tokens / 1e6:.3f}",
        "num_steps": clock.num_steps,
        "num_params_M": f"{num_params / 1e6:.3f}",
        "depth": DEPTH,
        **prepare.run_identity(),
        "attention": attention,
        "dtype": COMPUTE_DTYPE,
        "compiled": can_compile(),
        **clock.report(),
    }
    print("---")
    for key, value in summary.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
