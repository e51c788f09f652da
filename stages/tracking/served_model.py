"""A trained generator as an MLflow model. Code and safetensors, no pickle.

Rows of seed, and of label where labels count, to images; a translator takes images instead.
"""

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

from stages.adversarial.network import Generator, Translator
from stages.sample import load_generator
from stages.support.images import to_float, to_uint8

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "safetensors", "torch")


class ServedGenerator(PythonModel):
    """Each row's image comes from its own seed."""

    generator: Generator

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that were logged."""
        self.generator = load_generator(Path(context.artifacts["model"]), torch.device("cpu")).eval()

    def predict(
        self, context: PythonModelContext, model_input: Any, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """uint8 images (rows, channels, height, width).

        From the columns seed and label of a table; a translator makes digits from uint8 images of outlines.
        """
        if isinstance(self.generator, Translator):
            with torch.inference_mode():
                outlines = to_float(torch.from_numpy(np.asarray(model_input, np.uint8)))
                return to_uint8(self.generator.translate(outlines, "digits")).numpy()
        labels = model_input["label"].tolist() if "label" in model_input else [0] * len(model_input)
        rows = zip(model_input["seed"].tolist(), labels, strict=True)
        images = [self.generator.sample(torch.tensor([label]), seed=seed) for seed, label in rows]
        return to_uint8(torch.cat(images)).numpy()


def log_model(name: str, folder: Path, image_shape: list[int]) -> None:
    """Log a model's folder to the active run under a name, with signature and input example."""
    from importlib.metadata import version

    images = Schema([TensorSpec(np.dtype(np.uint8), (-1, *image_shape))])
    generator = load_generator(folder, torch.device("cpu"))
    example: Any
    if isinstance(generator, Translator):
        inputs, example = images, np.zeros((2, *image_shape), np.uint8)
    else:
        columns = ["seed"] if generator.label_role == "ignored" else ["seed", "label"]
        inputs = Schema([ColSpec(DataType.long, column) for column in columns])
        example = pd.DataFrame({column: [0, 1] for column in columns})
    mlflow.pyfunc.log_model(
        name=name,
        python_model=__file__,
        artifacts={"model": str(folder)},
        code_paths=[str(Path(__file__).parent.parent)],
        signature=ModelSignature(inputs=inputs, outputs=images),
        input_example=example,
        pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in REQUIREMENTS],
    )


set_model(ServedGenerator())
