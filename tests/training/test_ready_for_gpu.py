"""Each variant's step on the meta device: there a read by the host, or a tensor left on the CPU, raises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stages.training.batches import Batches
from stages.training.trainer import Trainer
from tests.builders import CLASSES, PARAMS, SHAPE, build_gan, hyperparameters

META = torch.device("meta")
# operators without a deterministic form on CUDA, as torch.use_deterministic_algorithms documents; those that PyTorch
# makes deterministic itself in that mode (index_add, scatter, …) are not among them
NONDETERMINISTIC = {
    *("avg_pool3d_backward", "adaptive_avg_pool2d_backward", "_adaptive_avg_pool2d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
    *("max_pool3d_with_indices_backward", "max_unpool2d", "max_unpool3d"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("upsample_trilinear3d_backward", "upsample_nearest1d_backward", "upsample_nearest3d_backward"),
    *("reflection_pad1d_backward", "reflection_pad3d_backward", "replication_pad1d_backward"),
    *("replication_pad2d_backward", "replication_pad3d_backward", "nll_loss2d_forward", "nll_loss2d_backward"),
    *("_ctc_loss_backward", "_embedding_bag_backward", "put_", "histc", "bincount", "kthvalue", "median"),
    *("grid_sampler_2d_backward", "grid_sampler_3d_backward", "cumsum", "resize_"),
}


class Operators(TorchDispatchMode):
    """Writes down the names of operators."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def meta_trainer(name: str) -> Trainer:
    """A trainer whose tensors are all on the meta device."""
    gan = build_gan(name)
    images = gan.options.training_images(torch.randint(0, 256, (16, *SHAPE), dtype=torch.uint8))
    labels = torch.arange(len(images)) % CLASSES
    trainer = Trainer(gan, Batches(images.to(META), labels.to(META), 4), hyperparameters(name))
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        optimizer.param_groups[0] |= {"fused": False, "foreach": True}  # fused steps know no meta device
    return trainer


@pytest.mark.parametrize("name", PARAMS.variants)
def test_steps_wait_for_nothing_and_leave_no_tensor_elsewhere(name: str) -> None:
    trainer = meta_trainer(name)
    with Operators() as operators:
        for step in range(3):
            trainer.follow_schedules(step / 3)
            trainer.step()
    assert {value.device for value in trainer.gan.state_dict().values() if value.numel() > 1} == {META}
    assert len(operators.names) > 20
    assert not operators.names & NONDETERMINISTIC


def test_a_read_by_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = meta_trainer("dcgan")
    step = trainer.gan.after_discriminator_step
    monkeypatch.setattr(
        trainer.gan, "after_discriminator_step", lambda: (step(), float(trainer.batches.next()[0].sum()))
    )
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        trainer.step()


def test_a_tensor_on_the_cpu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = meta_trainer("dcgan")
    monkeypatch.setattr(trainer.gan.generator, "latent", lambda labels: torch.randn(len(labels), 64))
    with pytest.raises((RuntimeError, NotImplementedError)):
        trainer.step()
