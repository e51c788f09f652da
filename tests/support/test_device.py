"""The device: what is asked for, or a line that says why not."""

from __future__ import annotations

import pytest
import torch

from stages.settings.errors import ParameterError
from stages.settings.params import load
from stages.support.device import prepare


def test_cpu_is_cpu_and_seeds_decide() -> None:
    params = load().model_copy(update={"device": "cpu"})
    assert prepare(params, seed=3).type == "cpu"
    first = torch.rand(3)
    prepare(params, seed=3)
    assert torch.equal(torch.rand(3), first)
    assert torch.get_num_threads() == params.threads
    assert torch.are_deterministic_algorithms_enabled()


def test_cuda_without_a_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="device: 'cuda' is not allowed"):
        prepare(load().model_copy(update={"device": "cuda"}), seed=0)
    assert prepare(load().model_copy(update={"device": "auto"}), seed=0).type == "cpu"
