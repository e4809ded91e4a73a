"""bits_per_byte against a brute-force reference: every token once, one shape, little memory."""

import math
from collections.abc import Callable
from pathlib import Path

import launcher
import numpy as np
import pytest
import torch
from conftest import TEXTS
from models import Causal, Replaced, V
from torch import Tensor, nn

import prepare

T = prepare.MAX_SEQ_LEN
BPB = Callable[..., float]


class Uniform(nn.Module):
    """Every token is as likely as any other; remembers the inputs it saw and whether it was in training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(inputs.cpu())
        self.modes.append((self.training, torch.is_grad_enabled()))
        return torch.zeros(*inputs.shape, V, device=inputs.device)


def test_bpb_equals_the_sum_over_single_tokens(tokenizer: prepare.Tokenizer, ids: np.ndarray, bpb: BPB) -> None:
    model, nats, num_bytes = Causal().double(), 0.0, 0
    for index in range(1, len(ids)):  # one forward pass for each token, from the tokens before it in its row
        if ids[index] >= 508:
            continue
        row = (index - 1) // T * T
        logits = model(torch.from_numpy(ids[row:index].astype(np.int64))[None])[0, -1]
        nats -= logits.log_softmax(-1)[int(ids[index])].item()
        num_bytes += len(tokenizer.merges[ids[index]])
    assert bpb(model.float(), ids) == pytest.approx(nats / math.log(2) / num_bytes, rel=1e-5)


class Table(nn.Module):
    """Logits from a table by the place and by the first token of the row: the losses of all targets differ."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.places, self.firsts = (nn.Parameter(torch.randn(size, V, generator=draw)) for size in (T, V))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.places + self.firsts[inputs[:, 0]][:, None]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 256, 257, 1000])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_bpb_is_the_sum_of_each_loss_once(
    tokenizer: prepare.Tokenizer, ids: np.ndarray, bpb: BPB, count: int, batch_size: int
) -> None:
    table, sizes = Table(), tokenizer.token_bytes()
    places, firsts = table.places.detach().double().numpy(), table.firsts.detach().double().numpy()
    nats = 0.0
    for index, target in enumerate(ids[1 : count + 1].tolist()):
        if sizes[target]:
            logits = places[index % T] + firsts[ids[index // T * T]]
            nats += np.log(np.exp(logits).sum()) - logits[target]
    expected = nats / math.log(2) / sizes[ids[1 : count + 1]].sum()
    assert bpb(table, ids[: count + 1], batch_size) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 256, 257, 1000])
def test_bpb_scores_every_token_exactly_once(
    tokenizer: prepare.Tokenizer, ids: np.ndarray, bpb: BPB, count: int
) -> None:
    model, targets = Uniform(), ids[1 : count + 1]
    value = bpb(model, ids[: count + 1])
    sizes = tokenizer.token_bytes()[targets]
    assert value == pytest.approx((sizes > 0).sum() * math.log2(V) / sizes.sum(), rel=1e-5)
    scored = np.resize(ids[:count], math.ceil(count / T) * T)
    scored[count:] = tokenizer.get_bos_token_id()
    scored[count : count + 1] = ids[count]  # the last target is an input too where there is padding
    rows, seen = scored.reshape(-1, T).tolist(), [row for batch in model.seen for row in batch.tolist()]
    assert [row for row in rows if row not in seen] == []
    assert 16 + 5 <= len(seen) - len(rows) < 16 + 5 + 4, "changed ones, repeated ones, and what fills a batch"


def test_bpb_does_not_score_bos(bpb: BPB, ids: np.ndarray, tokenizer: prepare.Tokenizer) -> None:
    num_text = int((ids[1:] < 508).sum())
    assert num_text < 1000, "there is a BOS among the targets"
    num_bytes = int(tokenizer.token_bytes()[ids[1:]].sum())
    assert bpb(Uniform(), ids) * num_bytes == pytest.approx(num_text * 9)


def test_bpb_stops_at_eval_tokens(bpb: BPB, ids: np.ndarray) -> None:
    long = np.resize(ids, prepare.EVAL_TOKENS + 5000)
    model = Uniform()
    value = bpb(model, long, 64)
    assert 1.1 < sum(rows.numel() for rows in model.seen) / prepare.EVAL_TOKENS < 1.25
    long[prepare.EVAL_TOKENS + 1 :] = 510
    assert bpb(Uniform(), long, 64) == value


