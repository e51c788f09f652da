"""How much of an image a logit sees, by arithmetic."""

from __future__ import annotations

from torch import nn

from stages.training.receptive_field import receptive_field
from tests.builders import SHAPE, build_gan


def test_a_logit_of_strided_convolutions_sees_the_whole_image_and_one_of_conv_does_not() -> None:
    assert receptive_field(build_gan("dcgan"), SHAPE) == (28, 28)
    assert receptive_field(build_gan("mlp"), SHAPE) == (28, 28)
    for strides, side in (([1], 5), ([2], 7), ([1, 1], 7)):
        assert receptive_field(build_gan("conv", network={"discriminator_strides": strides}), SHAPE) == (side, side)
    # 3 + 2 · (2 + 4 + 8) = 31 pixels, cut at the image's border
    assert min(receptive_field(build_gan("conv", network={"discriminator_strides": [2, 2, 2]}), SHAPE)) >= 24


def test_rows_and_columns_are_told_apart() -> None:
    gan = build_gan("conv", network={"discriminator_strides": [1]})
    gan.discriminator.layers = nn.Conv2d(1, 1, (3, 7), padding=(1, 3))
    assert receptive_field(gan, SHAPE) == (3, 7)
