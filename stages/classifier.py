"""Train the digit classifier, the feature network of all scores: data/processed -> models/classifier."""

import math

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Classifier, Params
from stages.evaluation.classifier_training import accuracy, fit
from stages.evaluation.feature_network import FeatureNetwork
from stages.storage.files import rounded, write_bytes, write_json
from stages.storage.images import Split, data_digest, read_split
from stages.storage.paths import CLASSIFIER, CONFIG, METRICS, WEIGHTS
from stages.storage.weights import weights_to_bytes
from stages.tracking.event_log import EventLog
from stages.tracking.progress import Progress
from stages.training.device import environment, prepare


def main(params: Params) -> None:
    """Train under the budget, then measure accuracy on validation and test images."""
    options, images = params.classifier, getattr(params.classifier.images, params.budget)
    training = options.model_dump(exclude={"images"})
    device = prepare(params, options.seed)
    train, validation, test = (read_split(name) for name in ("train", "validation", "test"))
    with EventLog(params.tracking, "classifier") as event_log:
        about = {"images": images, "budget": params.budget, "device": device.type, "environment": environment(device)}
        event_log.begin_run("classifier", training | about)
        event_log.dataset("data/processed/train", len(train.images), data_digest(train))
        shape = network_shape(train, options)
        network = FeatureNetwork(**shape)
        progress = Progress("classifier", images)

        def watch(seen: int, loss: float) -> None:
            if not math.isfinite(loss):
                raise StageError(f"the classifier diverged within {seen} images; try a lower classifier.learning_rate")
            progress.update(seen, {"loss": loss})
            event_log.metrics(seen, {"loss": loss})

        fit(network, train, options, images, device, watch)
        progress.close()
        accuracies = {
            "validation_accuracy": accuracy(network, validation, device),
            "test_accuracy": accuracy(network, test, device),
        }
        write_bytes(CLASSIFIER / WEIGHTS, weights_to_bytes(network))
        write_json(CLASSIFIER / CONFIG, {"network": shape, "training": training, "images": images})
        write_json(METRICS / "classifier.json", rounded(accuracies))
        event_log.metrics(0, accuracies, "scores")
    print("classifier:", ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items()))


def network_shape(train: Split, options: Classifier) -> dict[str, int]:
    """Arguments of the FeatureNetwork, which reads an image plane by plane."""
    channels, height, width = train.image_shape
    plane = {"planes": train.planes, "channels": channels // train.planes, "height": height, "width": width}
    classes = round(len(train.classes) ** (1 / train.planes))
    return plane | {"base": options.width, "features": options.feature_size, "classes": classes}


if __name__ == "__main__":
    run_stage(main, __doc__)
