"""Compare all variants: metrics/scores, data/samples -> metrics/summary.csv, metrics/report."""

from __future__ import annotations

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Params
from stages.reporting.page import write_page
from stages.reporting.plots import draw_samples, draw_scores
from stages.reporting.summary import Result, sort_by_fid, summarize, summary_columns, summary_to_text, table_scores
from stages.scoring.score import find_scores
from stages.scoring.seeds import average_scores
from stages.storage.files import read_array, read_json, write_bytes, write_csv
from stages.storage.paths import IMAGES, METRICS, REFERENCE, REPORT, SAMPLES, SCORES
from stages.tracking.restored_runs import restore_runs


def main(params: Params) -> None:
    """Rank the variants of params.yaml by FID; raise StageError where files of a removed one are left."""
    refuse_leftovers(set(params.variants))
    scores = find_scores()
    real = read_json(REFERENCE / "real.json")["scores"]
    results = [read_result(params, name) for name in params.variants]
    by_fid = sort_by_fid(results)
    rows = summarize(by_fid)
    write_csv(METRICS / "summary.csv", summary_columns(rows, scores), rows)
    images = {name: read_array(SAMPLES / name / IMAGES) for name in params.variants}
    write_bytes(REPORT / "samples.png", draw_samples(by_fid, images))
    write_bytes(REPORT / "scores.png", draw_scores(by_fid))
    write_bytes(REPORT / "variants.md", write_page(results, scores, real, params.sample.count).encode())
    restore_runs(params.tracking, {result.name: result.models for result in results})
    print(summary_to_text(rows, table_scores(results, scores)))


def read_result(params: Params, name: str) -> Result:
    """The scores of a variant's models, and their mean."""
    models = read_json(SCORES / f"{name}.json")["models"]
    return Result(name, params.variants[name], models, average_scores([model["scores"] for model in models]))


def refuse_leftovers(variants: set[str]) -> None:
    """Raise StageError for folders of samples and files of scores whose variant is no longer in params.yaml.

    They would count in the hash of what this stage depends on, and a rebuild elsewhere would lack them.
    """
    found = sorted(path for parent in (SAMPLES, SCORES) for path in parent.iterdir())
    if leftovers := [str(path) for path in found if path.stem not in variants]:
        raise StageError(f"what belongs to no variant of params.yaml is in the way: rm -r {' '.join(leftovers)}")


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
