"""The summary: a row of numbers per variant, sorted by FID, translators last."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.config.params import Params, Variant
from stages.scoring.score import Score
from stages.storage.paths import seed_folder

Records = Mapping[str, Mapping[str, Any]]  # of scores by name: value, ci95, real, std
Row = dict[str, Any]
TABLE_POSITIONS = 100  # scores below this position have a column
CHOICE = "validation_fid"  # the score that chooses the champion
ENDINGS = {"": "value", "_ci95": "ci95", "_real": "real", "_std": "std"}  # of a score's columns


class Result(NamedTuple):
    """A variant, its models as in metrics/variants/<variant>/scores.json (one per seed), and their mean scores."""

    variant: Variant
    models: Sequence[Mapping[str, Any]]
    scores: Records

    def folder(self, of_variant: Path) -> Path:
        """Where in a variant's folder the files of its first model are: an earlier seed may have diverged."""
        run = self.models[0]["run"]
        return seed_folder(of_variant, run["seeds"], run["seed"])


@dataclass(frozen=True)
class Report:
    """All that the report tells of, by variant where nothing else is said."""

    params: Params
    results: Mapping[str, Result]
    rows: Sequence[Row]  # of the summary
    scores: Mapping[str, Score]  # by name
    real: Records  # the real baseline
    samples: Mapping[str, np.ndarray]  # uint8 (count, channels, height, width)
    real_images: np.ndarray  # the same
    without: Mapping[str, Variant]  # variants that have no scores
    failures: Mapping[str, Sequence[str]]  # sentences on trainings that failed

    def sample_count(self) -> int:
        """How many samples of each variant were scored."""
        return int(next(iter(self.results.values())).models[0]["sample_count"])

    def columns(self) -> list[Score]:
        """The scores that a table of variants has a column for: some variant has them, and they come first."""
        recorded = {name for result in self.results.values() for name in result.scores}
        return [score for score in self.scores.values() if score.position < TABLE_POSITIONS and score.name in recorded]


def summarize(results: Mapping[str, Result], scores: Iterable[str]) -> tuple[list[str], list[Row]]:
    """Columns and rows of all numbers: the lowest FID comes first, columns are in the order of the declared scores.

    The rank is one more than the number of variants whose FID interval lies entirely below. Translators have none, and
    come last: they start from test images, so their FID compares with no other's.
    """
    rows: list[Row] = [
        {"variant": name, "rank": None, "seeds": len(result.models)}
        | {
            f"{score}{ending}": record[key]
            for score, record in result.scores.items()
            for ending, key in ENDINGS.items()
            if isinstance(record.get(key), int | float)  # not one value per class
        }
        | {f"{network}_parameters": count for network, count in result.models[0]["run"]["parameters"].items()}
        for name, result in results.items()
    ]
    ranked = [row for row in rows if results[row["variant"]].models[0]["run"]["starts_from"] == "latents"]
    for row in ranked:
        row["rank"] = 1 + sum(other["fid"] + other["fid_ci95"] < row["fid"] - row["fid_ci95"] for other in ranked)
    rows.sort(key=lambda row: (row["rank"] is None, row["fid"], row["variant"]))
    of_scores = [f"{name}{ending}" for name in scores for ending in ENDINGS]
    columns = ["variant", "rank", *of_scores, "generator_parameters", "discriminator_parameters", "seeds"]
    return [column for column in columns if any(column in row for row in rows)], rows


def find_champion(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]] | None:
    """The variant and the model with the lowest FID to validation images: test images judge once.

    `models` are those of metrics/variants/<variant>/scores.json. Translators start from test images, and do not count.
    """
    generators = [
        (name, model)
        for name, of_variant in models.items()
        for model in of_variant
        if model["run"]["starts_from"] == "latents" and CHOICE in model["scores"]
    ]
    return min(generators, key=lambda found: found[1]["scores"][CHOICE]["value"], default=None)
