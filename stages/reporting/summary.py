"""The summary: a row of numbers a variant, sorted by FID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stages.config.params import Variant
from stages.scoring.score import Score
from stages.tracking.restored_runs import flatten_scores

TABLE_POSITIONS = 100  # scores declared below this position have a column in tables; the others are listed
RECORD = ("", "_ci95", "_real", "_std")  # endings of a score's columns, in this order

Record = Mapping[str, Any]  # a score's value, ci95, real, std


class Result(NamedTuple):
    """What was measured of a variant: the content of metrics/scores/<variant>.json, and the mean over its models."""

    name: str
    variant: Variant
    models: Sequence[Mapping[str, Any]]  # one a seed
    scores: Mapping[str, Record]

    @property
    def fid(self) -> float:
        """Mean FID of its models."""
        return float(self.scores["fid"]["value"])

    @property
    def fid_ci95(self) -> float:
        """Half width of its 95 % interval."""
        return float(self.scores["fid"].get("ci95", 0.0))

    @property
    def run(self) -> Mapping[str, Any]:
        """config.json of its first model."""
        run: Mapping[str, Any] = self.models[0]["run"]
        return run


def sort_by_fid(results: Sequence[Result]) -> list[Result]:
    """The lowest FID first; equal ones by name."""
    return sorted(results, key=lambda result: (result.fid, result.name))


def rank_results(results: Sequence[Result]) -> dict[str, int | None]:
    """One more than the number of variants whose FID interval lies entirely below; None for translators.

    Translators start from test images, so their FID compares with no other's.
    """
    ranked = [result for result in results if result.run["starts_from"] == "latents"]
    ranks: dict[str, int | None] = {result.name: None for result in results}
    for result in ranked:
        lowest = result.fid - result.fid_ci95
        ranks[result.name] = 1 + sum(other.fid + other.fid_ci95 < lowest for other in ranked)
    return ranks


def summarize(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row a variant, sorted by FID: name, rank, all numbers of its scores, counts of parameters and seeds."""
    ranks = rank_results(results)
    return [
        {
            "variant": result.name,
            "rank": ranks[result.name],
            **flatten_scores(result.scores),
            **{f"{network}_parameters": count for network, count in result.run["parameters"].items()},
            "seeds": len(result.models),
        }
        for result in sort_by_fid(results)
    ]


def summary_columns(rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Score]) -> list[str]:
    """Columns of rows from `summarize`, in the order of the declared scores."""
    of_scores = [f"{name}{ending}" for name in scores for ending in RECORD]
    columns = ["variant", "rank", *of_scores, "generator_parameters", "discriminator_parameters", "seeds"]
    return [column for column in columns if any(column in row for row in rows)]


def table_scores(results: Sequence[Result], scores: Mapping[str, Score]) -> list[Score]:
    """The declared scores that tables show for every variant; one that no variant has is left out."""
    shown = [score for score in scores.values() if score.position < TABLE_POSITIONS]
    return [score for score in shown if any(score.name in result.scores for result in results)]


def summary_to_text(rows: Sequence[Mapping[str, Any]], shown: Sequence[Score]) -> str:
    """Ranks and values of rows from `summarize` as a table for the terminal."""
    table = [["rank", "variant", *(score.name for score in shown)]]
    for row in rows:
        values = [format(row[score.name], score.format) if score.name in row else "" for score in shown]
        table.append([str(row["rank"] or ""), row["variant"], *values])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(" ".join(map(str.rjust, line, widths)) for line in table)
