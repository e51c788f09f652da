"""What every stage's command line shares: arguments, parameters, errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable

from stages.adversarial.parts import BrokenPartError, build_parts
from stages.settings.errors import StageError
from stages.settings.params import Params, load


def run_stage(main: Callable[..., None], description: str | None, *arguments: str) -> None:
    """Call `main(params, *arguments)`; a StageError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(description=description)
    for argument in arguments:
        parser.add_argument(argument)
    values = vars(parser.parse_args())
    try:
        params = load()
        check_parts(params)
        main(params, *values.values())
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder without permission
        print(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        sys.exit(StageError.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)  # as shells count it


def check_parts(params: Params) -> None:
    """Check the options of every variant's parts; raises ParameterError.

    A broken file is passed over here: it breaks the variants that use it, when they train.
    """
    for name, variant in params.variants.items():
        with contextlib.suppress(BrokenPartError):
            build_parts(name, variant)
