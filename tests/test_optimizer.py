"""The optimizer of train.py: what orthogonalising leaves, AdamW against torch's, every parameter once, the rates."""

import math

import pytest
import torch
from edits import edit_train
from torch import Tensor

import prepare
import train

SMALLEST = {3: 0.03, 5: 0.001}  # singular value, of the norm, from which on a number of iterations keeps its promise
LARGEST_ERROR = {3: 0.05, 5: 0.15}  # and how far from 1 it leaves what was larger


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(prepare.DEVICE)


@pytest.mark.parametrize("num_steps", [3, 5])
def test_polynomials_bring_their_interval_close_to_one(num_steps: int) -> None:
    x = torch.logspace(math.log10(SMALLEST[num_steps]), 0, 10_000, dtype=torch.float64)
    for a, b, c in train.POLAR_EXPRESS[num_steps]:
        x = a * x + b * x**3 + c * x**5
    assert (x - 1).abs().max() < LARGEST_ERROR[num_steps]


@pytest.mark.parametrize("num_steps", [3, 5])
@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (32, 32)], ids=["wide", "tall", "square"])
def test_orthogonalize_keeps_directions_and_levels_singular_values(num_steps: int, shape: tuple[int, int]) -> None:
    variant = edit_train(MUON_STEPS=num_steps, COMPUTE_DTYPE=torch.float32)
    rank = min(shape)
    left, right = (torch.linalg.qr(draw(3, size, rank, seed=size)).Q for size in shape)  # (K, M, R), (K, N, R)
    sizes = torch.logspace(math.log10(SMALLEST[num_steps]), 0, rank, device=prepare.DEVICE)
    sizes = sizes.clamp_min(1.1 * SMALLEST[num_steps] * sizes.norm())  # of all singular values together
    scales = torch.tensor([1e-4, 1.0, 1e4], device=prepare.DEVICE)[:, None, None]
    out = variant.orthogonalize(scales * (left * sizes) @ right.mT)
    assert out.shape == (3, *shape)
    level = left.mT @ out @ right  # (K, R, R)
    torch.testing.assert_close(
        level, torch.eye(rank, device=level.device).expand(3, -1, -1), rtol=0, atol=LARGEST_ERROR[num_steps]
    )


@pytest.mark.parametrize("num_steps", [3, 5])
def test_orthogonalize_never_makes_singular_values_large_in_bfloat16(num_steps: int) -> None:
    variant = edit_train(MUON_STEPS=num_steps, COMPUTE_DTYPE=torch.bfloat16)
    for shape in ((32, 128), (128, 32), (48, 48)):
        plain = draw(16, *shape)
        left, _, right = torch.linalg.svd(plain, full_matrices=False)
        fading = (left * torch.logspace(-4, 0, min(shape), device=prepare.DEVICE)) @ right  # like most gradients
        for matrices in (plain, fading):
            values = torch.linalg.svdvals(variant.orthogonalize(matrices))
            assert values.max() < 1.05 + LARGEST_ERROR[num_steps]


@pytest.mark.parametrize("shape", [(32, 128), (128, 32), (48, 48)], ids=["wide", "tall", "square"])
def test_orthogonalize_levels_random_matrices_in_the_type_that_is_used(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(train.orthogonalize(draw(4, *shape)))
    least = values.min() if shape[0] != shape[1] else values.quantile(0.2)  # square ones have some close to zero
    assert least > 0.9 and values.max() < 1.1


def test_orthogonalize_leaves_zero_at_zero() -> None:
    assert torch.equal(train.orthogonalize(draw(2, 4, 6) * 0), torch.zeros(2, 4, 6, device=prepare.DEVICE))


def update_muon(weights: list[Tensor], num_steps: int, weight_decay: float) -> list[Tensor]:
    """What these weights of one shape become."""
    variant, (M, N) = edit_train(COMPUTE_DTYPE=torch.float32), weights[0].shape
    momenta = torch.zeros(len(weights), M, N, device=prepare.DEVICE)
    moments = torch.zeros(len(weights), *((M, 1) if M >= N else (1, N)), device=prepare.DEVICE)
    weights = [weight.clone() for weight in weights]
    for step in range(num_steps):
        gradients = [(3 * weight).cos() * (step + 1) for weight in weights]
        variant.update_muon(weights, gradients, momenta, moments, (0.02, 0.9, weight_decay))
    return weights


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)], ids=["wide", "tall", "square"])
def test_muon_treats_every_matrix_of_a_stack_alone(shape: tuple[int, int]) -> None:
    stack = [draw(*shape, seed=seed) for seed in range(3)]
    alone = [update_muon([weight], 3, 0.5)[0] for weight in stack]
    torch.testing.assert_close(update_muon(stack, 3, 0.5), alone, rtol=1e-3, atol=1e-4)
    assert all((new - old).abs().mean() > 1e-3 for new, old in zip(alone, stack, strict=True))


