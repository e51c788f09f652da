"""Log a trained generator as an MLflow model: code and safetensors, no pickle. No torch: its import takes seconds."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModelStatus, Run
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

from stages.storage.files import read_json, sha256
from stages.storage.paths import CONFIG, GENERATOR
from stages.tracking.model_registry import find_models, has_files
from stages.tracking.run_names import SERVED_TAG, VARIANT_TAG

LOADER = "stages.serving.served_generator"
NEEDED = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "ruamel.yaml", "safetensors", "torch", "typing_extensions")

# the part of stages/ that a served generator may import; a server needs one request per file
FOLDERS = ("config", "contracts", "gans", "networks", "sampling", "storage", "training")
CODE = (
    "__init__.py",
    *(f"{folder}/*.py" for folder in FOLDERS),
    "serving/__init__.py",
    "serving/arguments.py",
    "serving/requests.py",
    "serving/served_generator.py",
)


class PyFunc:
    """MLflow's flavor `pyfunc`, without the trial of a model's example when it is logged: that would import torch."""

    @staticmethod
    def save_model(validate_serving_input: bool, **arguments: Any) -> None:
        """As `mlflow.pyfunc.save_model`."""
        mlflow.pyfunc.save_model(**arguments)


def log_model(client: MlflowClient, run: Run, folder: Path) -> None:
    """Log a model's folder to a run as its variant's, with signature, input example and names of classes."""
    config = read_json(folder / CONFIG)
    example = example_inputs(config)
    weights = sha256(folder / GENERATOR)
    broken = find_broken_model(client, run, weights)
    mlflow.set_experiment(experiment_id=run.info.experiment_id)  # MLflow makes the model in it
    with served_code() as code:
        Model.log(
            artifact_path=None,
            flavor=PyFunc,
            name=run.data.tags[VARIANT_TAG],  # a model's name may have no dot and no colon, a run's has both
            run_id=None if broken else run.info.run_id,  # MLflow raises where a model is linked already
            model_id=broken,
            validate_serving_input=False,
            loader_module=LOADER,
            data_path=str(folder),
            code_paths=[str(code)],
            signature=signature_of(example, config["image_shape"]),
            input_example=example,
            metadata={"classes": config["classes"]},
            tags={SERVED_TAG: weights},
            pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in NEEDED],
        )


def example_inputs(config: Mapping[str, Any]) -> pd.DataFrame | np.ndarray:
    """An example of what a served model takes: a table of seeds and labels (or, for a translator, uint8 sources)."""
    if shape := config["source_shape"]:
        return np.zeros((2, *shape), np.uint8)
    is_by_class = config["label_meaning"] == "class"
    names = config["classes"] if is_by_class else [str(code) for code in range(config["categories"])]
    return pd.DataFrame({"seed": [0, 1]} | ({"label": [names[0], names[-1]]} if names else {}))


def signature_of(example: pd.DataFrame | np.ndarray, image_shape: Sequence[int]) -> ModelSignature:
    """MLflow's description of inputs and outputs. In a table, only the column `seed` is required."""
    signature = infer_signature(example, np.zeros((len(example), *image_shape), np.uint8))
    if isinstance(example, pd.DataFrame):
        columns = signature.inputs.inputs
        signature.inputs = Schema([ColSpec(one.type, one.name, required=one.name == "seed") for one in columns])
    return signature


@contextmanager
def served_code() -> Iterator[Path]:
    """A copy of stages/ with only the files in CODE."""
    stages = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / stages.name
        for file in (file for pattern in CODE for file in stages.glob(pattern)):
            target = copy / file.relative_to(stages)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        yield copy


def find_broken_model(client: MlflowClient, run: Run, weights: str) -> str | None:
    """The id of a model whose upload was interrupted, or whose files are gone: it must be uploaded again."""
    models = find_models(client, run, weights)
    broken = (one for one in models if one.status != LoggedModelStatus.READY or not has_files(client, one.model_id))
    return next((one.model_id for one in broken), None)
