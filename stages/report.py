"""Compare all variants: metrics/scores, data/samples -> metrics/summary.csv, metrics/report."""

from collections.abc import Mapping
from typing import Any

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Params
from stages.reporting.page import write_page
from stages.reporting.summary import Result, summarize
from stages.scoring.score import find_scores
from stages.scoring.seeds import average_scores
from stages.storage.files import read_array, read_json, write_bytes, write_csv
from stages.storage.paths import IMAGES, REAL_SCORES, REPORT, SAMPLES, SCORES, SUMMARY
from stages.tracking.restored_runs import restore_runs


def main(params: Params) -> None:
    """Rank the variants of params.yaml by FID.

    Raises StageError where files of a removed variant are left, and when all is written, where a variant has no scores.
    """
    from stages.reporting.plots import draw_samples, draw_scores  # matplotlib: a refused params.yaml does not wait

    refuse_leftovers(set(params.variants))
    scores, real = find_scores(), read_json(REAL_SCORES)["scores"]
    evaluated = {name: read_evaluation(name) for name in params.variants}
    models = {name: found["models"] for name, found in evaluated.items()}
    results = {
        name: Result(params.variants[name], of_one, average_scores([model["scores"] for model in of_one]))
        for name, of_one in models.items()
        if of_one
    }
    if not results:
        raise StageError("no variant has scores")
    failures = {name: found["failures"] for name, found in evaluated.items() if found["failures"]}
    without = {name: variant for name, variant in params.variants.items() if name not in results}
    columns, rows = summarize(results, scores)
    images = {name: read_array(SAMPLES / name / IMAGES) for name in results}
    write_csv(SUMMARY, columns, rows + [{"variant": name, "seeds": 0} for name in without])
    write_bytes(REPORT / "samples.png", draw_samples(rows, images))
    write_bytes(REPORT / "scores.png", draw_scores(rows))
    page = write_page(results, scores, real, params.sample.count, without, failures)
    write_bytes(REPORT / "variants.md", page.encode())
    restore_runs(params.tracking, models)
    for row in rows:
        print(f"{row['rank'] or '-':>4}  {row['variant']:16}  FID {row['fid']:.2f} ± {row['fid_ci95']:.2f}")
    if without:
        raise StageError("\n".join(f"no scores: {reason}" for name in without for reason in failures[name]))


def read_evaluation(name: str) -> Mapping[str, Any]:
    """Models with scores of a variant, and a line for each that has none."""
    path = SCORES / f"{name}.json"
    if not path.exists():
        return {"models": [], "failures": [f"{name} was not built"]}
    return read_json(path)


def refuse_leftovers(variants: set[str]) -> None:
    """Raise StageError for samples and scores of removed variants: they would count in this stage's dependencies."""
    found = sorted(path for folder in (SAMPLES, SCORES) if folder.is_dir() for path in folder.iterdir())
    if leftovers := [str(path) for path in found if path.stem not in variants]:
        raise StageError(f"what belongs to no variant of params.yaml is in the way: rm -r {' '.join(leftovers)}")


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
