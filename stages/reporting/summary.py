"""The summary: a row of numbers a variant, sorted by FID."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stages.config.params import Variant
from stages.tracking.restored_runs import flatten_scores

Record = Mapping[str, Any]  # a score's value, ci95, real, std
Row = Mapping[str, Any]
RECORD = ("", "_ci95", "_real", "_std")  # endings of a score's columns


class Result(NamedTuple):
    """A variant, what metrics/scores/<variant>.json has of its models (one a seed), and their mean scores."""

    variant: Variant
    models: Sequence[Mapping[str, Any]]
    scores: Mapping[str, Record]


def summarize(results: Mapping[str, Result]) -> list[Row]:
    """A row a variant, the lowest FID first: name, rank, the numbers of its scores, counts of parameters and seeds.

    The rank is one more than the number of variants whose FID interval lies entirely below. Translators have none:
    they start from test images, so their FID compares with no other's.
    """
    rows: list[dict[str, Any]] = [
        {"variant": name, "rank": None, "seeds": len(result.models)}
        | flatten_scores(result.scores)
        | {f"{network}_parameters": count for network, count in result.models[0]["run"]["parameters"].items()}
        for name, result in results.items()
    ]
    rows.sort(key=lambda row: (row["fid"], row["variant"]))
    ranked = [row for row in rows if results[row["variant"]].models[0]["run"]["starts_from"] == "latents"]
    for row in ranked:
        lowest = row["fid"] - row["fid_ci95"]
        row["rank"] = 1 + sum(other["fid"] + other["fid_ci95"] < lowest for other in ranked)
    return list(rows)


def summary_columns(rows: Sequence[Row], scores: Iterable[str]) -> list[str]:
    """Names of the columns of such rows, in the order of the declared scores."""
    of_scores = [f"{name}{ending}" for name in scores for ending in RECORD]
    columns = ["variant", "rank", *of_scores, "generator_parameters", "discriminator_parameters", "seeds"]
    return [column for column in columns if any(column in row for row in rows)]


def rows_to_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Some columns of such rows, aligned for the terminal; floats with three significant digits."""
    cells = [[row.get(column, "") for column in columns] for row in rows]
    table = [
        columns,
        *([f"{cell:.3g}" if isinstance(cell, float) else str(cell or "") for cell in line] for line in cells),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in table)
