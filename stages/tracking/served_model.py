"""A trained generator as an MLflow model: code and safetensors, no pickle."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.entities import LoggedModelStatus, Run
from mlflow.models import infer_signature, set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.tracking import MlflowClient
from typing_extensions import override

from stages.contracts.generator import ImageShape
from stages.sampling.loading import load_generator
from stages.serving.requests import example_inputs, serve
from stages.storage.files import one_line, read_json, sha256
from stages.storage.paths import CONFIG, GENERATOR
from stages.storage.pixels import to_uint8

NEEDED = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "ruamel.yaml", "safetensors", "torch", "typing_extensions")

# what of stages/ a served generator may import; a server takes a request for each file
FOLDERS = ("config", "contracts", "gans", "networks", "sampling", "storage", "training")
CODE = ("__init__.py", *(f"{folder}/*.py" for folder in FOLDERS), "serving/__init__.py", "serving/requests.py")


class ServedGenerator(PythonModel):
    """Each row's image comes from its own seed; a translator takes images instead of rows."""

    @override
    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["model"])
        self.generator = load_generator(folder, torch.device("cpu"))
        self.classes = read_json(folder / CONFIG)["classes"]

    @override
    def predict(self, context: PythonModelContext, model_input: Any, params: Any = None) -> np.ndarray:
        """uint8 images (rows, channels, height, width); a server answers 400 to the MlflowException of a bad row."""
        try:
            with torch.inference_mode():
                return to_uint8(serve(self.generator, model_input, self.classes)).numpy()
        except ValueError as error:
            raise mlflow.MlflowException(one_line(error), INVALID_PARAMETER_VALUE) from None


def log_model(client: MlflowClient, run: Run, folder: Path, image_shape: ImageShape) -> None:
    """Log a model's folder to a run under its name, with signature, input example and names of classes."""
    from stages.tracking.run_names import SERVED_TAG  # not above: a server of models has no store

    model, context = ServedGenerator(), PythonModelContext({"model": str(folder)}, {})
    model.load_context(context)
    inputs = example_inputs(model.generator, image_shape, model.classes)
    example = pd.DataFrame(inputs) if isinstance(inputs, Mapping) else inputs
    weights = sha256(folder / GENERATOR)
    broken = find_broken_model(client, run, weights)
    # MLflow links a model to the active run, and raises where it is linked already
    active_run: Any = (
        mlflow.start_run(run_id=run.info.run_id, log_system_metrics=False) if not broken else nullcontext()
    )
    try:
        with active_run, served_code() as code:
            mlflow.pyfunc.log_model(
                name=run.info.run_name,
                model_id=broken,
                python_model=__file__,
                artifacts=context.artifacts,
                code_paths=[str(code)],
                signature=infer_signature(example, model.predict(context, example)),
                input_example=example,
                metadata={"classes": model.classes},
                tags={SERVED_TAG: weights},
                pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in NEEDED],
            )
    finally:  # MLflow takes the run for ended, as it would be where the active run is a script's own
        client.set_terminated(run.info.run_id, run.info.status, run.info.end_time)


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
    from stages.tracking.registry import find_models, has_files

    models = find_models(client, run, weights)
    broken = (one for one in models if one.status != LoggedModelStatus.READY or not has_files(client, one.model_id))
    return next((one.model_id for one in broken), None)


set_model(ServedGenerator())
