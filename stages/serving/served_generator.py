"""A trained generator as MLflow's model server runs it.

The server has neither the repository nor the tracking store: whatever this file imports is logged with each model.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from typing_extensions import override

from stages.sampling.loading import load_generator
from stages.serving.requests import serve
from stages.storage.files import one_line, read_json
from stages.storage.paths import CONFIG
from stages.storage.pixels import to_uint8


class ServedGenerator(PythonModel):
    """Each row's image comes from its own seed; a translator takes images instead of rows."""

    @override
    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["model"])
        self.generator = load_generator(folder)
        self.classes = read_json(folder / CONFIG)["classes"]

    @override
    def predict(self, context: PythonModelContext, model_input: Any, params: Any = None) -> np.ndarray:
        """uint8 images (rows, channels, height, width); a server answers 400 to the MlflowException of a bad row."""
        try:
            with torch.inference_mode():
                return to_uint8(serve(self.generator, model_input, self.classes)).numpy()
        except ValueError as error:
            raise mlflow.MlflowException(one_line(error), INVALID_PARAMETER_VALUE) from None


set_model(ServedGenerator())
