"""Hand-made records: what evaluate writes of a model that has no faults."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stages.config.params import load
from stages.reporting.summary import Report, Result, summarize
from stages.scoring.score import Estimate, Score
from tests.conftest import ROOT

VALUES = {
    "fid": (1.234, 0.06),
    "fid_infinity": (1.1, None),
    "kid": (0.0123, 0.004),
    "precision": (0.91, 0.01),
    "recall": (0.82, 0.02),
    "density": (1.03, 0.03),
    "coverage": (0.74, 0.04),
    "inception_score": (9.0, 0.1),
    "duplicates": (0.01, None),
    "classes_lost": (0, None),
    "copies_pixels": (0.01, None),
    "copies_features": (0.01, None),
}
EVEN = {str(digit): 0.1 for digit in range(10)}


def declare(name: str, **declared: Any) -> Score:
    """A score that no file declares."""
    fields: dict[str, Any] = {"title": name, "description": "", "format": ".1f", "position": 5} | declared
    return Score(name=name, compute=lambda images, context: None, **fields)


def record(value: Any, ci95: float | None = None, real: float | None = None) -> dict[str, Any]:
    return Estimate(value, ci95, real=real).record()


def model(class_share: Mapping[str, float] = EVEN, **scores: Any) -> dict[str, Any]:
    """One of the models in scores.json of a variant; `scores` replace the values of some, or add to them."""
    records = {name: record(value, ci95, real=value + 0.03) for name, (value, ci95) in VALUES.items()}
    for name, value in scores.items():
        records[name] = records.get(name, {}) | {"value": value}
    return {
        "seed": 7,
        "model_sha256": "0" * 64,
        "sample_count": 30,
        "scores": records | {"class_share": record(dict(class_share)) | {"real": dict.fromkeys(class_share, 0.1)}},
        "training": {"gradient_left": 0.5, "fid_rises": 1},
        "checkpoint": {"rule": "last", "images": 640},
        "run": {
            "variant": {"images": 640, "batch_size": 8},
            "seeds": [7],
            "device": "cpu",
            "threads": 1,
            "parameters": {"generator": 1234567, "discriminator": 4},
            "image_shape": [1, 28, 28],
            "receptive_field": [28, 28],
            "starts_from": "latents",
            "checkpoint": "last",
            "seed": 7,
        },
    }


def report(results: Mapping[str, Result], scores: Mapping[str, Score], real: Any, **changes: Any) -> Report:
    """A report of these results, without pictures."""
    params = load(ROOT / "params.yaml", components=False)
    _, rows = summarize(results, scores)
    whole = Report(params, results, rows, scores, real, {}, np.zeros((1, 1, 28, 28), np.uint8), {}, {})
    return replace(whole, **changes)


def result(variant: Any, *models: dict[str, Any]) -> Result:
    """A variant with the scores of its first model."""
    return Result(variant, models, models[0]["scores"])
