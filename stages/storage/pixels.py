"""Images between disk and networks: uint8 0..255 on disk and in pictures, float -1..1 inside."""

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

OUTLINED_TOGETHER = 1000  # images, as floats


def to_float(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 -1..1."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Float -1..1 to uint8 0..255, rounded to the nearest level."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_outlines(images: Tensor) -> Tensor:
    """Float images in [-1, 1] to their outlines: a morphological gradient, dilation minus erosion over 3 × 3 pixels."""
    dilated, eroded = max_pool2d(images, 3, 1, 1), -max_pool2d(-images, 3, 1, 1)
    return dilated - eroded - 1


def to_uint8_outlines(images: Tensor) -> Tensor:
    """Outlines of uint8 images (count, channels, height, width), as uint8."""
    return torch.cat([to_uint8(to_outlines(to_float(batch))) for batch in images.split(OUTLINED_TOGETHER)])
