"""The page of variants, and the table of scores for docs/scores.md: Markdown whose columns are the declared scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stages.reporting.diagnosis import describe_faults
from stages.reporting.summary import TABLE_POSITIONS, Record, Result, table_scores
from stages.scoring.score import Score

INTRODUCTION = """\
The report stage writes this page. Scores compare {count:,} samples of each variant with the test images. The first row
is the real baseline: as many training images in the samples' place (for the inception score, the test images). Arrows
say which direction is better; [docs/scores.md](../../docs/scores.md) explains each score.

± is the half width of a 95 % confidence interval. With one seed the interval covers sampling noise only: use it to
compare trained models. With several seeds scores are means, and the interval is a Student-t interval that also covers
training noise: use it to compare variants. FID and KID use the features of this pipeline's classifier: do not compare
them with numbers from other features."""


def write_page(
    results: Sequence[Result], scores: Mapping[str, Score], real: Mapping[str, Record], sample_count: int
) -> str:
    """Markdown: a row a variant in the given order, under the real baseline's records, and what stands out."""
    shown = table_scores(results, scores)
    head = ["variant", "summary", "paper", "parameters G / D", *map(_heading, shown), "more scores", "samples"]
    lines = [
        *("# Variants", "", INTRODUCTION.format(count=sample_count), ""),
        _row(head),
        f"|---|---|---|--:|{'--:|' * len(shown)}---|---|",
        _row(["real images", "", "", "", *(_cell(score, real) for score in shown), "", ""]),
        *(_row(_variant_cells(result, shown, scores)) for result in results),
    ]
    if faults := [fault for result in results for fault in describe_faults(result)]:
        lines += ["", "## What stands out", "", *(f"- {fault}" for fault in faults)]
    return "\n".join(lines) + "\n"


def declarations_to_markdown(scores: Mapping[str, Score]) -> str:
    """Markdown table of declared scores: name, what it says, which direction is better."""
    rows = [[f"`{score.name}`", score.description, _better(score)] for score in scores.values()]
    return "\n".join([_row(["score", "what it says", "better"]), "|---|---|---|", *map(_row, rows)]) + "\n"


def _variant_cells(result: Result, shown: Sequence[Score], scores: Mapping[str, Score]) -> list[str]:
    parameters, seeds, folder = result.run["parameters"], len(result.models), f"../{result.name}"
    more = [score for score in scores.values() if score.position >= TABLE_POSITIONS and _cell(score, result.scores)]
    return [
        f"`{result.name}`" + (f"<br>mean of {seeds} seeds" if seeds > 1 else ""),
        result.variant.summary,
        result.variant.paper,
        f"{parameters['generator']:,} / {parameters['discriminator']:,}",
        *(_cell(score, result.scores) for score in shown),
        "<br>".join(f"{score.title} {_cell(score, result.scores)}" for score in more),
        f'<a href="{folder}/pictures"><img src="{folder}/pictures/samples.png" width="240"></a><br>'
        f'<a href="{folder}/closest.png">next to training images</a>',
    ]


def _cell(score: Score, records: Mapping[str, Record]) -> str:
    """A score's value and half width; empty where there is none, or one a class."""
    record = records.get(score.name, {})
    numbers = [record[key] for key in ("value", "ci95") if isinstance(record.get(key), int | float)]
    return " ± ".join(format(number, score.format) for number in numbers)


def _heading(score: Score) -> str:
    return f"{score.title} {'↓' if score.better == 'lower' else '↑' if score.better == 'higher' else '→'}"


def _better(score: Score) -> str:
    return f"near {score.ideal:{score.format}}" if score.better == "near" else score.better


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
