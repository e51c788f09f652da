"""A trained generator as MLflow's model server loads it.

The server has neither the repository nor the tracking store: whatever this file imports is logged with each model.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from stages.sampling.loading import load_generator
from stages.serving.requests import serve
from stages.storage.files import one_line, read_json
from stages.storage.paths import CONFIG
from stages.storage.pixels import to_uint8


class ServedGenerator:
    """Each row's image comes from its own seed; a translator takes images instead of rows."""

    def __init__(self, folder: Path) -> None:
        self.generator = load_generator(folder)
        self.classes = read_json(folder / CONFIG)["classes"]

    def predict(self, model_input: Any) -> np.ndarray:
        """uint8 images (rows, channels, height, width); a server answers 400 to the MlflowException of a bad row."""
        try:
            with torch.inference_mode():
                return to_uint8(serve(self.generator, model_input, self.classes)).numpy()
        except ValueError as error:
            raise mlflow.MlflowException(one_line(error), INVALID_PARAMETER_VALUE) from None


def _load_pyfunc(folder: str) -> ServedGenerator:
    """What MLflow calls with the folder of the model's files."""
    return ServedGenerator(Path(folder))
