"""The model of train.py: attention within a window, what followed, causality, and the shapes that constants make.

Not covered: the attention kernels of CUDA devices.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from edits import edit_train
from torch import Tensor

import prepare
import train

T = prepare.MAX_SEQ_LEN
SPANS = {"S": T // 8, "L": T}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, device=prepare.DEVICE, requires_grad=True)


def attend_plainly(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """The definition: one (T, T) mask, token i sees j when i - window < j <= i."""
    ones = torch.ones(q.size(1), q.size(1), dtype=torch.bool, device=q.device)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=ones.tril() & ones.triu(1 - window)).transpose(1, 2)


def assert_attends_like_the_definition(attend: Callable[..., Tensor], length: int, window: int) -> None:
    torch.manual_seed(0)
    q, k, v, weights = (draw(2, length, 3, 8) for _ in range(4))
    answers = []
    for function in (attend, attend_plainly):
        out = function(q, k, v, window)
        answers.append([out, *torch.autograd.grad((out * weights).sum(), (q, k, v))])
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "window"),
    [(24, 1), (24, 8), (24, 12), (24, 7), (24, 23), (24, 24), (24, 25), (24, 1000), (13, 4), (1, 1)],
)
def test_attention_in_blocks_is_attention_within_a_window(length: int, window: int) -> None:
    assert_attends_like_the_definition(train.attend_in_blocks, length, window)


@pytest.mark.parametrize("window", [8, 7])
def test_attention_in_blocks_is_the_same_when_it_is_compiled(window: int) -> None:
    attend = torch.compile(train.attend_in_blocks, dynamic=False, backend="eager")  # traced, without a compiler
    assert_attends_like_the_definition(attend, 24, window)


def follow(row: list[int], now: int, order: int) -> int | None:
    """The definition: look back from `now` for the same last `order` tokens."""
    for then in range(now - 1, order - 2, -1):
        if row[then - order + 1 : then + 1] == row[now - order + 1 : now + 1]:
            return row[then + 1]
    return None


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("num_kinds", [2, 5, 40])
def test_follower_is_what_a_search_backwards_finds(order: int, num_kinds: int) -> None:
    tokens = torch.randint(num_kinds, (4, 50), generator=torch.Generator().manual_seed(0))
    follower, found = (x.tolist() for x in train.find_follower(tokens.to(prepare.DEVICE), order))
    for index, row in enumerate(tokens.tolist()):
        expected = [follow(row, now, order) for now in range(50)]
        assert [f if is_found else None for f, is_found in zip(follower[index], found[index], strict=True)] == expected


@pytest.mark.parametrize("order", [1, 2, 3])
def test_follower_does_not_depend_on_later_tokens(order: int) -> None:
    tokens = torch.randint(3, (2, 30), generator=torch.Generator().manual_seed(0)).to(prepare.DEVICE)
    before = train.find_follower(tokens, order)
    for cut in range(1, 30):
        changed = tokens.clone()
        changed[:, cut:] = (changed[:, cut:] + 1) % 3
        for old, new in zip(before, train.find_follower(changed, order), strict=True):
            assert torch.equal(old[:, :cut], new[:, :cut])


@pytest.mark.parametrize(
    "change",
    [
        {"windows": [8, 7, T]},
        {"windows": [1, T, T], "copy_orders": 2},
        {"windows": [16, 16, 16], "value_embedding_layers": [0, 1, 2]},
    ],
)
def test_logits_do_not_depend_on_later_tokens(change: dict) -> None:
    torch.manual_seed(0)
    model = train.build_model(train.make_config() | {"depth": 3, "value_embedding_layers": [2, 0]} | change)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=model.config["width"] ** -0.5)  # none is zero, as some are at the start
    model.to(prepare.DEVICE)
    tokens = torch.randint(6, (2, T), device=prepare.DEVICE)  # so few that much is found by find_follower
    with torch.no_grad():
        before = model(tokens)
        for cut in (1, 7, 8, 33, T - 1):
            changed = tokens.clone()
            changed[:, cut:] = (changed[:, cut:] + 1) % 6
            after = model(changed)
            assert torch.equal(before[:, :cut], after[:, :cut])
            assert not torch.equal(before[:, cut], after[:, cut]), "a logit does depend on its own token"


def test_initialize_sets_every_weight_and_adds_nothing_to_the_stream() -> None:
    model = train.build_model(train.make_config() | {"copy_orders": 2})
    for weight in model.parameters():
        torch.nn.init.constant_(weight, torch.nan)
    model.initialize()
    assert all(weight.isfinite().all() for weight in model.parameters())
    tokens = torch.arange(T)[None]
    deep, shallow = model(tokens), train.norm(model.embedding(tokens))
    cap = model.config["logit_cap"]
    expected = cap * torch.tanh(model.unembedding(train.norm(shallow) / cap))
    torch.testing.assert_close(deep, expected, rtol=0, atol=deep.abs().max().item() / 10)


@pytest.mark.parametrize("pattern", ["S", "L", "SL", "SSSL", "LSS"])
@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_windows_repeat_the_pattern_and_end_with_a_full_one(pattern: str, depth: int) -> None:
    config = edit_train(WINDOW_PATTERN=pattern, DEPTH=depth).make_config()
    expected = [SPANS[letter] for letter in (pattern * depth)[: depth - 1]] + [T]
    assert config["windows"] == expected and config["depth"] == depth


@pytest.mark.parametrize("frac", [1e-9, 0.3, 1.0])
def test_short_window_is_a_share_of_the_row_but_at_least_one_token(frac: float) -> None:
    config = edit_train(WINDOW_PATTERN="S", DEPTH=2, SHORT_WINDOW_FRAC=frac).make_config()
    assert config["windows"] == [max(1, int(frac * T)), T]


@pytest.mark.parametrize(
    ("aspect_ratio", "head_dim", "num_heads"), [(32, 32, 3), (33, 32, 4), (1, 64, 1), (128, 128, 3)]
)
def test_width_is_whole_heads(aspect_ratio: int, head_dim: int, num_heads: int) -> None:
    config = edit_train(DEPTH=3, ASPECT_RATIO=aspect_ratio, HEAD_DIM=head_dim, MLP_RATIO=2).make_config()
    width = num_heads * head_dim
    assert (config["num_heads"], config["width"], config["mlp_width"]) == (num_heads, width, 2 * width)


@pytest.mark.parametrize(("period", "layers"), [(1, [4, 3, 2, 1, 0]), (2, [4, 2, 0]), (3, [4, 1]), (9, [4])])
def test_value_embeddings_are_counted_from_the_last_layer(period: int, layers: list[int]) -> None:
    variant = edit_train(DEPTH=5, VALUE_EMBEDDING_PERIOD=period)
    model = variant.build_model(variant.make_config())
    assert model.config["value_embedding_layers"] == layers
    assert [i for i in range(5) if model.attentions[i].value_embedding is not None] == sorted(layers)


def test_more_specific_device_names_come_first_in_the_table_of_peaks() -> None:
    names = [f" {name} " for name in train.PEAK_TFLOPS]
    hidden = [(later, earlier) for index, later in enumerate(names) for earlier in names[:index] if earlier in later]
    assert not hidden, "the first name found counts"
