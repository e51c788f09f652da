"""Train the digit classifier, the feature network of all scores: data/processed -> models/classifier."""

from __future__ import annotations

import math

from stages.scoring.features import FeatureNetwork
from stages.scoring.training import accuracy, fit
from stages.settings.command import run_stage
from stages.settings.errors import StageError
from stages.settings.params import Params
from stages.support.device import environment, prepare
from stages.support.files import CLASSIFIER, METRICS, write_bytes, write_json
from stages.support.images import read_split
from stages.support.weights import weights_to_bytes
from stages.tracking.journal import Journal
from stages.tracking.progress import Progress


def main(params: Params) -> None:
    """Train under the budget, then measure accuracy on validation and test."""
    options = params.classifier
    images = getattr(options.images, params.budget)
    device = prepare(params, options.seed)
    train, validation, test = (read_split(name) for name in ("train", "validation", "test"))
    with Journal(params.tracking, "classifier") as journal:
        about = {"budget": params.budget, "device": device.type, "environment": environment(device)}
        journal.begin_run("classifier", options.model_dump() | about)
        journal.dataset("data/processed/train", len(train.images))
        channels, height, width = train.image_shape
        planes = channels if params.dataset == "stacked_mnist" else 1
        shape = {
            "planes": planes,
            "channels": channels // planes,
            "height": height,
            "width": width,
            "base": options.width,
            "features": options.feature_size,
            "classes": round(train.classes ** (1 / planes)),
        }
        network = FeatureNetwork(**shape)
        progress = Progress("classifier", math.ceil(images / options.batch_size) * options.batch_size)

        def watch(seen: int, loss: float) -> None:
            if not math.isfinite(loss):
                raise StageError(f"the classifier diverged within {seen} images; try a lower classifier.learning_rate")
            progress.update(seen, {"loss": loss})
            journal.metrics(seen, {"loss": loss})

        fit(network, train, options, images, device, watch)
        progress.close()
        accuracies = {
            "validation_accuracy": accuracy(network, validation, device),
            "test_accuracy": accuracy(network, test, device),
        }
        write_bytes(CLASSIFIER / "weights.safetensors", weights_to_bytes(network))
        write_json(CLASSIFIER / "config.json", {"network": shape, "training": options.model_dump()})
        write_json(METRICS / "classifier.json", accuracies)
        journal.metrics(0, accuracies)
    print("classifier:", ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items()))


if __name__ == "__main__":
    run_stage(main, __doc__)
