"""A trained generator as an MLflow model: rows of seed and label to images. Code and safetensors, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from stages.adversarial.network import Generator
from stages.sample import load_generator
from stages.support.images import to_uint8

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "safetensors", "torch")


class ServedGenerator(PythonModel):
    """Each row's image comes from its own seed; labels count for conditional generators only."""

    generator: Generator

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that were logged."""
        self.generator = load_generator(Path(context.artifacts["model"]), torch.device("cpu"))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """uint8 images (rows, channels, height, width) from the columns seed and label."""
        rows = zip(model_input["seed"].tolist(), model_input["label"].tolist(), strict=True)
        images = [self.generator.sample(torch.tensor([label]), seed=seed) for seed, label in rows]
        return to_uint8(torch.cat(images)).numpy()


def log_model(name: str, folder: Path, image_shape: list[int]) -> None:
    """Log a model's folder to the active run under a name, with signature and input example."""
    from importlib.metadata import version

    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.long, "seed"), ColSpec(DataType.long, "label")]),
        outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *image_shape))]),
    )
    mlflow.pyfunc.log_model(
        name=name,
        python_model=__file__,
        artifacts={"model": str(folder)},
        code_paths=[str(Path(__file__).parent.parent)],
        signature=signature,
        input_example=pd.DataFrame({"seed": [0, 1], "label": [0, 1]}),
        pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in REQUIREMENTS],
    )


set_model(ServedGenerator())
