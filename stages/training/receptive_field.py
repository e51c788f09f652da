"""How much of an image a discriminator's logit sees: too little, and it cannot tell a digit from strokes."""

import torch

from stages.contracts.gan import GAN, logits_of
from stages.contracts.generator import ImageShape, evaluating


def receptive_field(gan: GAN, image_shape: ImageShape) -> tuple[int, int]:
    """Height and width, in pixels, of what the logit in the middle sees of an image: where its gradient is."""
    parameter = next(gan.discriminator.parameters())
    images = torch.randn(8 * gan.options.images_per_logit, *image_shape, device=parameter.device).requires_grad_()
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    with evaluating(gan.discriminator):
        logits = logits_of(gan.discriminator(gan.transform_real(images), labels))
    for size in logits.shape[:0:-1]:
        logits = logits.select(-1, size // 2)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    rows, columns = (gradient.abs().sum(dims) > 0 for dims in ((0, 1, 3), (0, 1, 2)))
    return int(rows.sum()), int(columns.sum())
