"""The contract of a data set, and what all share: a part held out, a check of classes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stages.config.errors import ParameterError, StageError
from stages.config.params import Fetch, Preprocess
from stages.config.registry import BrokenFileError, UnknownNameError, find_class
from stages.storage.images import Split
from stages.storage.paths import repository

LEAST_IN_A_SPLIT = 2  # images of a class, where a data set is split class by class


class Dataset(ABC):
    """A data set: the one subclass that stages/datasets/<name>.py defines, for `dataset: <name>` in params.yaml."""

    @abstractmethod
    def fetch(self, options: Fetch) -> Iterable[tuple[str, bytes]]:
        """Path in data/fetched and content of each raw file, all verified; raises StageError that says what to do."""

    @abstractmethod
    def load(self, options: Preprocess, random: np.random.Generator) -> tuple[Split, Split]:
        """Read data/fetched: all that is for training, and the test split; raises StageError for a malformed file."""

    def has_changed(self, options: Fetch) -> bool:
        """Whether `fetch` would now give other files than data/fetched has, with the same parameters; by default no."""
        return False

    def hold_out_validation(self, whole: Split, count: int, random: np.random.Generator) -> tuple[Split, Split]:
        """The training split and the validation split, of all that is for training; raises as `hold_out` does."""
        return hold_out(whole, count, "validation", random)

    def finish(self, split: Split, random: np.random.Generator) -> Split:
        """The split as it is written. Called once each for train, validation and test, in this order."""
        return split


def local_folder(where: str) -> Path:
    """What fetch.folder names, there or not; raises StageError for `~` of a user that does not exist."""
    try:
        return repository() / Path(where).expanduser()
    except RuntimeError:
        raise StageError(f"{where}: fetch.folder: there is no such home folder") from None


def find_dataset(name: str) -> Dataset:
    """The data set of that name; raises ParameterError where there is none, StageError where its file is broken."""
    try:
        return find_class("datasets", name, Dataset)()  # type: ignore[type-abstract]
    except UnknownNameError as error:
        raise ParameterError(f"params.yaml: dataset: {error}") from None
    except BrokenFileError as error:
        raise StageError(str(error)) from None


def hold_out(whole: Split, count: int, name: str, random: np.random.Generator) -> tuple[Split, Split]:
    """The rest, and `count` images chosen at random; raises ParameterError where no image would be left."""
    if count >= (size := len(whole.images)):
        reason = f"there are {size} images, and training needs some"
        raise ParameterError(f"params.yaml: preprocess.{name}_images: {count} is not allowed: {reason}")
    order = random.permutation(size)
    return whole.take(np.sort(order[count:])), whole.take(np.sort(order[:count]))


def hold_out_by_class(whole: Split, count: int, random: np.random.Generator) -> tuple[Split, Split]:
    """The rest, and about `count` images chosen at random, with the same share of every class.

    They are at most a fifth of all, rounded down, but at least LEAST_IN_A_SPLIT of each class.
    """
    sizes = np.bincount(whole.labels, minlength=len(whole.classes))
    total = min(count, len(whole.labels) // 5)
    counts, remainders = np.divmod(total * sizes, len(whole.labels))
    counts[np.argsort(-remainders, kind="stable")[: total - counts.sum()]] += 1  # the largest remainders round up
    counts = np.maximum(counts, LEAST_IN_A_SPLIT)
    order = random.permutation(len(whole.labels))
    by_class = np.split(order[np.argsort(whole.labels[order], kind="stable")], np.cumsum(sizes)[:-1])
    chosen = np.concatenate([indices[:held] for indices, held in zip(by_class, counts, strict=True)])
    return whole.take(np.setdiff1d(order, chosen)), whole.take(np.sort(chosen))


def check_classes(split: Split) -> None:
    """Raise StageError where a name is blank, not printable or not unique, or where a label has no name."""
    for name in split.classes:
        if split.classes.count(name) > 1 or not name.strip() or not name.isprintable():
            raise StageError(f"class {name!r}: expected a name that is printable, not blank and unique")
    for label in np.setdiff1d(split.labels, np.arange(len(split.classes))):
        raise StageError(f"label {label}: expected the index of one of {len(split.classes)} classes")
