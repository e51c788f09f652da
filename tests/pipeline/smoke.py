"""The smoke build that these tests share, and how to read what it did."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

# to keep the time short: labelled, translating both ways or one, plain, growing; test_scoring.py has codes,
# test_networks.py all
VARIANTS = ("cgan", "cyclegan", "mlp", "progan", "srgan")
TRANSLATORS = ("cyclegan", "srgan")
FEWER = {  # to keep the time short: images and draws
    "sample.count": 1000,
    "training.snapshots": 4,
    "evaluate.resamples": 5,
    "evaluate.kid_subsets": 10,
    "evaluate.copies_samples": 100,
    "classifier.images.smoke": 6400,
    "classifier.width": 4,
    "classifier.feature_size": 64,  # FID∞ needs ten samples a feature
    "resume.every_seconds": 0.2,
}
SHORTER = {"cyclegan": 320, "progan": 800, "srgan": 320}  # trainings, in images
BEFORE = {"check", "fetch", "preprocess", "classifier", "reference"}


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def stages_of(*variants: str) -> set[str]:
    return {f"{stage}@{variant}" for stage in ("train", "sample", "evaluate") for variant in variants}


def mlflow_runs(repository: Path) -> list[Any]:
    """All runs but those of builds, oldest first."""
    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("reprogan")
    assert experiment is not None
    assert experiment.artifact_location == (repository / "mlartifacts").as_uri()
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return [run for run in found if "reprogan.build" not in run.data.tags]


def scores_of(repository: Path, variant: str) -> dict[str, Any]:
    """The records of a variant's scores, for its first seed."""
    return json.loads((repository / f"metrics/variants/{variant}/scores.json").read_text())["models"][0]["scores"]
