"""MLflow's pages: what the experiment says of itself, which columns its table has, and where to look first."""

import json
from typing import Any

from stages.tracking.run_names import LAST_SAMPLES, NOTE_TAG

VIEW = "best-first"  # the key of a shared view, in its address
FID = "metrics.`scores/fid`"
TRAINING = "workflowType=machine_learning"  # not the pages for language models, with which MLflow begins
COLUMNS = (
    *(f"metrics.`scores/{score}`" for score in ("fid", "fid_ci95", "validation_fid", "kid", "precision", "recall")),
    "params.`variant.images`",
)
ABOUT = """GANs, trained by reprogan. Each training is a run below its build: a commit, or a DVC experiment.

- **Runs**, sorted by `scores/fid`: the best first. Lower is better. Select two runs and press *Compare*.
- **A run**: *Overview* says what the variant is, with its scores next to those of real images; *Model metrics* has the
  curves: `training/…`, `along_training/…`, and the sample grids.
- **Models**: every generator with its scores. The registered model `reprogan` has the best one as its `champion`.
- **The run of a build** has the ranking, and the report among its artifacts.
"""


def charts() -> dict[str, Any]:
    """The first charts of a comparison, as the UI stores them: samples, FID, and its curve. The UI adds all others."""
    shape = {"deleted": False, "isGenerated": False, "metricSectionId": "first", "runsCountToCompare": 20}
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "log", "yAxisKey": "metric", "range": {}}
    curve: dict[str, Any] = {
        "metricKey": "along_training/fid",
        "selectedMetricKeys": ["along_training/fid"],
        "lineSmoothness": 0,
        **axes,
    }
    cards: list[dict[str, Any]] = [
        {"type": "IMAGE", "imageKeys": [LAST_SAMPLES], "step": 0, "showRunParams": False},
        {"type": "BAR", "metricKey": "scores/fid"},
        {"type": "LINE", **curve},
    ]
    section = {"uuid": "first", "name": "Samples and FID", "display": True, "isReordered": True}
    return {
        "compareRunCharts": [{"uuid": f"first-{index}", **shape, **card} for index, card in enumerate(cards)],
        "compareRunSections": [section | {"deleted": False, "isGenerated": False}],
        "isAccordionReordered": True,  # or sections are sorted by name
    }


def experiment_tags() -> dict[str, str]:
    """Tags by which MLflow's UI knows what to show."""
    view = {
        "searchFilter": "",
        "orderByKey": FID,
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": COLUMNS,
        "runsHiddenMode": "FIRST_20_RUNS",
        **charts(),
    }
    return {
        "mlflow.experimentKind": "custom_model_development",  # the UI then shows training first
        "mlflow.experiment.primaryMetric.name": "scores/fid",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
        NOTE_TAG: ABOUT,
    }


def addresses(server: str, experiment_id: str) -> dict[str, str]:
    """Pages worth a look, by what they show."""
    experiment = f"{server}/#/experiments/{experiment_id}"
    return {
        "runs, best FID first": f"{experiment}/runs?{TRAINING}&viewStateShareKey={VIEW}",
        "their samples and curves": f"{experiment}/runs?{TRAINING}&compareRunsMode=CHART&viewStateShareKey={VIEW}",
        "generators and their scores": f"{experiment}/models?{TRAINING}",
        "the best generator": f"{server}/#/models/reprogan?{TRAINING}",
    }
