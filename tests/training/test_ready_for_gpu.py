"""Steps, samples and features on the meta device: there a read by the host, or a tensor left on the CPU, raises."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from stages.config.params import ClassifierTraining
from stages.evaluation import classifier_training
from stages.evaluation.feature_network import FeatureNetwork
from stages.storage.images import Split
from stages.storage.pixels import to_float
from stages.training import processes
from stages.training.batches import Batches
from stages.training.optimizers import AdamW
from stages.training.trainer import Trainer
from tests.builders import CLASSES, PARAMS, SHAPE, build_gan, build_trainer, hyperparameters

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


class Launches(TorchDispatchMode):
    """Writes down operators with their numbers, and with the shapes and types of their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found.append((func, _without_values(args), _without_values([*(kwargs or {}).items()])))
        return func(*args, **(kwargs or {}))


def _without_values(argument: Any) -> Any:
    if isinstance(argument, list | tuple):
        return [_without_values(part) for part in argument]
    if isinstance(argument, torch.Tensor):  # a number on the CPU goes to a kernel by value
        value = argument.item() if argument.device.type == "cpu" and argument.numel() == 1 else None
        return (argument.shape, argument.dtype, value)
    return argument


def meta_trainer(name: str, **changes: Any) -> Trainer:
    """A trainer whose tensors are all on the meta device."""
    gan = build_gan(name)
    images = gan.options.training_images(torch.randint(0, 256, (16, *SHAPE), dtype=torch.uint8))
    labels = torch.arange(len(images)) % CLASSES
    trainer = Trainer(gan, Batches(images.to(META), labels.to(META), 4), hyperparameters(name, **changes))
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        optimizer.param_groups[0] |= {"fused": False, "foreach": True}  # fused steps know no meta device
    return trainer


def test_several_processes_exchange_weights_that_are_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL takes tensors of GPUs alone; and gloo, which knows no channels last, contiguous ones."""
    exchanged: list[tuple[torch.device, bool]] = []

    def broadcast_weights(gan: nn.Module) -> None:
        exchanged.extend((each.device, each.is_contiguous()) for each in (*gan.parameters(), *gan.buffers()))

    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(processes, "broadcast_weights", broadcast_weights)
    meta_trainer("dcgan")
    assert len(exchanged) > 20
    assert set(exchanged) == {(META, True)}


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


def launches_by_kind(trainer: Trainer, steps: int) -> dict[Any, list[list[Any]]]:
    """What each step launches besides the optimizers' own kernels, which take their numbers from the device."""
    found = defaultdict(list)
    learn = trainer.learn

    def watched(batches: Sequence[torch.Tensor]) -> Counter[str]:
        with Launches() as launches:
            counts = learn(batches)
        found[kind].append(launches.found)
        return counts

    trainer.learn = watched  # type: ignore[method-assign]
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        optimizer.step = lambda: None
    for step in range(steps):
        trainer.follow_schedules(step / steps)
        kind = trainer.gan.step_kind(trainer.hyperparameters.critic_steps)
        trainer.step()
    return found


@pytest.mark.parametrize(
    ("name", "changes"), [*((name, {}) for name in PARAMS.variants), ("dcgan", {"critic_steps": 2})]
)
def test_steps_of_a_kind_launch_the_same_with_the_same_numbers(name: str, changes: dict[str, Any]) -> None:
    trainer = meta_trainer(name, **changes)
    remembered = [id(buffer) for buffer in trainer.gan.buffers()]
    # every fourth or eighth step is regularised, and three of each kind are seen; a pool of images fills up, and what
    # fades in takes time
    regularizer = PARAMS.variants[name].regularizer
    interval = regularizer.interval if getattr(regularizer, "weight", 0) else 1
    steps = 26 if name in {"cyclegan", "progan"} else 2 * max(interval, 4) + 2
    found = launches_by_kind(trainer, steps)
    found.pop(None, None)
    # the first of a kind makes what a step then finds
    repeated = [kind for kind, (_, *others) in found.items() if len(others) > 1]
    assert sum(len(found[kind]) for kind in repeated) >= steps / 2
    assert interval == 1 or len(repeated) > 1 or name == "progan"
    for kind in repeated:
        _, second, *others = found[kind]
        assert len(second) > 100
        assert all(other == second for other in others), kind
    assert [id(buffer) for buffer in trainer.gan.buffers()] == remembered  # they change in place


def test_steps_with_noise_and_steps_that_fade_in_a_resolution_are_of_no_kind() -> None:
    trainer = build_trainer("dcgan", noise_std=0.1)
    trainer.follow_schedules(0.1)
    assert trainer.gan.step_kind(1) is None
    trainer = build_trainer("progan")
    kinds = []
    for progress in (0.05, 0.1, 0.2, 0.5):  # growth is over at 0.3: a rest, a fade, a rest, a rest
        trainer.follow_schedules(progress)
        kinds.append(trainer.gan.step_kind(1))
    assert kinds[1] is None
    assert len({kinds[0], kinds[2], kinds[3]}) == 3


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


@pytest.mark.parametrize("name", PARAMS.variants)
def test_samples_wait_for_nothing_and_leave_no_tensor_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build_gan(name).generator.to(META)
    if hasattr(generator, "stage"):  # of growth: one number that the host reads for each batch
        monkeypatch.setattr(generator, "stage", lambda: (len(generator.to_images) - 1, 1.0))
    labels = torch.arange(40) % CLASSES
    with Operators() as operators:
        if generator.starts_from == "latents":
            images = generator.sample_rows(range(40), labels.to(META))
        else:
            images = generator(generator.source(to_float(torch.zeros(40, *SHAPE, device=META))), labels.to(META))
    assert (images.device, images.shape) == (META, (40, *SHAPE))
    assert len(operators.names) > 5
    assert not operators.names & NONDETERMINISTIC


def small_classifier() -> FeatureNetwork:
    channels, height, width = SHAPE
    return FeatureNetwork(channels, height, width, base=4, features=8, classes=CLASSES)


def test_a_classifier_learns_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, images = 5, np.zeros((16, *SHAPE), np.uint8)
    watched: list[int] = []
    monkeypatch.setattr(classifier_training, "LOG_STEPS", 1)
    unfused = partial(AdamW, foreach=True)  # its fused steps know no meta device
    monkeypatch.setattr(classifier_training, "AdamW", lambda *given, fused, **options: unfused(*given, **options))
    convolve = nn.Conv2d.forward

    def watch(layer: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        watched.append(len(images))
        return convolve(layer, images)

    monkeypatch.setattr(nn.Conv2d, "forward", watch)
    options = PARAMS.classifier.model_dump(exclude={"images"}) | {"batch_size": 8}
    split = Split(images, np.arange(16) % CLASSES, tuple("0123456789"))
    with Operators() as operators, pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        classifier_training.fit(small_classifier(), split, ClassifierTraining(**options), 8 * steps, META)
    assert watched == [8] * 5 * steps  # five convolutions: only the last step's loss is read
    assert len(operators.names) > 20
    assert not operators.names & NONDETERMINISTIC


def test_features_are_computed_without_waiting() -> None:
    network = small_classifier().eval().to(META)
    with torch.inference_mode(), Operators() as operators:
        logits = network(to_float(torch.zeros(8, *SHAPE, dtype=torch.uint8, device=META)))
    assert (logits.device, logits.shape) == (META, (8, CLASSES))
    assert len(operators.names) > 5
    assert not operators.names & NONDETERMINISTIC
