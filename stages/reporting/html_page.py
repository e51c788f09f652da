"""The report as one HTML page that needs no network: ranking, samples side by side, training, one card per variant."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from stages.reporting.diagnosis import describe_faults
from stages.reporting.markdown_page import ARROWS, format_score
from stages.reporting.plots import curves_chart, losses_chart, scores_chart
from stages.reporting.summary import Records, Report, Row
from stages.scoring.score import Score
from stages.storage.files import flatten, read_rows, write_bytes
from stages.storage.images import SCALE, grid
from stages.storage.paths import CLOSEST, CURVE, LOSSES, PICTURES, TRAINING, VARIANTS, repository

TEMPLATE = "report.html.jinja"
SIDE_BY_SIDE = 20  # samples of each variant
COLUMNS = 10  # and rows of samples in a card
WIDEST_TILES = 1300  # pixels of a grid that is made here: of large images it has fewer
WIDEST = 640  # of a picture that a stage has drawn: larger ones are scaled down
CLASSES_SHOWN = 20


def write_html(report: Report) -> str:
    """The page. It reads curves and pictures from metrics/variants, and grids along training from metrics/training."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    cards = [describe_card(report, row) for row in report.rows]
    return environment.get_template(TEMPLATE).render(
        vega=vega_script().replace("</script", "<\\/script"),
        facts=describe_facts(report),
        columns=[(score, ARROWS.get(score.better, "")) for score in report.columns()],
        real_cells=score_cells(report, report.real),
        real_strip=tiles(report.real_images, 1, SIDE_BY_SIDE),
        cards=cards,
        failed=[(name, report.failures[name]) for name in report.without],
        curves=curves_chart({card["name"]: card["curve"] for card in cards}),
        first_shown=next((card["name"] for card in cards if card["rank"] == 1 and card["moments"]), None),
        snapshot_images=f"{report.params.training.snapshot_images:,}",
    )


