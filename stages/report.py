"""Compare all variants: metrics/variants, data/samples, models -> metrics/{summary.csv,report}, data/champion."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Params
from stages.reporting.markdown_page import write_markdown
from stages.reporting.summary import Report, Result, find_champion, summarize
from stages.sampling.snapshots import snapshot_weights
from stages.scoring.score import find_scores
from stages.scoring.seeds import average_scores
from stages.storage.files import read_array, read_json, read_rows, write_bytes, write_csv
from stages.storage.paths import (
    CHAMPION,
    CONFIG,
    CURVE,
    GENERATOR,
    IMAGES,
    LOSSES,
    METRICS,
    MODELS,
    PAGE,
    PROCESSED,
    REAL_SCORES,
    REPORT,
    SAMPLES,
    SCORES,
    SUMMARY,
    TRAINING,
    VARIANTS,
    seed_folder,
)
from stages.tracking.recorded_scores import record_report

SHOWN = 100  # images of each variant: no more are read


def main(params: Params) -> None:
    """Rank the variants of params.yaml by FID.

    Raises StageError if files of a removed variant are left, and, after all is written, if a variant has no scores.
    """
    # slow imports: a refused params.yaml does not wait for them
    from stages.reporting.html_page import write_html
    from stages.reporting.pictures import draw_samples, draw_scores

    refuse_leftovers(set(params.variants))
    scores, real = find_scores(), read_json(REAL_SCORES)["scores"]
    results, failures = read_results(params)
    without = {name: variant for name, variant in params.variants.items() if name not in results}
    columns, rows = summarize(results, scores)
    images = {
        name: read_array(result.folder(SAMPLES / name) / IMAGES, mapped=True)[:SHOWN]
        for name, result in results.items()
    }
    real_images = read_array(PROCESSED / "test" / IMAGES, mapped=True)[:SHOWN]
    report = Report(params, results, rows, scores, real, images, real_images, without, failures)
    write_csv(SUMMARY, columns, rows + [{"variant": name, "seeds": 0} for name in without])
    for curves, scalars in ((CURVE, ["fid"]), (LOSSES, ["discriminator_loss", "generator_loss"])):
        write_curves(results, curves, scalars)
    write_bytes(REPORT / "samples.png", draw_samples(rows, images, real_images))
    write_bytes(REPORT / "scores.png", draw_scores(rows))
    write_bytes(REPORT / "variants.md", write_markdown(report).encode())
    write_bytes(REPORT / PAGE, write_html(report).encode())
    models = {name: result.models for name, result in results.items()}
    write_champion(models)
    record_report(params.tracking, models)
    for row in rows:
        print(f"{row['rank'] or '-':>4}  {row['variant']:16}  FID {row['fid']:.2f} ± {row['fid_ci95']:.2f}")
    print("equal ranks: the 95 % intervals overlap")
    if any(row["rank"] is None for row in rows):
        print("-: no rank, because it starts from test images: its FID is not comparable with the others")
    if without:
        raise StageError("\n".join(f"no scores: {reason}" for name in without for reason in failures[name]))


def read_results(params: Params) -> tuple[dict[str, Result], dict[str, Sequence[str]]]:
    """Results by variant, and failures by variant; raises StageError if there is no result at all."""
    evaluated = {name: read_evaluation(name) for name in params.variants}
    failures = {name: found["failures"] for name, found in evaluated.items() if found["failures"]}
    results = {
        name: Result(params.variants[name], models, average_scores([model["scores"] for model in models]))
        for name, found in evaluated.items()
        if (models := found["models"])
    }
    if not results:
        reasons = [f"{name}: {reason}" for name, of_one in failures.items() for reason in of_one]
        raise StageError("\n".join(["no variant has scores", *reasons]))
    return results, failures


def write_champion(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the best generator to data/champion, as DVC's artifact; an empty folder where all are translators."""
    CHAMPION.mkdir(parents=True, exist_ok=True)
    for earlier in (CHAMPION / CONFIG, CHAMPION / GENERATOR):
        earlier.unlink(missing_ok=True)
    if champion := find_champion(models):
        name, best = champion
        folder = seed_folder(MODELS / name, best["run"]["seeds"], best["run"]["seed"])
        write_bytes(CHAMPION / CONFIG, (folder / CONFIG).read_bytes())
        write_bytes(CHAMPION / GENERATOR, read_generator(folder, best["checkpoint"]))


def read_generator(folder: Path, checkpoint: Mapping[str, Any]) -> bytes:
    """The weights that samples were drawn with, as the bytes of a safetensors file."""
    if checkpoint["rule"] == "last":
        return (folder / GENERATOR).read_bytes()
    return snapshot_weights(folder, checkpoint["images"])


def write_curves(names: Iterable[str], file: str, scalars: list[str]) -> None:
    """Write some scalars of a file of curves of all variants as one file, for DVC's plots."""
    rows = [
        {"variant": name, **row, "seed": int(row["seed"]), "images": int(row["images"])}
        for name in names
        for row in read_rows(VARIANTS / name / file)
    ]
    write_csv(REPORT / file, ["variant", "seed", "images", *scalars], rows)


def read_evaluation(name: str) -> Mapping[str, Any]:
    """Models with scores of a variant, and a line for each that has none."""
    path = VARIANTS / name / SCORES
    if not path.exists():
        return {"models": [], "failures": [f"{name} was not built"]}
    return read_json(path)


def refuse_leftovers(variants: set[str]) -> None:
    """Raise StageError for files of removed variants: they would count among this stage's dependencies."""
    folders = (SAMPLES, TRAINING, VARIANTS)
    found = sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())
    if leftovers := [path for path in found if path.name not in variants]:
        names = sorted({path.name for path in leftovers})
        besides = [path for name in names for path in (MODELS / name, METRICS / f"{name}.json") if path.exists()]
        listed = shlex.join(map(str, leftovers + besides))
        raise StageError(f"remove files of variants that params.yaml does not have: rm -r {listed}")


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
