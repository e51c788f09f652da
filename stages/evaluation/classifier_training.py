"""Train digit classifiers: the feature network of all scores, and those that learn from samples."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from stages.config.params import ClassifierTraining, validate
from stages.evaluation.feature_network import FeatureNetwork, images_to_features
from stages.storage.images import Split
from stages.training.batches import Batches, place
from stages.training.optimizers import AdamW

LOG_STEPS = 50  # of a training


def fit(
    network: FeatureNetwork,
    train: Split,
    options: ClassifierTraining,
    images: int,
    device: torch.device,
    watch: Callable[[int, float], None] = lambda seen, loss: None,
) -> None:
    """Train on so many images, shifted at random, by AdamW under the one-cycle schedule (Smith and Topin, 2018).

    `watch` gets the images seen and the loss at each log step. The network ends on the device, ready to evaluate.
    """
    network.to(device).to(memory_format=torch.channels_last).train()
    pixels, labels = torch.from_numpy(train.images), torch.from_numpy(train.labels)
    batches = Batches(place(pixels, device), labels.to(device), options.batch_size)
    optimizer = AdamW(network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True)
    steps = math.ceil(images / batches.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=max(steps, 3))
    log_every = max(1, steps // LOG_STEPS)
    for step in range(1, steps + 1):
        batch, labels = batches.next()
        loss = cross_entropy(network(shift(batch, options.shift_pixels)), labels)
        optimizer.forget_gradients()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % log_every == 0 or step == steps:
            watch(step * batches.batch_size, float(loss.detach()))
    network.eval()


def shift(images: Tensor, pixels: int) -> Tensor:
    """Move each image (batch, channels, height, width) by up to so many pixels each way; -1 fills in."""
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
    """Share of images whose largest logit is their label's, in [0, 1]."""
    _, logits = images_to_features(network, split.images, device)
    return float(np.mean(logits.argmax(axis=1) == split.labels))


def learn_and_test(train: Split, test: Split, config: Mapping[str, Any], images: int, device: torch.device) -> float:
    """Accuracy on test images, in [0, 1], of a new classifier, built and trained as the pipeline's config.json says.

    It sees `images` training images, each many times where the set is small.
    """
    options = validate(ClassifierTraining, config["training"], "config.json: training")
    torch.manual_seed(options.seed)  # the same start and order for every set
    network = FeatureNetwork(**config["network"])
    fit(network, train, options, images, device)
    return accuracy(network, test, device)