def vega_script() -> str:
    """vega-embed with all that it needs. To bundle it takes over a second, so the script is kept."""
    file = repository() / ".cache" / f"vega-{version('vl-convert-python')}.js"
    if not file.exists():
        write_bytes(file, vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed").encode())
    return file.read_bytes().decode()


def describe_facts(report: Report) -> list[tuple[str, str]]:
    """What was built: a name and a value each."""
    params, shape = report.params, report.real_images.shape[1:]
    run = next(iter(report.results.values())).models[0]["run"]
    return [
        ("data set", f"{params.dataset}, {shape[1]} × {shape[2]} pixels" + (", colour" if shape[0] > 1 else "")),
        ("variants", str(len(params.variants))),
        ("budget", params.budget),
        ("seeds" if len(run["seeds"]) > 1 else "seed", ", ".join(map(str, run["seeds"]))),
        ("samples of each", f"{report.sample_count():,}"),
        ("device", f"{run['device']}, {run['threads']} thread{'s' if run['threads'] > 1 else ''}"),
    ]


def score_cells(report: Report, records: Records) -> list[dict[str, Any]]:
    """A cell for each of these columns: what is shown, and the number to sort by."""
    cells = []
    for score in report.columns():
        value = records.get(score.name, {}).get("value")
        cells.append({"text": format_score(score, records), "value": value if isinstance(value, float | int) else ""})
    return cells


def describe_card(report: Report, row: Row) -> dict[str, Any]:
    """All that the page shows of a variant."""
    name = row["variant"]
    result = report.results[name]
    run = result.models[0]["run"]
    losses, curve = (read_rows(VARIANTS / name / file) for file in (LOSSES, CURVE))
    similar, differing = most_similar(name, {key: one.models[0]["run"] for key, one in report.results.items()})
    return {
        "name": name,
        "rank": row["rank"],
        "summary": result.variant.summary,
        "paper": result.variant.paper,
        "headline": f"FID {format_score(report.scores['fid'], result.scores)}",
        "generator_size": run["parameters"]["generator"],
        "size": f"{run['parameters']['generator']:,} / {run['parameters']['discriminator']:,}",
        "images": f"{run['variant']['images']:,}",
        "cells": score_cells(report, result.scores),
        "strip": tiles(report.samples[name], 1, SIDE_BY_SIDE),
        "samples": tiles(report.samples[name], COLUMNS, COLUMNS),
        "moments": list(read_moments(result.folder(TRAINING / name))),
        "pictures": list(read_pictures(result.folder(VARIANTS / name / PICTURES), VARIANTS / name / CLOSEST)),
        "curve": curve,
        "losses_chart": losses_chart(losses),
        "scores_chart": scores_chart(curve),
        "classes": describe_classes(result.scores),
        "classes_caption": caption_classes(result.scores),
        "scores": [
            (score, ARROWS.get(score.better, ""), format_score(score, result.scores), format_real(score, result.scores))
            for score in report.scores.values()
            if format_score(score, result.scores)
        ],
        "faults": describe_faults(result.models),
        "failures": report.failures.get(name, []),
        "similar": similar,
        "differences": differing,
    }


def format_real(score: Score, records: Records) -> str:
    """What real images reach of a score; empty where that is not known."""
    real = records[score.name].get("real")
    return format(real, score.format) if isinstance(real, float | int) else ""


def caption_classes(records: Records) -> str:
    """What `describe_classes` describes."""
    count = len(records.get("class_share", {"value": {}})["value"])
    return "share of each class" if count <= CLASSES_SHOWN else f"share of the {CLASSES_SHOWN} rarest classes"


def describe_classes(records: Records) -> list[dict[str, Any]]:
    """Shares among samples and among real images, of the classes that are rarest compared with real images."""
    record = records.get("class_share", {"value": {}})
    real = record.get("real", {})
    rarest = sorted(record["value"], key=lambda label: record["value"][label] / max(real.get(label, 1), 1e-9))
    chosen = set(rarest[:CLASSES_SHOWN])
    largest = max([*record["value"].values(), *real.values()], default=1.0)
    return [
        {"label": label, "share": share, "real": real.get(label, 0), "largest": largest}
        for label, share in record["value"].items()
        if label in chosen
    ]


def most_similar(name: str, runs: Mapping[str, Mapping[str, Any]]) -> tuple[str, list[tuple[str, Any, Any]]]:
    """The variant whose parameters differ least from those of `name`, and (key, its own value, the other's)."""
    flat = {other: flatten(run["variant"]) for other, run in runs.items()}
    differing = {other: differences(flat[name], values) for other, values in flat.items() if other != name}
    if not differing:
        return "", []
    closest = min(differing, key=lambda other: (len(differing[other]), other))
    return closest, differing[closest]


def differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, own value, other value) where they differ; a dash for a key that one of them lacks."""
    pairs = [(key, own.get(key, "–"), other.get(key, "–")) for key in sorted({**own, **other})]
    return [(key, here, there) for key, here, there in pairs if here != there]


def read_moments(folder: Path) -> Iterable[dict[str, Any]]:
    """The grids along training, in order of the images seen."""
    for path in sorted(folder.glob("[0-9]*.png"), key=lambda path: int(path.stem)):
        yield {"images": f"{int(path.stem):,}", "picture": embed(np.asarray(Image.open(path)))}


def read_pictures(folder: Path, closest: Path) -> Iterable[dict[str, Any]]:
    """What sample and evaluate have drawn, besides plain samples: titles, pictures, and whether they are wide."""
    drawn = {path.stem.replace("_", " "): path for path in sorted(folder.glob("*.png"))}
    drawn |= {"samples closest to a training image, each above that image: by pixels, then by features": closest}
    for title, path in drawn.items():
        if title != "samples":
            pixels = np.asarray(Image.open(path))[::SCALE, ::SCALE]
            yield {"title": title, "picture": embed(pixels), "is_wide": pixels.shape[1] > 2 * pixels.shape[0]}


def tiles(images: np.ndarray, rows: int, columns: int) -> str:
    """The first uint8 images (count, channels, height, width) in at most so many rows and columns, as a data URL."""
    most = max(1, WIDEST_TILES // (images.shape[3] + 1))
    rows, columns = min(rows, most), min(columns, most)
    return embed(grid(images[: rows * columns], columns, scale=1), WIDEST_TILES)


def embed(picture: np.ndarray, widest: int = WIDEST) -> str:
    """A uint8 picture (height, width[, 3]) as a data URL."""
    image = Image.fromarray(picture)
    if image.width > widest:
        image = image.resize((widest, round(image.height * widest / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
