"""Training a digit classifier: the feature network of all scores, and those that tell what samples are good for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from stages.adversarial.batches import Batches
from stages.scoring.features import FeatureNetwork, images_to_features
from stages.settings.params import Classifier
from stages.support.images import Split

READINGS = 50  # of the loss, in the course of a training


def fit(
    network: FeatureNetwork,
    train: Split,
    options: Classifier,
    images: int,
    device: torch.device,
    watch: Callable[[int, float], None] = lambda seen, loss: None,
) -> None:
    """Train on so many images, shifted at random, by AdamW under the one-cycle schedule (Smith and Topin, 2018).

    `watch` is told the images seen and the loss now and then. The network ends on the device, ready to evaluate.
    """
    network.to(device).to(memory_format=torch.channels_last).train()
    batches = Batches(
        torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).to(device), options.batch_size
    )
    optimizer = torch.optim.AdamW(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    steps = math.ceil(images / batches.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=max(steps, 3))
    read_every = max(1, steps // READINGS)
    for step in range(1, steps + 1):
        batch, labels = batches.next()
        loss = cross_entropy(network(shift(batch, options.shift_pixels)), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % read_every == 0 or step == steps:
            watch(step * batches.batch_size, float(loss.detach()))
    network.eval()


def shift(images: Tensor, pixels: int) -> Tensor:
    """Move each image (batch, channels, height, width) by up to so many pixels each way; the ground is -1."""
    if not pixels:
        return images
    count, _, height, width = images.shape
    offsets = torch.randint(0, 2 * pixels + 1, (2, count, 1), device=images.device)
    rows = (offsets[0] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width, device=images.device))[:, None, None, :]
    each = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return pad(images, [pixels] * 4, value=-1.0)[each, channel, rows, columns]


def accuracy(network: FeatureNetwork, split: Split, device: torch.device) -> float:
    """Share of images whose largest logit is their label's."""
    _, logits = images_to_features(network, split.images, device)
    return float(np.mean(logits.argmax(axis=1) == split.labels))
