"""What every stage's command line shares: arguments, parameters, errors as lines of text."""

import argparse
import gc
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

from stages.config.errors import StageError, errors_as_lines
from stages.config.inputs import Inputs
from stages.config.params import PARAMS_FILE, load

OUTPUTS = (  # folders that have outputs in them; an output itself may be a link
    *("data", "data/processed", "data/reference", "data/samples", "models"),
    *("metrics", "metrics/report", "metrics/training", "metrics/variants"),
)


def run_stage(main: Callable[..., None], description: str | None, *arguments: str, components: bool = True) -> None:
    """Call `main(params, *arguments)`; a StageError becomes one line per mistake and its exit code.

    So does a change of code or parameters during the run. Without `components` the variants' components are not
    checked, and torch is not imported.
    """
    replace_what_cannot_be_shown()
    stage, module = Path(sys.argv[0]).stem, sys.modules["__main__"].__spec__
    parser = argparse.ArgumentParser(prog=f"python -m {module.name}" if module else None, description=description)
    for argument in arguments:
        parser.add_argument(argument, help=f"one of the {argument}s in {PARAMS_FILE}: {', '.join(variant_names())}")
    values = list(vars(parser.parse_args()).values())
    with errors_as_lines():
        if sys.flags.optimize > 1:
            raise StageError("python -OO (PYTHONOPTIMIZE=2) removes the explanations of scores: run without it")
        refuse_links()
        inputs = Inputs(PARAMS_FILE, stage, values)
        gc.freeze()  # what was imported stays: to look for garbage there would take a tenth of a short stage's time
        main(load(components=components), *values)
        inputs.raise_if_changed()


def replace_what_cannot_be_shown() -> None:
    """Let a terminal or a log that cannot show a character, such as ±, show a replacement."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def variant_names() -> list[str]:
    """Names for `--help`, which also works with a broken params.yaml; without `--help` none, which saves time."""
    if not {"-h", "--help"} & set(sys.argv):
        return []
    try:
        return list(load(components=False).variants)
    except StageError:
        return []


def refuse_links() -> None:
    """Raise StageError if a folder of outputs is a link: DVC ends at the first output outside the repository."""
    for folder in OUTPUTS:
        if Path(folder).is_symlink():
            raise StageError(
                f"{folder} is a link: DVC needs a folder inside the repository. To keep large files on another disk: "
                "dvc cache dir --local <folder there>, and dvc config --local cache.type symlink"
            )
