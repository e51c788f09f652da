"""Train the digit classifier, the feature network of all scores: data/processed -> models/classifier."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from stages.scoring.features import FeatureNetwork, images_to_features
from stages.support.batches import Batches
from stages.support.command import run_stage
from stages.support.device import prepare
from stages.support.files import CLASSIFIER, METRICS, write_bytes, write_json
from stages.support.images import Split, read_split
from stages.support.params import Classifier, Params
from stages.support.weights import weights_to_bytes
from stages.tracking.journal import Journal
from stages.tracking.progress import Progress


def main(params: Params) -> None:
    """Train under the budget, then measure accuracy on validation and test."""
    options = params.classifier
    device = prepare(params, options.seed)
    train, validation, test = (read_split(name) for name in ("train", "validation", "test"))
    with Journal(params.tracking, "classifier") as journal:
        journal.begin_run("classifier", options.model_dump() | {"budget": params.budget, "device": device.type})
        journal.dataset("data/processed/train", len(train.images))
        config = dict(
            zip(("channels", "height", "width"), train.image_shape, strict=True),
            base=options.width,
            features=options.feature_size,
            classes=train.classes,
        )
        network = FeatureNetwork(**config).to(device).to(memory_format=torch.channels_last)
        fit(network, train, options, getattr(options.images, params.budget), device, journal)
        accuracies = {
            "validation_accuracy": accuracy(network, validation, device),
            "test_accuracy": accuracy(network, test, device),
        }
        write_bytes(CLASSIFIER / "weights.safetensors", weights_to_bytes(network))
        write_json(CLASSIFIER / "config.json", config)
        write_json(METRICS / "classifier.json", accuracies)
        journal.metrics(0, accuracies)
    print("classifier:", ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items()))


def fit(
    network: FeatureNetwork,
    train: Split,
    options: Classifier,
    images: int,
    device: torch.device,
    journal: Journal,
) -> None:
    """AdamW under the one-cycle schedule (Smith and Topin, 2018), on images shifted at random."""
    network.train()
    batches = Batches(
        torch.from_numpy(train.images).to(device),
        torch.from_numpy(train.labels).to(device),
        options.batch_size,
    )
    optimizer = torch.optim.AdamW(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    steps = math.ceil(images / batches.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=max(steps, 3))
    progress = Progress("classifier", steps * batches.batch_size)
    read_every = max(1, steps // 50)
    for step in range(1, steps + 1):
        batch, labels = batches.next()
        loss = cross_entropy(network(shift(batch, options.shift_pixels)), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % read_every == 0 or step == steps:
            seen, value = step * batches.batch_size, float(loss.detach())
            progress.update(seen, {"loss": value})
            journal.metrics(seen, {"loss": value})
    progress.close()
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


if __name__ == "__main__":
    run_stage(main, __doc__)
