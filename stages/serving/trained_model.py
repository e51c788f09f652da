"""A trained model to draw from, found by the name of its variant or by its folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from stages.config.errors import ParameterError, StageError, first_ten
from stages.config.registry import allowed
from stages.contracts.generator import Generator, ImageShape
from stages.sampling.loading import load_generator
from stages.serving.arguments import MOST_IMAGES
from stages.storage.files import read_json
from stages.storage.paths import CHECKPOINT, CONFIG, GENERATOR, MODELS, SAMPLES

MOST_VALUES = MOST_IMAGES * 3 * 32 * 32  # of the images of one request


class TrainedModel(NamedTuple):
    """A generator ready to evaluate, the names of the data's classes, and (channels, height, width) of its images."""

    name: str
    generator: Generator
    classes: list[str]
    image_shape: ImageShape

    @property
    def labels(self) -> list[str]:
        """What a label may be called; empty where the generator draws without labels."""
        return self.generator.label_names(self.classes)

    @property
    def most_rows(self) -> int:
        """Images that one request may ask for: fewer than 10,000 where they are larger than 3 × 32 × 32."""
        return max(1, min(MOST_IMAGES, MOST_VALUES // math.prod(self.image_shape)))

    def label_index(self, name: str, argument: str) -> int:
        """The index of a label; raises ParameterError if no label has that name."""
        if not self.labels:
            raise ParameterError(f"{argument}: {self.name} draws without labels; leave {argument} out")
        if name not in self.labels:
            kind = "codes" if self.generator.label_meaning == "code" else "classes"
            raise ParameterError(f"{argument}: {name!r:.40} is none of the {kind}: {', '.join(first_ten(self.labels))}")
        return self.labels.index(name)


def find_model(name: str) -> Path:
    """The folder of a variant's model in models/, or the folder of that path.

    Raises ParameterError where there is no model, with the names of those that exist.
    """
    for folder in (MODELS / name, Path(name)):
        if (folder / CONFIG).is_file() and "variant" in read_json(folder / CONFIG):
            if not (folder / GENERATOR).is_file():
                raise StageError(f"{folder / GENERATOR}: is missing: its training diverged, or was not finished")
            return folder
    trained = sorted(path.parent.name for path in MODELS.glob(f"*/{GENERATOR}"))
    if not trained:
        raise ParameterError(f"{MODELS / name}: no such generator; {MODELS} has none: run `make repro`")
    where = Path(name) if "/" in name else MODELS / name
    raise ParameterError(f"{where}: no such generator{allowed(where.name, trained)}, or a model's folder")


def find_best(folder: Path) -> int | None:
    """Images seen at the best snapshot, if one was chosen for a model in models/, by `training.checkpoint: best`."""
    here, models = folder.resolve(), MODELS.resolve()
    if read_json(folder / CONFIG).get("checkpoint") != "best" or not here.is_relative_to(models):
        return None
    chosen = SAMPLES / here.relative_to(models) / CHECKPOINT
    checkpoint = read_json(chosen) if chosen.exists() else {}
    return int(checkpoint["images"]) if checkpoint.get("rule") == "best" else None  # else of an earlier training


def load_model(folder: Path, name: str = "") -> TrainedModel:
    """The model in a folder, on the CPU, at the checkpoint of which samples were drawn.

    Raises StageError where its files do not fit together.
    """
    generator = load_generator(folder, checkpoint_images=find_best(folder))
    config = read_json(folder / CONFIG)
    channels, height, width = config["image_shape"]
    return TrainedModel(name or folder.name, generator, config["classes"], (channels, height, width))
