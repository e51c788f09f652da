"""MLflow's protocol for scoring over HTTP: a JSON or CSV body to a model's inputs, images to a JSON answer."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from stages.config.errors import ParameterError
from stages.contracts.translator import Translator
from stages.serving.requests import serve
from stages.serving.trained_model import TrainedModel
from stages.storage.files import one_line
from stages.storage.pixels import to_uint8

JSON, CSV = scoring_server.CONTENT_TYPE_JSON, scoring_server.CONTENT_TYPE_CSV
FORMATS = ("dataframe_records", "dataframe_split", "inputs", "instances")
EXPECTED = f"expected a JSON object with one of: {', '.join(FORMATS)}"


def answer(model: TrainedModel, body: bytes, content_type: str) -> bytes:
    """What `mlflow models serve` answers to the same request: {"predictions": uint8 images as nested lists}.

    Raises ParameterError, in one line that says what is allowed, for a request that the model cannot answer.
    """
    inputs = parse(body, content_type)
    try:
        if isinstance(model.generator, Translator):
            inputs, shape = the_images(inputs), model.generator.source_shape(model.image_shape)
            if np.ndim(inputs) == 4 and np.shape(inputs)[1:] != shape:
                raise ValueError(f"expected images of {shape}; got {np.shape(inputs)[1:]}")
        images = to_uint8(serve(model.generator, inputs, model.classes, model.most_rows)).numpy()
    except ValueError as error:
        raise ParameterError(one_line(error)) from None
    return json.dumps({"predictions": images.tolist()}).encode()


def parse(body: bytes, content_type: str) -> Any:
    """The inputs of a request's body, as MLflow parses them: a DataFrame, or arrays by name or alone.

    The labels of a CSV stay text: MLflow would turn 007 into 7, and NA into a missing value.
    """
    try:
        if content_type == CSV:
            return pd.read_csv(io.StringIO(body.decode()), dtype={"label": str}, keep_default_na=False)
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"the body cannot be read: {one_line(error)}; {EXPECTED}") from None
    given = [name for name in FORMATS if name in content] if isinstance(content, dict) else []
    if len(given) != 1:
        raise ParameterError(f"{EXPECTED}; got {one_line(list(content) if isinstance(content, dict) else 'none')}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of lists that are not all of one length
            return scoring_server.infer_and_parse_data({given[0]: content[given[0]]})
    except (MlflowException, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ParameterError(f"{given[0]} cannot be read: {one_line(error)}") from None


def the_images(inputs: Any) -> Any:
    """The one array of a translator's inputs: the only column or the only named one, or the inputs themselves."""
    if not hasattr(inputs, "keys"):
        return inputs
    names = list(inputs.keys())
    if len(names) != 1:
        raise ValueError(f"expected images alone; got {one_line(names)}")
    return inputs[names[0]]
