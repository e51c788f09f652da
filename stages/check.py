"""Check params.yaml, that the files it names exist, and that outputs replace no other files: -> data/checked.txt.

If a dependency is missing, DVC ends before the stage runs, with a line that says neither where it is named nor what is
allowed. So this stage comes first.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from stages.config.command import run_stage
from stages.config.components import FOLDERS
from stages.config.errors import ParameterError, StageError, first_ten
from stages.config.params import Params, load
from stages.config.registry import module_names
from stages.datasets.dataset import find_dataset
from stages.storage import paths
from stages.storage.files import write_bytes

CONTENT = "params.yaml is in order, and the files of all data sets and components that it names are there.\n"

OUTPUT_NAMES = {  # arrays and pictures may have other names, too
    *(paths.CONFIG, paths.WEIGHTS, paths.GENERATOR, paths.DISCRIMINATOR, paths.SNAPSHOTS, paths.ANIMATION),
    *(paths.CLASSES, paths.CHECKPOINT, paths.REAL_SCORES.name),
}


def main(params: Params) -> None:
    """Check, and always write the same file, so that no other stage runs again.

    Raises ParameterError with a line for each name that no file has, StageError for files that DVC would remove.
    Components are not imported, which takes seconds: a broken one is reported when it is used.
    """
    named = {(role, part.name) for variant in params.variants.values() for role, part in variant.components().items()}
    looks: list[Callable[[], object]] = []  # each raises ParameterError
    if params.dataset not in module_names("datasets"):
        looks.append(partial(find_dataset, params.dataset))
    if any(name not in module_names(FOLDERS[role]) for role, name in named):
        looks.append(load)
    mistakes = []
    for look in looks:
        try:
            look()
        except ParameterError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ParameterError("\n".join(mistakes))
    refuse_unknown_files(params.variants)
    write_bytes(paths.CHECKED, CONTENT.encode())


def refuse_unknown_files(variants: Iterable[str]) -> None:
    """Raise StageError for files in folders of outputs that no stage writes: DVC would remove them with the outputs."""
    folders = [*paths.PROCESSED.glob("*"), paths.FEATURES, paths.CLASSIFIER, paths.CHAMPION]
    folders += [folder / name for name in variants for folder in (paths.MODELS, paths.SAMPLES, paths.TRAINING)]
    folders += [paths.VARIANTS / name / paths.PICTURES for name in variants]
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file() and not is_output(path)]
    if found:
        listed = ", ".join(first_ten(found))
        raise StageError(f"DVC would remove files that are not outputs; move them elsewhere: {listed}")


def is_output(path: Path) -> bool:
    """Whether a file in a folder of outputs may be one of them, by its name."""
    if path.is_relative_to(paths.TRAINING):  # <images seen>.png
        return path.suffix in (".png", paths.TEMPORARY) and path.stem.lstrip(".").split(".")[0].isdecimal()
    is_picture = path.is_relative_to(paths.METRICS)
    suffixes = (".png" if is_picture else ".npy", paths.TEMPORARY)
    return path.suffix in suffixes or (path.name in OUTPUT_NAMES and not is_picture)


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
