"""Batch norm that several processes share: of one process it is torch's. test_processes.py has several."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from stages.config.errors import StageError
from stages.training.batch_norm import SharedBatchNorm, share_batch_norm


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5, 3)])
def test_of_one_process_it_is_torchs(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain: nn.Module = nn.BatchNorm1d(4) if len(shape) == 2 else nn.BatchNorm2d(4)
    nn.init.normal_(plain.weight)  # type: ignore[arg-type]
    shared = SharedBatchNorm(plain)  # type: ignore[arg-type]
    results = []
    for norm in (plain, shared):
        hidden = (torch.arange(6.0 * 4 * 15).sin()[: torch.Size(shape).numel()].view(shape) * 3 + 1).requires_grad_()
        out = norm(hidden)
        inputs = (hidden, norm.weight, norm.bias)
        once = torch.autograd.grad(out.pow(3).sum(), inputs, retain_graph=True)  # type: ignore[arg-type]
        gradients = torch.autograd.grad(out.pow(3).sum(), inputs, create_graph=True)  # type: ignore[arg-type]
        (second,) = torch.autograd.grad(gradients[0].square().sum(), hidden)
        results.append([out, *once, *gradients, second, norm.running_mean, norm.running_var, norm.eval()(hidden)])
    for expected, value in zip(*results, strict=True):
        assert torch.allclose(value, expected, rtol=1e-4, atol=1e-4)
    assert set(shared.state_dict()) == set(plain.state_dict())


@pytest.mark.parametrize("without", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_a_norm_without_what_is_shared_is_refused_in_one_line(without: dict[str, Any]) -> None:
    with pytest.raises(StageError, match=r"^BatchNorm2d\(4, .*: several processes share batch norms with"):
        share_batch_norm(nn.Sequential(nn.BatchNorm2d(4, **without)))


def test_weights_that_do_not_learn_have_no_gradient() -> None:
    shared = SharedBatchNorm(nn.BatchNorm1d(4)).requires_grad_(False)
    hidden = torch.arange(24.0).sin().view(6, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(shared(hidden).pow(3).sum(), hidden, create_graph=True)
    assert torch.autograd.gradcheck(shared.double(), hidden.detach().double().requires_grad_())
    assert gradient.requires_grad


def test_its_gradient_is_exact_under_autocast() -> None:
    torch.manual_seed(0)
    hidden, gradient = torch.randn(64, 4, 5, 3).bfloat16(), (torch.randn(64, 4, 5, 3) + 10).bfloat16()
    gradients = []
    for norm, values in ((SharedBatchNorm(nn.BatchNorm2d(4)), hidden), (nn.BatchNorm2d(4), hidden.float())):
        values = values.detach().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = norm(values)
        (found,) = torch.autograd.grad(out, values, gradient.to(out.dtype))
        gradients.append(found.float())
    error = (gradients[0] - gradients[1]).square().mean().sqrt() / gradients[1].std()
    assert error < 0.005  # rounding to bfloat16


def test_its_statistics_are_exact_under_autocast() -> None:
    hidden = torch.arange(6.0 * 4 * 15).sin().view(6, 4, 5, 3) * 3 + 1
    shared = SharedBatchNorm(nn.BatchNorm2d(4))
    with torch.autocast("cpu", torch.bfloat16):
        out = shared(hidden.bfloat16())
    assert out.dtype == torch.bfloat16
    expected = hidden.bfloat16().float().mean(dim=(0, 2, 3)) * 0.1  # the momentum
    assert torch.allclose(shared.running_mean, expected, rtol=1e-5)


def test_every_batch_norm_below_a_module_is_shared_with_its_weights() -> None:
    module = nn.Sequential(nn.BatchNorm1d(3), nn.ModuleDict({"inner": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(5))}))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    share_batch_norm(module)
    assert [part.num_features for part in module.modules() if isinstance(part, SharedBatchNorm)] == [3, 5]
    assert not [part for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
