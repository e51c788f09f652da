"""Augmentation: each image is moved, cut and brightened on its own, and gradients pass through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from stages.config.errors import ParameterError
from stages.config.params import Training, validate
from stages.training import augmentation
from stages.training.augmentation import AUGMENTATIONS, augment
from tests.builders import PARAMS, build_gan, build_trainer, real_batch


def test_images_move_by_up_to_an_eighth_and_show_the_background_from_outside() -> None:
    images, _ = real_batch(600, (2, 8, 40))
    torch.manual_seed(0)
    moved = augment(images, ["translation"])
    steps = set()
    for image, result in zip(images.numpy(), moved.numpy(), strict=True):
        fits = [
            (down, right)
            for down in range(-1, 2)
            for right in range(-5, 6)
            if np.allclose(result, shift(image, (0, down, right), order=0, cval=-1), atol=1e-6)
        ]
        assert len(fits) == 1
        steps.add(fits[0])
    assert len(steps) == 3 * 11  # every one of them


def test_half_of_each_side_is_cut_out() -> None:
    torch.manual_seed(0)
    holes = augment(torch.ones(2000, 3, 8, 12), ["cutout"]) == 0
    assert torch.equal(holes[:, 0], holes[:, 2])
    rows, columns = holes[:, 0].any(2), holes[:, 0].any(1)
    assert torch.equal(holes[:, 0], rows[:, :, None] & columns[:, None, :])
    assert (rows.sum(1).max(), columns.sum(1).max()) == (4, 6)
    assert (rows.sum(1).min(), columns.sum(1).min()) == (2, 3)  # the middle is inside
    assert ((rows.float().mean(0) > 0.2) & (rows.float().mean(0) < 0.6)).all()


def test_images_are_brightened_as_a_whole() -> None:
    images, _ = real_batch(500)
    torch.manual_seed(0)
    added = (augment(images, ["brightness"]) - images).flatten(1)
    assert added.std(1).max() < 1e-6
    assert (added.min().item(), added.max().item()) == (pytest.approx(-0.5, abs=0.01), pytest.approx(0.5, abs=0.01))


def test_gradients_pass_through_twice() -> None:
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)

    def changed(images: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return augment(images, list(AUGMENTATIONS)).square()

    assert torch.autograd.gradgradcheck(changed, images)


def test_images_are_not_rounded_under_autocast() -> None:
    images, _ = real_batch(5)
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append(augment(images, list(AUGMENTATIONS)))
    assert torch.equal(*results)


def test_params_yaml_may_name_each_kind_and_no_other() -> None:
    training = PARAMS.training.model_dump()
    assert validate(Training, training | {"augment": list(AUGMENTATIONS)}, "").augment == list(AUGMENTATIONS)
    with pytest.raises(ParameterError) as caught:
        validate(Training, training | {"augment": ["none"]}, "")
    assert str(caught.value).endswith(f"expected one of: {', '.join(sorted(AUGMENTATIONS))}")


def test_kinds_are_applied_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "AUGMENTATIONS", {"a": lambda images: images + 1, "b": lambda images: images * 2})
    assert augment(torch.ones(1), ["a", "b"]).item() == 4
    assert augment(torch.ones(1), ["b", "a"]).item() == 3
    assert augment(torch.ones(1), []).item() == 1


@pytest.mark.parametrize("name", ["dcgan", "wgan", "cyclegan", "progan", "pacgan"])
def test_all_that_a_discriminator_sees_is_augmented_and_samples_are_not(name: str) -> None:
    trainer: Any = build_trainer(name, build_gan(name), augment=["brightness"])
    torch.manual_seed(0)
    given = torch.zeros(3, 1, 8, 8)
    assert len(trainer.gan.augment(given).unique()) == 3
    trainer.gan.augment = lambda images: images + 3
    seen: list[torch.Tensor] = []
    discriminator: Any = trainer.gan.discriminator
    for module in (discriminator.digits, discriminator.outlines) if name == "cyclegan" else (discriminator,):
        module.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    trainer.follow_schedules(0.0)
    trainer.step()
    assert len(seen) >= 2
    assert all(images.min() > 1 for images in seen)
    wanted = torch.arange(4)
    samples = trainer.gan.sample(trainer.ema.module, wanted, trainer.batches.images, seed=0)
    assert samples.abs().max() <= 1
