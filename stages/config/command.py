"""What every stage's command line shares: arguments, parameters, errors as lines of text."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from stages.config.errors import StageError
from stages.config.inputs import Inputs
from stages.config.params import PARAMS_FILE, load


def run_stage(main: Callable[..., None], description: str | None, *arguments: str, components: bool = True) -> None:
    """Call `main(params, *arguments)`; a StageError becomes one line per mistake and its exit code.

    So does code or a parameter that changed meanwhile.
    Without `components` those of the variants are not looked at, and torch is not imported.
    """
    parser = argparse.ArgumentParser(description=description)
    for argument in arguments:
        parser.add_argument(argument)
    values = list(vars(parser.parse_args()).values())
    try:
        inputs = Inputs(PARAMS_FILE, Path(sys.argv[0]).stem, values)
        main(load(components=components), *values)
        inputs.raise_if_changed()
    except StageError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder without permission
        print(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        sys.exit(StageError.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)  # as shells count it
