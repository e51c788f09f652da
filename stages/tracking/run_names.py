"""What an MLflow run is called, how it is tagged, and what belongs to it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.config.params import PARAMS_FILE
from stages.storage.files import flatten
from stages.tracking.builds import find_build, git, parse, variants_of
from stages.tracking.descriptions import describe_variant

MODEL_TAG = "reprogan.model_sha256"  # of the weights as trained: the run is found by it
SERVED_TAG = "reprogan.served_sha256"  # of the logged model's weights: those of the best checkpoint, say
VARIANT_TAG = "reprogan.variant"  # every run that is not a build has it
BUILD_TAG = "reprogan.build"  # the key of a build, on the parent of its runs
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # Markdown, which the UI shows as the description
LAST_SAMPLES = "along_training/last_samples"  # the last grid
REAL = "real."  # prefix of tags: what real images reach
# keys of params.yaml that change no training, or that a name shows in another way
NOT_SHOWN = ("tracking.", "resume.", "fetch.", "training.seeds")
MOST_CHANGES = 3  # in a name; the run's parameters list all


def describe_run(
    name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], *, is_now: bool = True
) -> dict[str, Any]:
    """A run has the name of its variant and, if it trains now, of what it changes; its parameters have dotted names."""
    note = {NOTE_TAG: text} if (text := describe_variant(name)) else {}
    return {
        "name": name_run(name, parameters, is_now=is_now),
        "parameters": flatten(parameters),
        "tags": {VARIANT_TAG: name, **note, **tags},
        "build": find_build(),
    }


def name_run(name: str, parameters: Mapping[str, Any], *, is_now: bool = True) -> str:
    """The variant, its seed if there are several, and parameters that differ from git: `mlp: batch_size=32`."""
    seeds = parameters.get("seeds") or ()
    seed = f" (seed {parameters['seed']})" if len(seeds) > 1 else ""
    changes = find_changes(name) if is_now else []
    others = [f"{len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
    listed = ", ".join(changes[:MOST_CHANGES] + others)
    return f"{name}{seed}: {listed}" if listed else f"{name}{seed}"


def find_changes(name: str) -> list[str]:
    """Parameters of this variant or of all that differ from the experiment's baseline or HEAD: `key=value`."""
    baseline = os.environ.get("DVC_EXP_BASELINE_REV") or "HEAD"
    if git("diff", "--quiet", baseline, "--", str(PARAMS_FILE)) is not None:
        return []
    before, now = parse(git("show", f"{baseline}:./{PARAMS_FILE}") or ""), parse(PARAMS_FILE)
    if name not in variants_of(before):  # new, all of it; or git does not know
        return []
    earlier, own = flatten(before), f"variants.{name}."
    changed = {key: value for key, value in flatten(now).items() if earlier.get(key) != value}
    return [
        f"{key.removeprefix(own)}={value}"
        for key, value in changed.items()
        if (key.startswith(own) or not key.startswith(("variants.", *NOT_SHOWN))) and is_in_use(key, now)
    ]


def is_in_use(key: str, params: Mapping[str, Any]) -> bool:
    """Whether a key is neither the length of another budget nor a text."""
    *_, group, last = ["", *key.split(".")]
    return last not in ("summary", "paper") and (group != "images" or last == params.get("budget"))


def source_tags() -> dict[str, str]:
    """Where a run comes from: the command, the commit, DVC's stage and experiment."""
    variables = {"DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"} & os.environ.keys()
    return {
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git("rev-parse", "HEAD") or "unknown",
        **{variable.lower().replace("_", ".", 1): os.environ[variable] for variable in variables},
    }