@pytest.mark.parametrize("batch_size", [1, 3, 16, 10_000])
def test_bpb_uses_one_fixed_shape(bpb: BPB, ids: np.ndarray, batch_size: int) -> None:
    model = Uniform()
    bpb(model, ids, batch_size)
    assert {tuple(rows.shape) for rows in model.seen} == {(min(batch_size, 16), T)}


def test_bpb_pads_the_last_batch_with_bos(bpb: BPB, ids: np.ndarray, tokenizer: prepare.Tokenizer) -> None:
    model = Uniform()
    bpb(model, ids[:301])
    last = [*ids[256:301].tolist(), *[tokenizer.get_bos_token_id()] * (64 - 45)]
    assert last in [row for batch in model.seen for row in batch.tolist()]


def test_bpb_comes_in_an_order_that_differs(bpb: BPB, ids: np.ndarray) -> None:
    orders = set()
    for _ in range(4):
        model = Uniform()
        bpb(model, ids, 1)
        orders.add(tuple(tuple(rows.flatten().tolist()) for rows in model.seen))
    assert len(orders) == 4


@pytest.mark.parametrize("batch_size", [1, 2, 5, 1000])
def test_bpb_does_not_depend_on_the_batch_size(bpb: BPB, ids: np.ndarray, batch_size: int) -> None:
    assert bpb(Causal(), ids, batch_size) == pytest.approx(bpb(Causal(), ids, 4), rel=1e-6)


def test_bpb_takes_logits_in_any_memory_layout_and_type(bpb: BPB, ids: np.ndarray) -> None:
    plain = bpb(Causal(), ids)
    assert bpb(Replaced(lambda logits, _: logits.transpose(0, 1).contiguous().transpose(0, 1)), ids) == plain
    assert bpb(Replaced(lambda logits, _: nn.functional.pad(logits, (0, 64))[..., :V]), ids) == plain
    assert bpb(Replaced(lambda logits, _: logits.bfloat16()), ids) == pytest.approx(plain, rel=1e-2)


MODES = """
import torch, prepare
modes = []
class Model(torch.nn.Module):
    config: dict = {{}}
    def forward(self, inputs):
        modes.append((self.training, torch.is_grad_enabled()))
        return torch.zeros(*inputs.shape, prepare.VOCAB_SIZE, device=inputs.device) * {factor}
model = Model().train({training})
try:
    prepare.evaluate_bpb(model, prepare.Tokenizer.from_directory(), 64)
except prepare.NonFinite:
    print("refused")
print(set(modes), model.training)
"""


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("factor", ["1", "float('nan')"])
def test_evaluate_bpb_runs_without_gradients_and_puts_the_mode_back(
    run_script: Callable[..., launcher.Ended], tokenizer: prepare.Tokenizer, tmp_path: Path, training: bool, factor: str
) -> None:
    (tmp_path / "modes.py").write_text(MODES.format(training=training, factor=factor))
    ended = run_script(tmp_path / "modes.py", DATASET=TEXTS, TRIAL_DIR=tmp_path / "trial")
    assert ended.code == 0, ended.text
    assert ended.text.splitlines()[-1] == f"{{(False, False)}} {training}"
    assert ("refused" in ended.text) == (factor != "1")


LARGE = """
import resource, numpy as np, torch, prepare
prepare.LOGITS_AT_ONCE = 2**27  # as on a GPU: this process has none
pairs = [bytes([a, b]) for a in range(256) for b in range(256)]
tokenizer = prepare.Tokenizer([*(bytes([a]) for a in range(256)), *pairs[: 8192 - 260]])
shapes = set()
zeros = torch.zeros(8, 2048, 8192, dtype=torch.bfloat16) + 0  # touched: these 256 MiB are the model's own
model = lambda inputs: shapes.add(tuple(inputs.shape)) or zeros
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepare.bits_per_byte(model, np.arange(2048 * 8 + 1, dtype=np.uint16) % 8000, tokenizer, 1000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(shapes, grown // 1024)
assert shapes == {(8, 2048)}
assert grown * 1024 < 2**29, grown
"""


@pytest.mark.slow
def test_bpb_needs_little_memory_beyond_the_model(run_script: Callable[..., launcher.Ended], tmp_path: Path) -> None:
    script = tmp_path / "large.py"
    script.write_text(LARGE)
    ended = run_script(script, SCALE="gpu", CUDA_VISIBLE_DEVICES="")
    assert ended.code == 0, ended.text
