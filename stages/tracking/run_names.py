"""What an MLflow run is called, how it is tagged, and what belongs to it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.tracking.builds import find_build, flatten, git, name_run
from stages.tracking.descriptions import describe_variant

MODEL_TAG = "reprogan.model_sha256"  # of the weights as trained: the run is found by it
SERVED_TAG = "reprogan.served_sha256"  # of the logged model's weights: those of the best checkpoint, say
VARIANT_TAG = "reprogan.variant"  # a run that is no build has it
BUILD_TAG = "reprogan.build"  # the key of a build, on the parent of its runs
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # Markdown, which the UI shows as the description
LAST_SAMPLES = "along_training/last_samples"  # the last grid
REAL = "real."  # begins tags: what real images reach


def describe_run(name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """A run has the name of its variant and of what it changes; its parameters have dotted names."""
    note = {NOTE_TAG: text} if (text := describe_variant(name)) else {}
    return {
        "name": name_run(name, parameters),
        "parameters": flatten(parameters),
        "tags": {VARIANT_TAG: name, **note, **tags},
        "build": find_build(),
    }


def source_tags() -> dict[str, str]:
    """Where a run comes from: the command, the commit, DVC's stage and experiment."""
    variables = {"DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"} & os.environ.keys()
    return {
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git("rev-parse", "HEAD") or "unknown",
        **{variable.lower().replace("_", ".", 1): os.environ[variable] for variable in variables},
    }
