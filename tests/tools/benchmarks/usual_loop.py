"""The loop of most public GAN code, around the same GAN: what the trainer is measured against.

A DataLoader over PIL images (beside a GPU with four workers; else without, its default: two cores are busy already),
torch's optimisers as they come, losses read with `.item()` in every step, all gradients computed whether or not anyone
steps on them, a spectral norm's power iteration in every pass, the EMA one weight after the other. Real images and
fakes have a pass each, and so have the images that a translator translates and those that the identity loss looks at.
"""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from stages.config.params import Adam, RMSprop, Variant
from stages.contracts.gan import GAN
from stages.gans.cyclegan import CycleGAN, Translations


class PictureSet(Dataset[tuple[Tensor, int]]):
    """PIL images, transformed one by one as torchvision's MNIST does; of several channels or domains each is one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """([domains,] channels, height, width) in [-1, 1], and a label."""
        shape = self.images.shape[1:]
        pictures = [self.transform(Image.fromarray(channel)) for channel in self.images[index].reshape(-1, *shape[-2:])]
        image = pictures[0] if len(pictures) == 1 else torch.cat(pictures)
        return image.reshape(shape), int(self.labels[index])


class UsualLoop:
    """Trains a GAN; `step` does what the trainer's does."""

    def __init__(self, gan: GAN, images: np.ndarray, labels: np.ndarray, variant: Variant) -> None:
        self.gan = gan.train()
        gan.per_sample = False  # real images and fakes in two passes
        if isinstance(gan, CycleGAN):
            gan.translate = partial(_translate, gan)  # type: ignore[method-assign]
        self.ema = copy.deepcopy(gan.generator)
        self.critic_steps = variant.critic_steps
        self.decay = 0.5 ** (variant.batch_size / variant.ema_halflife_images)
        self.device = next(gan.parameters()).device
        beside_a_gpu = {"num_workers": 4, "pin_memory": True} if self.device.type == "cuda" else {}
        pictures = PictureSet(images, labels)
        self.loader = DataLoader(pictures, variant.batch_size, shuffle=True, drop_last=True, **beside_a_gpu)  # type: ignore[arg-type]
        self.batches = iter(self.loader)
        self.generator_optimizer = _optimizer(variant.optimizers.generator, gan.generator)
        self.discriminator_optimizer = _optimizer(variant.optimizers.discriminator, gan.discriminator)
        self.discriminator_losses: list[float] = []
        self.generator_losses: list[float] = []

    def step(self) -> None:
        """Steps of the discriminator, then one of the generator."""
        for _ in range(self.critic_steps):
            real, labels = self.next_batch()
            self.discriminator_optimizer.zero_grad()
            loss = self.gan.discriminator_loss(real, labels).loss
            loss.backward()
            self.discriminator_optimizer.step()
            self.gan.after_discriminator_step()
            self.discriminator_losses.append(loss.item())

        self.generator_optimizer.zero_grad()
        loss = self.gan.generator_loss(real, labels).loss
        loss.backward()
        self.generator_optimizer.step()
        self.generator_losses.append(loss.item())
        with torch.no_grad():
            for average, latest in zip(self.ema.parameters(), self.gan.generator.parameters(), strict=True):
                average.mul_(self.decay).add_(latest, alpha=1 - self.decay)
            for kept, buffer in zip(self.ema.buffers(), self.gan.generator.buffers(), strict=True):
                kept.copy_(buffer)

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] and labels, epoch after epoch."""
        try:
            real, labels = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            real, labels = next(self.batches)
        return real.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def _translate(gan: CycleGAN, digits: Tensor, outlines: Tensor, with_identity: bool) -> Translations:
    """A pass for each domain, and another for the identity loss."""
    to_digits = partial(gan.generator.translate, target="digits")
    to_outlines = partial(gan.generator.translate, target="outlines")
    made = to_digits(outlines), to_outlines(digits)
    is_looked_at = with_identity and gan.options.identity_weight > 0
    return Translations(*made, *((to_digits(digits), to_outlines(outlines)) if is_looked_at else made))


def _optimizer(options: Adam | RMSprop, network: torch.nn.Module) -> torch.optim.Optimizer:
    if isinstance(options, Adam):
        return torch.optim.Adam(network.parameters(), options.learning_rate, betas=(options.betas[0], options.betas[1]))
    return torch.optim.RMSprop(network.parameters(), options.learning_rate, options.alpha)
