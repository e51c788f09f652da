"""The digit classifier as a feature network: Inception's features say little about digits."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from stages.config.errors import StageError
from stages.storage.files import read_json
from stages.storage.paths import CONFIG, WEIGHTS
from stages.storage.pixels import to_float
from stages.storage.weights import read_weights

BATCH_PIXELS = 250 * 28 * 28
LARGEST = 64  # pixels a side, about: larger images are shrunk first, or time and memory would grow with their pixels


class FeatureNetwork(nn.Module):
    """Images in [-1, 1] to class logits, through the features that scores compare.

    Images of 128 pixels a side and more are averaged down to 64 to 127, by a whole factor.
    An image of several `planes` (the three digits of stacked_mnist, `channels` channels each) goes through the network
    plane by plane. Its features are theirs side by side. Its classes are all combinations of theirs, the first plane's
    counting most.
    """

    def __init__(
        self, channels: int, height: int, width: int, *, base: int, features: int, classes: int, planes: int = 1
    ):
        super().__init__()
        self.planes = planes
        self.plane_shape = (channels, height, width)
        self.shrinking = max(1, min(height, width) // LARGEST)
        height, width = height // self.shrinking, width // self.shrinking
        self.body = nn.Sequential(
            *_convolution(channels, base, stride=1),
            *_convolution(base, 2 * base, stride=2),
            *_convolution(2 * base, 2 * base, stride=1),
            *_convolution(2 * base, 4 * base, stride=2),
            *_convolution(4 * base, 4 * base, stride=1),
            nn.Flatten(),
            nn.Linear(4 * base * -(-height // 4) * -(-width // 4), features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(features, classes)

    def features(self, images: Tensor) -> Tensor:
        """(batch, planes · channels, height, width) in [-1, 1] to (batch, planes · features), the penultimate layer."""
        planes = images.reshape(-1, *self.plane_shape)
        if self.shrinking > 1:
            planes = avg_pool2d(planes, self.shrinking)
        return self.body(planes).reshape(len(images), -1)

    def classify(self, features: Tensor) -> Tensor:
        """(batch, planes · features) to logits (batch, classes ** planes)."""
        if self.planes == 1:
            return self.head(features)
        each = self.head(features.reshape(len(features), self.planes, -1)).log_softmax(dim=2)
        logits = each[:, 0]
        for plane in range(1, self.planes):  # independent digits: their probabilities multiply
            logits = (logits[:, :, None] + each[:, plane, None, :]).flatten(1)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """(batch, planes · channels, height, width) in [-1, 1] to logits (batch, classes ** planes)."""
        return self.classify(self.features(images))


def _convolution(channels: int, depth: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, depth, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(depth), nn.ReLU(inplace=True)]


def load_classifier(folder: Path, device: torch.device) -> FeatureNetwork:
    """The trained network of a classifier's folder, ready to evaluate; raises StageError where files do not fit."""
    try:
        network = FeatureNetwork(**read_json(folder / CONFIG)["network"])
    except (KeyError, TypeError) as error:
        raise StageError(f"{folder / CONFIG}: describes no classifier: {error!r}") from None
    read_weights(network, folder / WEIGHTS, device)
    network.body = _without_norms(network.body)  # with channels last, 2.5 times as fast on a CPU
    return network.to(memory_format=torch.channels_last)


def _without_norms(body: nn.Sequential) -> nn.Sequential:
    """The same function; each batch norm (by now a scale and a shift) is folded into the layer before it."""
    layers: list[nn.Module] = []
    for layer in body:
        match layers[-1:], layer:
            case [nn.Conv2d() as convolution], nn.BatchNorm2d():
                layers[-1] = fuse_conv_bn_eval(convolution, layer)
            case [nn.Linear() as linear], nn.BatchNorm1d():
                layers[-1] = fuse_linear_bn_eval(linear, layer)
            case _:
                layers.append(layer)
    return nn.Sequential(*layers)


def batch_size(images: np.ndarray) -> int:
    """How many images (count, channels, height, width) go through the network at once: fewer of large ones."""
    return max(1, BATCH_PIXELS // (images.shape[2] * images.shape[3]))


@torch.inference_mode()
def images_to_features(
    network: FeatureNetwork, images: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (count, channels, height, width) to float32 features (count, dims) and logits (count, classes)."""
    features, logits = [], []
    for batch in torch.from_numpy(images).split(batch_size(images)):
        seen = network.features(to_float(batch.to(device)))
        features.append(seen.cpu())
        logits.append(network.classify(seen).cpu())
    return torch.cat(features).numpy(), torch.cat(logits).numpy()
