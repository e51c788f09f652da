"""ONNX files: ONNX Runtime draws what torch draws, for every variant and for batches of any size."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch

from stages.config.errors import ParameterError, StageError
from stages.serving import onnx_export
from stages.serving.onnx_export import model_to_onnx
from stages.serving.trained_model import TrainedModel
from tests.builders import PARAMS, SHAPE
from tests.conftest import ROOT
from tests.serving.models import CLASSES, lively_generator, rows_one_by_one

SEEDS, LABELS = [3, 4, 5, 2**40, 9], [0, 1, 2, 3, 1]


def kinds() -> dict[str, str]:
    """A variant of each kind of generator, by the names of all variants that have such a one."""
    names = defaultdict(list)
    for name in PARAMS.variants:
        generator = lively_generator(name)
        names[f"{generator!r} {generator.label_meaning}"].append(name)
    assert sum(map(len, names.values())) == len(PARAMS.variants)
    return {" ".join(alike): alike[0] for alike in names.values()}


def inputs_of_seeds(generator: Any, session: Any) -> dict[str, np.ndarray]:
    """What the model's inputs are for these seeds: torch's random numbers, in the order of sampling."""
    rows = []
    for seed, label in zip(SEEDS, LABELS, strict=True):
        torch.manual_seed(seed)
        row = {"latent": generator.latent(torch.tensor([label])), "label": torch.tensor([label])}
        shapes = {one.name: one.shape[1:] for one in session.get_inputs() if one.name.startswith("noise_")}
        rows.append(row | {name: torch.randn(1, *shape) for name, shape in shapes.items()})
    names = [one.name for one in session.get_inputs()]
    return {name: torch.cat([row[name] for row in rows]).numpy() for name in names}


@pytest.mark.parametrize("name", kinds().values(), ids=kinds())
def test_onnx_runtime_draws_what_torch_draws(name: str) -> None:
    generator = lively_generator(name)
    translates = generator.starts_from == "test_images"
    content, difference = model_to_onnx(TrainedModel(name, generator, list(CLASSES), SHAPE), 1 if translates else 0.7)
    assert difference < 1e-4
    session = onnxruntime.InferenceSession(content)
    if translates:
        shape = generator.source_shape(SHAPE)
        sources = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
        inputs = {"source": sources.numpy()}
        with torch.no_grad():
            expected = generator(sources, torch.zeros(5, dtype=torch.int64))
    else:
        inputs = inputs_of_seeds(generator, session)
        expected = rows_one_by_one(generator, SEEDS, LABELS, truncation=0.7)
    (images,) = session.run(["image"], inputs)
    assert expected.std() > 0.02
    np.testing.assert_allclose(images, expected.numpy(), atol=1e-4, rtol=0)
    (one,) = session.run(["image"], {key: value[3:4] for key, value in inputs.items()})
    np.testing.assert_allclose(one, expected[3:4].numpy(), atol=1e-4, rtol=0)
    assert {str(value.shape[0]) for value in (*session.get_inputs(), *session.get_outputs())} == {"batch"}
    assert ("label" in inputs) == PARAMS.variants[name].network.generator_sees_labels
    assert str(ROOT).encode() not in content
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["labels"]) == generator.label_names(CLASSES)
    assert float(about["truncation"]) == (1 if translates else 0.7)


def test_a_file_that_draws_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = lively_generator("mlp")
    cleaned = onnx_export.cleaned

    def and_changed(proto: Any) -> bytes:
        weights = next(tensor for tensor in proto.graph.initializer if len(tensor.dims) == 2)
        first, *others = np.frombuffer(weights.raw_data, np.float32)
        weights.raw_data = np.array([first + 1, *others], np.float32).tobytes()
        return cleaned(proto)

    monkeypatch.setattr(onnx_export, "cleaned", and_changed)
    with pytest.raises(StageError, match=r"ONNX Runtime's images differ from torch's by .+; allowed: 0\.0001"):
        model_to_onnx(TrainedModel("mlp", generator, list(CLASSES), SHAPE))


def test_a_translator_has_no_truncation() -> None:
    generator = lively_generator("cyclegan")
    with pytest.raises(ParameterError, match="cyclegan translates images: it has no latents to truncate"):
        model_to_onnx(TrainedModel("cyclegan", generator, list(CLASSES), SHAPE), 0.5)
