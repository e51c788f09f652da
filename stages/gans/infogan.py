"""Codes that can be read off the images (Chen et al., 2016): a class without labels, and continuous ones.

A lower bound of the mutual information of codes and images is maximised (section 5): the cross entropy of the
categorical code, and the squared error of the continuous ones, a Gaussian's likelihood with fixed variance.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from typing_extensions import override

from stages.config.types import NonNegative, Size
from stages.contracts.gan import GAN, Fakes, GANOptions
from stages.contracts.generator import Generator, ImageShape, Picture, to_pixels
from stages.contracts.network import Network

SHOWN = 10  # rows of a picture, and steps of a continuous code


class CodedGenerator(Generator):
    """A generator whose latents end in codes: one of `categories`, then `continuous` numbers uniform in [-1, 1].

    In training the category is drawn at random; samples take it from the label that they are asked for.
    """

    label_meaning = "code"

    def __init__(self, inner: Generator, categories: int, continuous: int) -> None:
        super().__init__()
        self.inner = inner
        self.latent_size = inner.latent_size
        self.categories = categories
        self.continuous = continuous
        self.noise_size = inner.latent_size - categories - continuous

    @override
    def latent(self, labels: Tensor) -> Tensor:
        """(batch, latent_size): N(0, I), one-hot category, continuous codes."""
        count, device = len(labels), labels.device
        category = labels % self.categories
        if self.training:
            category = torch.randint(self.categories, (count,), device=device)
        noise = torch.randn(count, self.noise_size, device=device)
        codes = torch.rand(count, self.continuous, device=device) * 2 - 1
        return torch.cat([noise, one_hot(category, self.categories).float(), codes], dim=1)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return self.inner(latent, labels)

    @override
    def generate(self, latent: Tensor, labels: Tensor, truncation: float) -> Tensor:
        """Noise alone is truncated."""
        noise, codes = latent.tensor_split([self.noise_size], dim=1)
        return self(torch.cat([noise * truncation, codes], dim=1), labels)

    @override
    def mix_latents(self, start: Tensor, end: Tensor, share: Tensor) -> Tensor:
        """Noise alone is mixed: all keep the codes of the start."""
        (noise, codes), (other, _) = (latent.tensor_split([self.noise_size], dim=1) for latent in (start, end))
        return torch.cat([super().mix_latents(noise, other, share), codes], dim=1)

    @override
    def pictures(self, labels: Tensor, *, seed: int, truncation: float) -> dict[str, Picture]:
        """A sweep over each code, too: a row keeps everything else."""
        device = next(self.parameters()).device
        self.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            latent = self.latent(torch.arange(SHOWN)).to(device)
            sweeps = {"sweep_category": self._sweep(latent, torch.eye(self.categories, device=device), 0, truncation)}
            steps = torch.linspace(-1, 1, SHOWN, device=device).unsqueeze(1)
            for code in range(self.continuous):
                sweeps[f"sweep_code_{code + 1}"] = self._sweep(latent, steps, self.categories + code, truncation)
        return super().pictures(labels, seed=seed, truncation=truncation) | sweeps

    def _sweep(self, latent: Tensor, values: Tensor, first: int, truncation: float) -> Picture:
        """Images of latents (rows, size) with the code from position `first` set to each of values (columns, width)."""
        start = self.noise_size + first
        rows, columns = len(latent), len(values)
        latent = latent.repeat_interleave(columns, dim=0)
        latent[:, start : start + values.shape[1]] = values.repeat(rows, 1)
        labels = torch.zeros(len(latent), dtype=torch.int64, device=latent.device)
        images = self.generate(latent, labels, truncation)
        return Picture(to_pixels(images), columns)


class InfoGAN(GAN):
    """Outputs (batch, 1 + categories + continuous): the logit, then what the discriminator reads of the codes."""

    options: InfoGANOptions

    @override
    def discriminator_auxiliary_losses(
        self, real_outputs: Tensor, fake_outputs: Tensor, fakes: Fakes, labels: Tensor
    ) -> dict[str, Tensor]:
        """How badly the codes are read."""
        category, continuous = self._code_losses(fake_outputs, fakes)
        return {"category_loss": category, "code_loss": continuous}

    @override
    def generator_auxiliary_losses(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """How badly the codes can be read."""
        category, continuous = self._code_losses(fake_outputs, fakes)
        return {"generator_category_loss": category, "generator_code_loss": continuous}

    def _code_losses(self, outputs: Tensor, fakes: Fakes) -> tuple[Tensor, Tensor]:
        categories, continuous = self.options.categories, self.options.continuous
        if outputs.ndim > 2:  # a map, whose places each read the codes
            outputs = outputs.flatten(2).mean(dim=2)
        _, category, codes = fakes.latent.tensor_split([-categories - continuous, -continuous], dim=1)
        _, read_category, read_codes = outputs.tensor_split([1, 1 + categories], dim=1)
        return (
            self.options.category_weight * cross_entropy(read_category, category),
            self.options.code_weight * mse_loss(read_codes, codes),
        )


class InfoGANOptions(GANOptions):
    """How many codes, and how much they count."""

    module: ClassVar[type[GAN]] = InfoGAN
    without_labels: ClassVar[str] = "finds classes without labels"
    categories: Size
    continuous: Size
    category_weight: NonNegative  # paper: 1
    code_weight: NonNegative

    @override
    def generator(self, network: Network, image_shape: ImageShape, classes: int) -> CodedGenerator:
        """The network's generator with room for the codes in its latents."""
        options: Any = network
        size = options.latent_size + self.categories + self.continuous
        inner = options.model_copy(update={"latent_size": size}).generator(image_shape, classes)
        return CodedGenerator(inner, self.categories, self.continuous)

    @override
    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """One output more for each category and each continuous code."""
        return network.discriminator(image_shape, classes, outputs=1 + self.categories + self.continuous)
