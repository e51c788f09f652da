"""The page of variants, and the table of scores for docs/scores.md: Markdown that follows the declared scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stages.reporting.diagnosis import describe_faults
from stages.reporting.summary import Record, Result
from stages.scoring.score import Score

TABLE_POSITIONS = 100  # scores below this position have a column; the others are listed in one
ARROWS = {"lower": "↓", "higher": "↑", "near": "→"}
INTRODUCTION = """\
# Variants

The report stage writes this page. Scores compare {count:,} samples of each variant with the test images. The first row
is the real baseline: as many training images, or for the inception score the test images. Arrows show which direction
is better. [Scores](../../docs/scores.md) explains each of them.

± is the half width of a 95 % confidence interval. With one seed the interval covers sampling noise only: use it to
compare trained models. With several seeds scores are means, and the interval is a Student-t interval that also covers
training noise: use it to compare variants. FID and KID use the features of this pipeline's classifier: do not compare
them with numbers from other features. A picture links to more of it.
"""


def write_page(
    results: Mapping[str, Result], scores: Mapping[str, Score], real: Mapping[str, Record], sample_count: int
) -> str:
    """Markdown: the real baseline's records, a row a variant in the given order, and what stands out."""
    shown = table_scores(results, scores)
    titles = [f"{score.title} {ARROWS[score.better]}" for score in shown]
    lines = [
        INTRODUCTION.format(count=sample_count),
        _row("variant", "summary", "paper", "parameters G / D", *titles, "more scores", "samples"),
        f"|---|---|---|--:|{'--:|' * len(shown)}---|---|",
        _row("real images", "", "", "", *(_cell(score, real) for score in shown), "", ""),
        *(_row(*_variant_cells(name, result, shown, scores)) for name, result in results.items()),
    ]
    if faults := [fault for name, result in results.items() for fault in describe_faults(name, result.models)]:
        lines += ["", "## What stands out", "", *(f"- {fault}" for fault in faults)]
    return "\n".join(lines) + "\n"


def table_scores(results: Mapping[str, Result], scores: Mapping[str, Score]) -> list[Score]:
    """The declared scores that have a column: those of low positions that some variant has."""
    recorded = {name for result in results.values() for name in result.scores}
    return [score for name, score in scores.items() if score.position < TABLE_POSITIONS and name in recorded]


def declarations_to_markdown(scores: Mapping[str, Score]) -> str:
    """Markdown table of declared scores: name, what it says, which direction is better."""
    rows = [
        (f"`{name}`", score.description, f"near {score.ideal:g}" if score.better == "near" else score.better)
        for name, score in scores.items()
    ]
    return "\n".join([_row("score", "what it says", "better"), "|---|---|---|", *(_row(*row) for row in rows)]) + "\n"


def _variant_cells(name: str, result: Result, shown: Sequence[Score], scores: Mapping[str, Score]) -> list[str]:
    parameters, seeds = result.models[0]["run"]["parameters"], len(result.models)
    others = {score.title: _cell(score, result.scores) for score in scores.values() if score not in shown}
    return [
        f"`{name}`" + (f"<br>mean of {seeds} seeds" if seeds > 1 else ""),
        result.variant.summary,
        result.variant.paper,
        f"{parameters['generator']:,} / {parameters['discriminator']:,}",
        *(_cell(score, result.scores) for score in shown),
        "<br>".join(f"{title} {cell}" for title, cell in others.items() if cell),
        f'<a href="../{name}/pictures"><img src="../{name}/pictures/samples.png" width="240"></a><br>'
        f'<a href="../{name}/closest.png">next to training images</a>',
    ]


def _cell(score: Score, records: Mapping[str, Record]) -> str:
    """Value ± half width; empty for a score that is missing or has a value a class."""
    record = records.get(score.name, {})
    numbers = [record[key] for key in ("value", "ci95") if isinstance(record.get(key), int | float)]
    return " ± ".join(format(number, score.format) for number in numbers)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