def test_muon_decays_only_weights_that_its_update_makes_smaller() -> None:
    start = draw(12, 20)
    (plain,), (decayed,) = (update_muon([start], 1, weight_decay) for weight_decay in (0.0, 0.5))
    shrinks = (plain - start) * start <= 0
    assert 0.2 < shrinks.float().mean() < 0.8
    torch.testing.assert_close(decayed - plain, torch.where(shrinks, -0.02 * 0.5 * start, 0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw_is_adamw_of_torch(weight_decay: float) -> None:
    shapes = [(7, 5), (3,)]
    ours, theirs = ([draw(*shape) for shape in shapes] for _ in range(2))
    averages, squares = ([torch.zeros_like(weight) for weight in ours] for _ in range(2))
    reference = torch.optim.AdamW(theirs, lr=0.02, betas=(0.8, 0.95), eps=1e-10, weight_decay=weight_decay)
    for step in range(1, 7):
        gradients = [draw(*shape, seed=step) * 10.0 ** (step - 4) for shape in shapes]
        train.update_adamw(ours, gradients, averages, squares, (0.02, 0.8, 0.95, weight_decay, step))
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient
        reference.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def build() -> tuple[train.GPT, train.MuonAdamW]:
    model = train.build_model(train.make_config() | {"copy_orders": 1})
    model.initialize()
    return model, train.build_optimizer(model.to(prepare.DEVICE))


def test_optimizer_has_every_parameter_once() -> None:
    model, optimizer = build()
    held = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters()))
    muon = {id(weight) for group in optimizer.param_groups if "momentum" in group for weight in group["params"]}
    matrices = [w for name, w in model.named_parameters() if "embedding" not in name and w.ndim == 2]
    assert muon == set(map(id, matrices)), "all matrices but the embeddings and the unembedding"


def test_optimizer_step_changes_what_has_a_gradient() -> None:
    model, optimizer = build()
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight) + torch.randn_like(weight) / 10
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.7), (0.1, 0.75), (0.4, 0.9), (0.7, 0.9), (1.0, 0.9)])
def test_rates_are_set_from_progress(progress: float, momentum: float) -> None:
    constants = {"MUON_MOMENTUM_START": 0.7, "MUON_MOMENTUM": 0.9, "MUON_MOMENTUM_RATIO": 0.4}
    variant = edit_train(**constants, WEIGHT_DECAY=0.3, EMBEDDING_DECAY=0.01)
    optimizer = variant.build_optimizer(variant.build_model(variant.make_config()))
    initial = [group["lr"] for group in optimizer.param_groups]
    for _ in range(2):  # what was set before does not matter
        variant.set_rates(optimizer, 0.25, progress)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25 * rate for rate in initial])
    muon = [group for group in optimizer.param_groups if "momentum" in group]
    assert muon and all(group["momentum"] == pytest.approx(momentum) for group in muon)
    assert all(group["weight_decay"] == pytest.approx(0.3 * (1 - progress)) for group in muon)
    adamw = [group["weight_decay"] for group in optimizer.param_groups if "momentum" not in group]
    assert sorted(adamw) == [0, 0, 0, 0, 0.01], "AdamW's decay stays"


def test_momentum_is_there_at_once_without_a_rise() -> None:
    variant = edit_train(MUON_MOMENTUM_RATIO=0)
    optimizer = variant.build_optimizer(variant.build_model(variant.make_config()))
    variant.set_rates(optimizer, 1.0, 1e-6)
    assert optimizer.param_groups[-1]["momentum"] == variant.MUON_MOMENTUM
