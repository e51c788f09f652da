"""Models as they are served: by rows of seeds and class names, or by images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save

from stages.config.components import resolve
from stages.config.params import Tracking, load
from stages.sampling.loading import load_generator
from stages.storage.files import read_json, write_bytes, write_json
from stages.storage.paths import CONFIG, GENERATOR
from stages.storage.pixels import to_float, to_uint8
from stages.tracking.event_log import EventLog
from tests.conftest import ROOT
from tests.tracking.conftest import (
    CLASSES,
    GAN,
    HASH,
    NETWORK,
    contents,
    log_training,
    logged_models,
    model_files,
    runs,
)


def load_logged(tmp_path: Path) -> Any:
    """The one model of the one run."""
    (run,) = runs(tmp_path)
    (logged,) = logged_models(tmp_path, run)
    return mlflow.pyfunc.load_model(logged.model_uri)


def test_a_logged_model_draws_what_its_generator_draws(tracking: Tracking, tmp_path: Path) -> None:
    log_training(tracking, tmp_path / "model")
    model = load_logged(tmp_path)
    images = model.predict(pd.DataFrame({"seed": [7, 8], "label": ["Sneaker", "Sneaker"]}))
    generator = load_generator(tmp_path / "model", torch.device("cpu"))
    label = torch.tensor([CLASSES.index("Sneaker")])
    expected = [to_uint8(generator.sample(label, seed=seed)).numpy() for seed in (7, 8)]
    assert images.shape == (2, 1, 5, 5)
    assert images.dtype == np.uint8
    assert np.array_equal(images, np.concatenate(expected))
    assert not np.array_equal(images[:1], model.predict(pd.DataFrame({"seed": [7], "label": ["Bag"]})))
    assert not list((tmp_path / "repository/mlartifacts").rglob("*.pkl"))


def test_a_logged_model_says_what_it_takes(tracking: Tracking, tmp_path: Path) -> None:
    log_training(tracking, tmp_path / "model")
    metadata = load_logged(tmp_path).metadata
    assert metadata.signature.inputs.to_dict() == [
        {"type": "long", "name": "seed", "required": True},
        {"type": "string", "name": "label", "required": True},
    ]
    (output,) = metadata.signature.outputs.to_dict()
    assert output["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 1, 5, 5)}
    assert metadata.saved_input_example_info is not None
    assert metadata.metadata["classes"] == CLASSES


@pytest.mark.parametrize("label", ["3", "sneaker", "", "a label\nof two lines"])
def test_a_bad_label_is_a_bad_request_that_names_the_classes(label: str, tracking: Tracking, tmp_path: Path) -> None:
    log_training(tracking, tmp_path / "model")
    with pytest.raises(mlflow.MlflowException) as caught:
        load_logged(tmp_path).predict(pd.DataFrame({"seed": [7], "label": [label]}))
    assert caught.value.get_http_status_code() == 400
    assert ", ".join(CLASSES) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_logged_model_without_labels_takes_seeds_alone(tracking: Tracking, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model_files(folder)
    network: dict[str, Any] = NETWORK | {"label_embedding_size": 0}
    generator = resolve("network", network).generator((1, 5, 5), len(CLASSES))  # type: ignore[attr-defined]
    write_bytes(folder / GENERATOR, save(generator.state_dict()))
    write_json(folder / CONFIG, read_json(folder / CONFIG) | {"variant": {"gan": GAN, "network": network}})
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {})
        event_log.model(contents(folder), (1, 5, 5), HASH)
    model = load_logged(tmp_path)
    assert model.metadata.signature.inputs.input_names() == ["seed"]
    expected = to_uint8(generator.sample(torch.tensor([0]), seed=5)).numpy()
    assert np.array_equal(model.predict(pd.DataFrame({"seed": [5]})), expected)


def test_a_logged_translator_takes_images(tracking: Tracking, tmp_path: Path) -> None:
    variant = load(ROOT / "params.yaml").variants["cyclegan"]
    folder = tmp_path / "model"
    write_json(folder / CONFIG, {"variant": variant.model_dump(), "image_shape": [1, 12, 12], "classes": CLASSES})
    translators = variant.gan.generator(variant.network, (1, 12, 12), len(CLASSES))
    write_bytes(folder / GENERATOR, save(translators.state_dict()))
    with EventLog(tracking, "cyclegan") as event_log:
        event_log.begin_run("cyclegan", {})
        event_log.model(contents(folder), (1, 12, 12), HASH)
    outlines = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12), np.uint8)
    images = load_logged(tmp_path).predict(outlines)
    with torch.no_grad():
        expected = translators.translate(to_float(torch.from_numpy(outlines)), "digits")
    assert np.array_equal(images, to_uint8(expected).numpy())
