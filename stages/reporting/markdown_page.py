"""The page of variants, and the table of scores for docs/scores.md: Markdown that follows the declared scores."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from stages.config.params import Variant
from stages.reporting.diagnosis import describe_faults
from stages.reporting.summary import Records, Report, Result
from stages.scoring.score import Score
from stages.storage.paths import PICTURES

ARROWS = {"lower": "↓", "higher": "↑"}
INTRODUCTION = """\
# Variants

The report stage writes this page. Scores compare {count:,} samples of each variant with the test images. The first row
is the real baseline: as many training images (all, if they are fewer), or for the inception score and the accuracies
of labels and codes the test images.
A rank is one more than the number of variants whose FID interval lies entirely below. Variants that start from test
images have none (-).

They were trained in the budget `{budget}`, on different numbers of images: this ranks trainings, not methods.{fairer}

Arrows show which direction is better. [Scores](../../docs/scores.md) explains each one. FID and KID use the features of
this pipeline's classifier: do not compare them with numbers from other features.

± is the half width of a 95 % confidence interval. With one seed the interval covers sampling noise only: use it to
compare trained models. With several seeds scores are means, and the interval is a Student-t interval that also covers
training noise: use it to compare variants.
"""
FAIRER = "\nOn MNIST [ten minutes of one core each](../../docs/results/long.md) is a fairer comparison."
SIZES = ("parameters G / D", "training images seen")
CELL = (
    '<a href="../variants/{pictures}"><img src="../variants/{pictures}/samples.png" width="240"></a><br>'
    '<a href="../variants/{name}/closest.png">next to training images</a>'
)


def write_markdown(report: Report) -> str:
    """Real images' scores, one row per variant (ranked ones first, without scores last), and what stands out."""
    results, scores, real = report.results, report.scores, report.real
    shown = report.columns()
    listed, budget = [score for score in scores.values() if score not in shown], report.params.budget
    titles = [f"{score.title} {ARROWS.get(score.better) or f'→ {_ideal(score)}'}" for score in shown]
    lines = [
        INTRODUCTION.format(count=report.sample_count(), budget=budget, fairer=FAIRER * (budget == "quick")),
        _row("rank", "variant", "summary", "paper", *SIZES, *titles, "more scores", "samples"),
        f"|--:|---|---|---|--:|--:|{'--:|' * len(shown)}---|---|",
        _row("", "real images", "", "", "", "", *_score_cells(real, shown, listed, real), ""),
    ]
    for row in report.rows:
        result = results[name := row["variant"]]
        cells = _score_cells(result.scores, shown, listed, real)
        cell = CELL.format(name=name, pictures=result.folder(Path(name, PICTURES)))
        lines.append(_row(str(row["rank"] or "-"), *_text_cells(name, result), *cells, cell))
    for name, variant in report.without.items():
        empty = [""] * (len(SIZES) + len(shown) + 1)
        lines.append(_row("", f"`{name}`", *_texts(variant), *empty, "no scores, see below"))
    faults = [f"`{name}`: {failure}" for name, reasons in report.failures.items() for failure in reasons]
    faults += [f"`{name}`: {fault}" for name, result in results.items() for fault in describe_faults(result.models)]
    if faults:
        lines += ["", "## What stands out", "", *(f"- {escape(fault, quote=False)}" for fault in faults)]
    return "\n".join(lines) + "\n"


def declarations_to_markdown(scores: Mapping[str, Score]) -> str:
    """Markdown table of declared scores: name, title in the report, what it says, which direction is better."""
    lines = ["| score | title | what it says | better |", "|---|---|---|---|"]
    for name, score in scores.items():
        better = f"near {_ideal(score)}" if score.better == "near" else score.better
        lines.append(_row(f"`{name}`", score.title, score.description, better))
    return "\n".join(lines) + "\n"


def _text_cells(name: str, result: Result) -> tuple[str, ...]:
    run, seeds = result.models[0]["run"], len(result.models)
    sizes, images = run["parameters"], run["variant"]["images"]
    title = f"`{name}`" + (f"<br>mean of {seeds} seeds" if seeds > 1 else "")
    return title, *_texts(result.variant), f"{sizes['generator']:,} / {sizes['discriminator']:,}", f"{images:,}"


def _texts(variant: Variant) -> tuple[str, str]:
    """Summary and paper; what looks like HTML is shown as it is written."""
    return escape(variant.summary, quote=False), escape(variant.paper, quote=False)


def _score_cells(records: Records, shown: list[Score], listed: list[Score], real: Records) -> list[str]:
    """A cell for each score that is shown, and one for the rest, with the baseline where `real` has none of it."""
    rest = []
    for score in listed:
        if cell := format_score(score, records):
            own = None if score.name in real else records[score.name].get("real")
            rest.append(f"{score.title} {cell}" + (f" (real {own:{score.format}})" if own is not None else ""))
    return [*(format_score(score, records) for score in shown), "<br>".join(rest)]


def format_score(score: Score, records: Records) -> str:
    """Value ± half width; empty for a score that is missing or has one value per class."""
    record = records.get(score.name, {})
    numbers = [record[key] for key in ("value", "ci95") if isinstance(record.get(key), int | float)]
    return " ± ".join(format(float(number), f"z{score.format}") for number in numbers)  # z: no -0.000


def _ideal(score: Score) -> str:
    return "the baseline" if score.ideal is None else format(score.ideal, score.format)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
