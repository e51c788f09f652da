"""Compare all variants: data/scores, data/samples -> metrics/summary.csv, metrics/report."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stages.settings.command import run_stage
from stages.settings.errors import StageError
from stages.settings.params import Params
from stages.support.files import METRICS, SAMPLES, SCORES, read_array, read_json, write_bytes
from stages.tracking.journal import Journal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES_A_ROW = 20
BLIND_SHARE = 0.25  # of an image, below which a logit cannot judge its whole
COLLAPSED = 0.25  # of what real images reach in recall, below which modes are missing
REPEATED = 10  # times real images' share of duplicates or copies, above which samples repeat
VANISHED = 0.01  # of the generator's gradient at its largest
OSCILLATIONS = 2  # rises of FID by a quarter
USUAL = 0.01  # share of copies among test images
FIRST_COLUMNS = [
    *("variant", "fid", "fid_margin", "fid_real", "fid_infinity", "kid", "precision", "recall", "density", "coverage"),
    *("inception_score", "smallest_class_share", "class_kl"),
]
MORE_SCORES = {
    "modes": "modes",
    "label_accuracy": "asked digit",
    "code_accuracy": "code names digit",
    "classification_accuracy": "accuracy of a classifier taught by samples alone",
    "classification_accuracy_real": "taught by as many real images",
    "augmented_accuracy": "taught by few real images and samples",
    "small_set_accuracy": "by these few alone",
    "outline_fid": "FID of outlines",
    "paired_l1": "L1 to pair",
    "outline_paired_l1": "outlines' L1 to pair",
    "cycle_l1": "cycle L1",
    "outline_cycle_l1": "outlines' cycle L1",
    "label_accuracy_before": "digit before",
}


def main(params: Params) -> None:
    """Rank the variants of params.yaml by FID; what an earlier one left behind is not looked at."""
    refuse_leftovers(set(params.variants))
    evaluations = {name: read_json(SCORES / name / "evaluation.json") for name in params.variants}
    summary = summarise(evaluations)
    text = summary.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_bytes(METRICS / "summary.csv", text.encode())
    write_bytes(METRICS / "report" / "samples.png", draw_samples(summary))
    write_bytes(METRICS / "report" / "scores.png", draw_scores(summary))
    write_bytes(METRICS / "report" / "variants.md", write_page(params, evaluations).encode())
    restore_runs(params, evaluations)
    shown = [column for column in ("rank", *FIRST_COLUMNS) if column in summary]  # the others are in the file
    print(summary[shown].to_string(index=False, float_format="{:.3g}".format))


def refuse_leftovers(variants: set[str]) -> None:
    """Raise StageError for folders of variants that params.yaml no longer has.

    They would count in the hash of what this stage depends on, and a rebuild elsewhere would lack them.
    """
    folders = sorted(folder for parent in (SAMPLES, SCORES) for folder in parent.iterdir())
    if leftovers := [str(folder) for folder in folders if folder.name not in variants]:
        raise StageError(f"what belongs to no variant of params.yaml is in the way: rm -r {' '.join(leftovers)}")


def summarise(evaluations: dict[str, Any]) -> pd.DataFrame:
    """One row a variant, the lowest FID first; rank counts those that are better beyond both margins."""
    rows = [
        {
            "variant": name,
            **{key: value for key, value in evaluation["scores"].items() if not isinstance(value, dict)},
            **{f"{player}_parameters": count for player, count in evaluation["models"][0]["run"]["parameters"].items()},
            "seeds": len(evaluation["models"]),
        }
        for name, evaluation in evaluations.items()
    ]
    summary = pd.DataFrame(rows).sort_values(["fid", "variant"], ignore_index=True)
    first = [column for column in FIRST_COLUMNS if column in summary]
    summary = summary[first + [column for column in summary if column not in first]]
    highest, lowest = summary["fid"] + summary["fid_margin"], summary["fid"] - summary["fid_margin"]
    ranked = ~summary.get("cycle_l1", pd.Series(np.nan, summary.index)).notna()  # translators start from test images
    ranks = [1 + int((highest[ranked] < low).sum()) for low in lowest]
    summary.insert(0, "rank", pd.Series(ranks, dtype="Int64").where(ranked))
    return summary


def write_page(params: Params, evaluations: dict[str, Any]) -> str:
    """Markdown: a row a variant, in the order of params.yaml, and what stands out about some."""
    first = next(iter(evaluations.values()))["scores"]
    real = {name.removesuffix("_real"): value for name, value in first.items() if name.endswith("_real")}
    lines = [
        "# Variants",
        "",
        f"Written by the report stage from the run. Scores are those of {first['sample_count']:,} samples against the "
        "test images; the first row has as many real training images in the samples' place (its inception score is "
        "the test images'). FID and KID are distances: less is better, and their unit is that of this pipeline's "
        "features; FID∞ is FID without the bias of few samples. Of the others more is better. After ± stands half a "
        "95 % interval. Of one seed it holds the luck of drawing: where two intervals do not meet, one trained model "
        "is better than the other. Of several seeds scores are means, and intervals Student's: they hold the luck of "
        "training, too, and say which variant is better. The smallest class has 10 % of a perfect generator's "
        "samples; KL is the divergence of all classes' shares from even ones. A picture leads to more of it.",
        "",
        "| variant | known for | paper | parameters G / D | FID | FID∞ | KID | precision / recall "
        "| density / coverage | inception score | smallest class / KL | more scores | samples |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|---|",
        f"| real images | | | | {' | '.join(_cells(real))} | | |",
    ]
    for name, evaluation in evaluations.items():
        variant, scores, models = params.variants[name], evaluation["scores"], evaluation["models"]
        counts = models[0]["run"]["parameters"]
        cells = [
            f"`{name}`" + (f"<br>mean of {len(models)} seeds" if len(models) > 1 else ""),
            variant.known_for,
            variant.paper,
            f"{counts['generator']:,} / {counts['discriminator']:,}",
            *_cells(scores),
            "<br>".join(f"{title} {scores[key]:.3g}" for key, title in MORE_SCORES.items() if key in scores),
            f'<a href="../{name}/pictures"><img src="../{name}/pictures/samples.png" width="240"></a><br>'
            f'<a href="../{name}/closest.png">beside training images</a>',
        ]
        lines.append(f"| {' | '.join(cells)} |")
    remarks = [remark for name, evaluation in evaluations.items() for remark in _remarks(name, evaluation["models"])]
    if remarks:
        lines += ["", "## What stands out", "", *(f"- {remark}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def _cells(scores: dict[str, Any]) -> list[str]:
    """The scores that all variants have, as the page shows them."""
    return [
        f"{scores['fid']:.2f} ± {scores['fid_margin']:.2f}",
        f"{scores['fid_infinity']:.2f}",
        f"{scores['kid']:.3f} ± {scores['kid_margin']:.3f}",
        " / ".join(f"{scores[name]:.2f} ± {scores[f'{name}_margin']:.2f}" for name in ("precision", "recall")),
        " / ".join(f"{scores[name]:.2f} ± {scores[f'{name}_margin']:.2f}" for name in ("density", "coverage")),
        f"{scores['inception_score']:.2f} ± {scores['inception_score_margin']:.2f}",
        f"{scores['smallest_class_share']:.1%} / {scores['class_kl']:.3f}",
    ]


def _remarks(name: str, models: list[dict[str, Any]]) -> list[str]:
    """What stands out about a variant: what all its seeds share once, the rest with the seed."""
    faults = {model["run"]["seed"]: find_faults(model) for model in models}
    shared = [fault for fault in find_faults(models[0]) if all(fault in those for those in faults.values())]
    apart = [
        f"`{name}` (seed {seed}): {fault}" for seed, those in faults.items() for fault in those if fault not in shared
    ]
    return [f"`{name}`: {fault}" for fault in shared] + apart


def find_faults(model: dict[str, Any]) -> list[str]:
    """Sentences on what is wrong with a trained model, with the numbers that say so."""
    run, scores, training = model["run"], model["scores"], model["training"]
    faults = []
    (_, height, width), (rows, columns) = run["image_shape"], run["receptive_field"]
    if rows * columns < BLIND_SHARE * height * width:
        faults.append(
            f"a logit of its discriminator sees {rows} × {columns} of {height} × {width} pixels "
            f"({rows * columns / (height * width):.0%} of the image). It can tell strokes from noise, but not a digit "
            "from strokes in the wrong places."
        )
    if "cycle_l1" in scores:
        faults.append(
            "its samples are made from outlines of the test images they are compared with, so its scores "
            "do not rank it among the others."
        )
    if evidence := find_collapse(scores):
        faults.append(f"mode collapse: {', '.join(evidence)}.")
    copies = max(scores["copies_pixels"], scores["copies_features"])
    if copies > REPEATED * USUAL:
        faults.append(
            f"{copies:.1%} of its samples are as close to one training image as only {USUAL:.0%} of "
            "test images are: it may have learned them by heart."
        )
    if training["gradient_left"] < VANISHED:
        faults.append(
            f"its discriminator has won: the generator's gradient fell to {training['gradient_left']:.1g} of what it "
            "was at its largest. A non-saturating objective or a gradient penalty keeps it alive."
        )
    if training["fid_rises"] >= OSCILLATIONS:
        faults.append(
            f"it oscillates: FID rose by a quarter or more {training['fid_rises']} times in the course of training."
        )
    return faults


def find_collapse(scores: dict[str, Any]) -> list[str]:
    """The evidence where a generator knows only part of the data, else nothing.

    Coverage belongs to the evidence, but decides nothing: it is low for malformed samples, too.
    """
    repeats = scores["duplicates"] > REPEATED * scores["duplicates_real"]
    if scores["recall"] >= COLLAPSED * scores["recall_real"] and not repeats and not scores["classes_lost"]:
        return []
    evidence = [
        f"{score} {scores[score]:.2f} (real images {scores[f'{score}_real']:.2f})" for score in ("recall", "coverage")
    ]
    evidence.append(f"duplicates {scores['duplicates']:.1%} (real images {scores['duplicates_real']:.1%})")
    if scores["classes_lost"]:
        shares = sorted(scores.get("class_share", {}).items(), key=lambda item: item[1])[: scores["classes_lost"]]
        lost = ", ".join(f"{label} ({share:.1%})" for label, share in sorted(shares))
        evidence.append(f"hardly any samples of {scores['classes_lost']} classes{': ' if lost else ''}{lost}")
    return evidence


def draw_samples(summary: pd.DataFrame) -> bytes:
    """PNG: a row of samples a variant, the best first."""
    figure = _figure(10, 0.72 * len(summary))
    axes = figure.subplots(len(summary), squeeze=False)[:, 0]
    for axis, (_, row) in zip(axes, summary.iterrows(), strict=True):
        images = read_array(SAMPLES / row["variant"] / "images.npy")[:SAMPLES_A_ROW]
        strip = np.concatenate(list(images), axis=2).transpose(1, 2, 0)
        axis.imshow(strip.squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{row['variant']}: FID {row['fid']:.2f}", fontsize=8, loc="left", pad=2)
        axis.axis("off")
    return _png(figure)


def draw_scores(summary: pd.DataFrame) -> bytes:
    """PNG: FID on a logarithmic axis, beside real images', and inception score beside real images'."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure = _figure(9, 1.4 + 0.35 * len(summary))
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(summary["variant"], summary["fid"], xerr=summary["fid_margin"], color="tab:blue")
    left.axvline(summary["fid_real"].iloc[0], color="black", linestyle="--")
    left.set(xscale="log", xlabel="FID (lower is better)")
    left.set_title("dashed: real against real", fontsize=9)
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    right.barh(
        summary["variant"], summary["inception_score"], xerr=summary["inception_score_margin"], color="tab:orange"
    )
    right.axvline(summary["inception_score_real"].iloc[0], color="black", linestyle="--")
    right.set(xlabel="inception score (higher is better)")
    right.set_title("dashed: real test images", fontsize=9)
    left.invert_yaxis()
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # half a second that a refused params.yaml need not wait for

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def restore_runs(params: Params, evaluations: dict[str, Any]) -> None:
    """Give each model a run in MLflow where the store knows none: its stages came from the cache."""
    with Journal(params.tracking, "report") as journal:
        for name, evaluation in evaluations.items():
            for model in evaluation["models"]:
                run = model["run"]
                journal.join_run(name, model["model_sha256"], run["checkpoint"], otherwise=run)
                journal.metrics(run["variant"]["images"], model["scores"])


if __name__ == "__main__":
    run_stage(main, __doc__)
