"""The summary: a row of numbers a variant, sorted by FID."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stages.config.params import Variant

Records = Mapping[str, Mapping[str, Any]]  # of scores by name: value, ci95, real, std
Row = dict[str, Any]
ENDINGS = {"": "value", "_ci95": "ci95", "_real": "real", "_std": "std"}  # of a score's columns


class Result(NamedTuple):
    """A variant, what metrics/scores/<variant>.json has of its models (one a seed), and their mean scores."""

    variant: Variant
    models: Sequence[Mapping[str, Any]]
    scores: Records


def summarize(results: Mapping[str, Result], scores: Iterable[str]) -> tuple[list[str], list[Row]]:
    """Columns and rows of all numbers: the lowest FID comes first, columns are in the order of the declared scores.

    The rank is one more than the number of variants whose FID interval lies entirely below. Translators have none:
    they start from test images, so their FID compares with no other's.
    """
    rows: list[Row] = [
        {"variant": name, "rank": None, "seeds": len(result.models)}
        | {
            f"{score}{ending}": record[key]
            for score, record in result.scores.items()
            for ending, key in ENDINGS.items()
            if isinstance(record.get(key), int | float)  # not one value a class
        }
        | {f"{network}_parameters": count for network, count in result.models[0]["run"]["parameters"].items()}
        for name, result in results.items()
    ]
    rows.sort(key=lambda row: (row["fid"], row["variant"]))
    ranked = [row for row in rows if results[row["variant"]].models[0]["run"]["starts_from"] == "latents"]
    for row in ranked:
        row["rank"] = 1 + sum(other["fid"] + other["fid_ci95"] < row["fid"] - row["fid_ci95"] for other in ranked)
    of_scores = [f"{name}{ending}" for name in scores for ending in ENDINGS]
    columns = ["variant", "rank", *of_scores, "generator_parameters", "discriminator_parameters", "seeds"]
    return [column for column in columns if any(column in row for row in rows)], rows
