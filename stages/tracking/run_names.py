"""What an MLflow run is called, and how it is tagged."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODEL_TAG = "reprogan.model_sha256"  # of the weights as trained: the run is found by it
SERVED_TAG = "reprogan.served_sha256"  # of the logged model's weights: those of the best checkpoint, say


def describe_run(name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """A run has the name of its variant; its parameters have dotted names."""
    return {"name": name, "parameters": flatten(parameters), "tags": {"reprogan.variant": name, **tags}}


def source_tags() -> dict[str, str]:
    """Where a run comes from: the command, the commit, DVC's stage and experiment."""
    variables = {"DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"} & os.environ.keys()
    git = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout if shutil.which("git") else ""
    return {
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit.strip() or "unknown",
        **{variable.lower().replace("_", ".", 1): os.environ[variable] for variable in variables},
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
