"""Differentiable augmentation of all images that the discriminator sees (Zhao et al., 2020, section 3.3).

With few training images the discriminator learns them by heart. Real and fake images are changed in the same random
ways, and the generator's gradients pass through them, so that the changes do not reach the samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SHIFT = 1 / 8  # of the image's side, at most
CUTOUT = 1 / 2  # of the image's side


def augment(images: Tensor, kinds: Sequence[str]) -> Tensor:
    """Images (batch, channels, height, width) in [-1, 1], each changed in ways of its own, in the order of `kinds`."""
    for kind in kinds:
        images = AUGMENTATIONS[kind](images)
    return images


def translate(images: Tensor) -> Tensor:
    """Each image moved by up to an eighth of its sides; what comes in from outside is -1, the background of digits."""
    count, _, height, width = images.shape
    down, right = (
        _random_integers(-round(side * SHIFT), round(side * SHIFT), count, images) for side in (height, width)
    )
    # products with shifted identities: indices would have a gradient that is not deterministic on a GPU
    rows, columns = (_shifted_identity(*each).to(images) for each in ((down, height), (right, width)))
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would round images
        return (rows @ (images + 1) @ columns.mT) - 1


def cut_out(images: Tensor) -> Tensor:
    """Each image with a grey rectangle of half its sides, whose middle is anywhere."""
    count, _, height, width = images.shape
    kept_rows, kept_columns = (~_cutout_mask(count, side, images) for side in (height, width))
    return images * (kept_rows[:, None, :, None] | kept_columns[:, None, None, :])


def brighten(images: Tensor) -> Tensor:
    """Each image brighter or darker, by up to a quarter of the range."""
    return images + torch.rand(len(images), 1, 1, 1, device=images.device) - 0.5


AUGMENTATIONS = {"translation": translate, "cutout": cut_out, "brightness": brighten}


def _random_integers(lowest: int, highest: int, count: int, images: Tensor) -> Tensor:
    return torch.randint(lowest, highest + 1, (count,), device=images.device)


def _shifted_identity(steps: Tensor, side: int) -> Tensor:
    """(batch, 1, side, side): times a column, it moves down by `steps` (batch,)."""
    places = torch.arange(side, device=steps.device)
    return (places[:, None] == places + steps[:, None, None]).unsqueeze(1)


def _cutout_mask(count: int, side: int, images: Tensor) -> Tensor:
    """(batch, side): whether a place is cut out: half a side, some of it maybe outside."""
    length = round(side * CUTOUT)
    first = _random_integers(-(length // 2), side - length // 2 - 1, count, images)
    from_start = torch.arange(side, device=images.device) - first[:, None]
    return (from_start >= 0) & (from_start < length)
