"""Models as they are served: by rows of seeds and class names, or by images."""

import ast
import shutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.models import infer_signature
from safetensors.torch import save

from stages.config.components import resolve
from stages.config.params import Tracking, load
from stages.sampling.loading import load_generator
from stages.serving.served_generator import ServedGenerator
from stages.storage.files import read_json, write_bytes, write_json
from stages.storage.paths import CONFIG, GENERATOR
from stages.storage.pixels import to_float, to_uint8
from stages.tracking.event_log import EventLog
from stages.tracking.served_model import LOADER, NEEDED, example_inputs, served_code, signature_of
from tests.conftest import ROOT, run
from tests.serving.models import write_model
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

pytestmark = pytest.mark.usefixtures("exported_here")


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
    first = model.predict(pd.DataFrame({"seed": [7]}))
    assert np.array_equal(first, model.predict(pd.DataFrame({"seed": [7], "label": [CLASSES[0]]})))
    signature = model.metadata.signature
    assert signature.inputs.to_dict() == [
        {"type": "long", "name": "seed", "required": True},
        {"type": "string", "name": "label", "required": False},  # without it, images are of the first class
    ]
    (output,) = signature.outputs.to_dict()
    assert output["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 1, 5, 5)}
    assert model.metadata.saved_input_example_info is not None
    assert model.metadata.metadata["classes"] == CLASSES
    assert not list((tmp_path / "repository/mlartifacts").rglob("*.pkl"))


def test_every_variant_takes_its_example_and_gives_what_its_signature_says(tmp_path: Path) -> None:
    kinds = set()
    for name in load(ROOT / "params.yaml").variants:
        write_model(tmp_path / name, name, (1, 12, 12))
        config = read_json(tmp_path / name / CONFIG)
        example = example_inputs(config)
        images = ServedGenerator(tmp_path / name).predict(example)
        signature = signature_of(example, config["image_shape"])
        assert signature.outputs == infer_signature(None, images).outputs, name
        columns = tuple(example) if isinstance(example, pd.DataFrame) else example.shape
        assert len(signature.inputs.inputs) == (len(columns) if isinstance(example, pd.DataFrame) else 1)
        kinds.add(columns)
    assert kinds == {("seed",), ("seed", "label"), (2, 1, 12, 12), (2, 1, 3, 3)}  # the last of srgan


@pytest.mark.parametrize("label", ["3", "sneaker", "", "a label\nof two lines"])
def test_a_bad_label_is_a_bad_request_that_names_the_classes(label: str, tmp_path: Path) -> None:
    model_files(tmp_path)
    with pytest.raises(mlflow.MlflowException) as caught:
        ServedGenerator(tmp_path).predict(pd.DataFrame({"seed": [7], "label": [label]}))
    assert caught.value.get_http_status_code() == 400
    assert ", ".join(CLASSES) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_labels_takes_seeds_alone(tmp_path: Path) -> None:
    network: dict[str, Any] = NETWORK | {"label_embedding_size": 0}
    model_files(tmp_path)
    generator = resolve("network", network).generator((1, 5, 5), len(CLASSES))  # type: ignore[attr-defined]
    write_bytes(tmp_path / GENERATOR, save(generator.state_dict()))
    write_json(tmp_path / CONFIG, read_json(tmp_path / CONFIG) | {"variant": {"gan": GAN, "network": network}})
    expected = to_uint8(generator.sample(torch.tensor([0]), seed=5)).numpy()
    assert np.array_equal(ServedGenerator(tmp_path).predict(pd.DataFrame({"seed": [5]})), expected)


def test_requirements_name_all_that_a_served_model_imports(tmp_path: Path) -> None:
    model_files(tmp_path)
    script = (
        "import sys; from pathlib import Path; import torch; import stages.serving.served_generator as module\n"
        f"module.load_generator(Path({str(tmp_path)!r}), torch.device('cpu'))\n"
        "print('files:', *(one.__file__ for name, one in sys.modules.items() if name.startswith('stages')))"
    )
    said = run(sys.executable, "-c", script, cwd=ROOT).stdout
    imported = {name for file in said.split("files: ")[1].split() for name in imports(Path(file))}
    assert "torch" in imported
    distributions = packages_distributions()
    missing = {name for name in imported if not set(distributions[name]) & {*NEEDED, "pydantic_core"}}
    assert not missing


def test_the_code_of_a_logged_model_is_enough_for_every_variant(tmp_path: Path) -> None:
    for name, variant in load(ROOT / "params.yaml").variants.items():
        config = {"variant": variant.model_dump(), "image_shape": [1, 28, 28], "classes": CLASSES}
        write_json(tmp_path / name / CONFIG, config)
    with served_code() as code:
        shutil.copytree(code, tmp_path / "stages")
    script = f"""
import {LOADER}
from pathlib import Path
from stages.config.components import resolve
import stages.sampling.loading as loading
loading.read_weights = lambda *_: None
names = [path.parent.name for path in Path().glob("*/config.json")]
for name in names:
    loading.load_generator(name)
print(loading.__file__, *names)
"""
    module, *names = run(sys.executable, "-c", script, cwd=tmp_path).stdout.split()
    assert Path(module).is_relative_to(tmp_path)
    assert len(names) > 15


def imports(file: Path) -> set[str]:
    """Top-level packages of others that a file imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"stages"}


def test_a_logged_translator_takes_images(tracking: Tracking, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    translators = write_model(folder, "cyclegan", (1, 12, 12))
    with EventLog(tracking, "cyclegan") as event_log:
        event_log.begin_run("cyclegan", {})
        event_log.model(contents(folder), HASH)
    outlines = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12), np.uint8)
    images = load_logged(tmp_path).predict(outlines)
    with torch.no_grad():
        expected = translators.translate(to_float(torch.from_numpy(outlines)), "digits")
    assert np.array_equal(images, to_uint8(expected).numpy())
