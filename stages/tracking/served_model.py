"""Log a trained generator as an MLflow model: code and safetensors, no pickle."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModelStatus, Run
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.pyfunc.model import PythonModelContext
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

from stages.contracts.generator import ImageShape
from stages.serving import served_generator
from stages.serving.requests import example_inputs
from stages.serving.served_generator import ServedGenerator
from stages.storage.files import sha256
from stages.storage.paths import GENERATOR
from stages.tracking.model_registry import find_models, has_files
from stages.tracking.run_names import SERVED_TAG, VARIANT_TAG

NEEDED = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "ruamel.yaml", "safetensors", "torch", "typing_extensions")

# what of stages/ a served generator may import; a server takes a request for each file
FOLDERS = ("config", "contracts", "gans", "networks", "sampling", "storage", "training")
CODE = (
    "__init__.py",
    *(f"{folder}/*.py" for folder in FOLDERS),
    "serving/__init__.py",
    "serving/arguments.py",
    "serving/requests.py",
)


def log_model(client: MlflowClient, run: Run, folder: Path, image_shape: ImageShape) -> None:
    """Log a model's folder to a run as its variant's, with signature, input example and names of classes."""
    model, context = ServedGenerator(), PythonModelContext({"model": str(folder)}, {})
    model.load_context(context)
    inputs = example_inputs(model.generator, image_shape, model.classes)
    example = pd.DataFrame(inputs) if isinstance(inputs, Mapping) else inputs
    weights = sha256(folder / GENERATOR)
    broken = find_broken_model(client, run, weights)
    mlflow.set_experiment(experiment_id=run.info.experiment_id)  # MLflow makes the model in it
    with served_code() as code:
        Model.log(
            artifact_path=None,
            flavor=mlflow.pyfunc,
            name=run.data.tags[VARIANT_TAG],  # a model's name may have no dot and no colon, a run's has both
            run_id=None if broken else run.info.run_id,  # MLflow raises where a model is linked already
            model_id=broken,
            python_model=served_generator.__file__,
            artifacts=context.artifacts,
            code_paths=[str(code)],
            signature=signature_of(example, model.predict(context, example)),
            input_example=example,
            metadata={"classes": model.classes},
            tags={SERVED_TAG: weights},
            pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in NEEDED],
        )


def signature_of(example: pd.DataFrame | np.ndarray, images: np.ndarray) -> ModelSignature:
    """MLflow's description of inputs and outputs. Of a table's columns the seed alone is required."""
    signature = infer_signature(example, images)
    if isinstance(example, pd.DataFrame):
        columns = signature.inputs.inputs
        signature.inputs = Schema([ColSpec(one.type, one.name, required=one.name == "seed") for one in columns])
    return signature


@contextmanager
def served_code() -> Iterator[Path]:
    """A copy of stages/ with the files of CODE alone."""
    stages = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / stages.name
        for file in (file for pattern in CODE for file in stages.glob(pattern)):
            target = copy / file.relative_to(stages)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        yield copy


def find_broken_model(client: MlflowClient, run: Run, weights: str) -> str | None:
    """The id of a model whose upload was broken off, or whose files are gone: it is to be uploaded anew."""
    models = find_models(client, run, weights)
    broken = (one for one in models if one.status != LoggedModelStatus.READY or not has_files(client, one.model_id))
    return next((one.model_id for one in broken), None)
