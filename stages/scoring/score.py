"""The contract of scores, the list of them (one per file of this folder), and all of them at once.

No file of this folder imports torch while it is imported: the report reads the declarations, and should not wait.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, NamedTuple

from stages.config.errors import StageError
from stages.config.registry import module_names
from stages.scoring.image_set import Context as Context  # for the files of scores
from stages.scoring.image_set import ImageSet as ImageSet

REAL_QUANTILE = 0.01  # of distances between real images: samples that are closer count as duplicates or copies
INCEPTION_POSITION = 300  # added to the position of a score by Inception's features


class Estimate(NamedTuple):
    """A score's value: one number, or one per class, by its name."""

    value: float | Mapping[str, float]
    ci95: float | None = None  # half width of the 95 % interval
    std: float | None = None  # over subsets or splits
    real: float | None = None  # what real images reach, of a score that the baseline lacks

    def record(self) -> dict[str, Any]:
        """`value`, and `ci95`, `std` and `real` where they are known."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Score:
    """A declared score. `compute` returns None where the data have no such score."""

    name: str
    title: str  # for people
    description: str
    compute: Callable[[ImageSet, Context], Estimate | None]
    better: Literal["lower", "higher", "near"] = "lower"
    ideal: float | None = None  # that the score should be near to; None: what real images reach
    format: str = ".2f"
    needs: tuple[str, ...] = ("features",)  # attributes of ImageSet: images without one of them have no such score
    baseline: Literal["training", "test"] = "training"  # real images that take the samples' place
    position: int = 200  # order of columns; below 100 the report's table has one
    by_inception: bool = False  # whether there is an `inception_<name>`: the same by Inception's features


def score(title: str = "", **declared: Any) -> Callable[[Callable[[ImageSet, Context], Estimate | None]], Score]:
    """Make a score of the function below: its name and docstring are the score's. Keywords are fields of Score."""

    def declare(compute: Callable[[ImageSet, Context], Estimate | None]) -> Score:
        name, description = compute.__name__, " ".join((compute.__doc__ or "").split())
        shown = title or name.replace("_", " ")
        return Score(name=name, title=shown, description=description, compute=compute, **declared)

    return declare


def find_scores() -> dict[str, Score]:
    """All scores by name, in order of position; raises StageError for a broken file."""
    found: list[Score] = []
    for name in module_names("scoring"):
        try:
            module = import_module(f"stages.scoring.{name}")
        except Exception as error:
            raise StageError(f"stages/scoring/{name}.py: {error!r}") from error
        found += [item for item in vars(module).values() if isinstance(item, Score)]
    found += [_by_inception(score) for score in found if score.by_inception]
    return {score.name: score for score in sorted(found, key=lambda score: (score.position, score.name))}


def _by_inception(score: Score) -> Score:
    return replace(
        score,
        name=f"inception_{score.name}",
        title=f"{score.title} (Inception)",
        description=f"As `{score.name}`, by Inception's features.",
        compute=lambda images, context: score.compute(*images.inception),
        needs=("inception",),
        position=score.position + INCEPTION_POSITION,
    )


def compute_scores(images: ImageSet, context: Context, scores: Iterable[Score]) -> dict[str, dict[str, Any]]:
    """A record by name of each score whose needs the images meet, with what the context's baseline reaches as `real`.

    The same for samples and for real images in their place.
    """
    records = {}
    for score in scores:
        if images.offers.issuperset(score.needs) and (estimate := score.compute(images, context)):
            baseline = {"real": record["value"]} if (record := context.baseline.get(score.name)) else {}
            records[score.name] = baseline | estimate.record()
    return records
