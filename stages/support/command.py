"""What every stage's command line shares: arguments, parameters, errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from stages.support.errors import StageError
from stages.support.params import load
from stages.support.parts import check


def run_stage(main: Callable[..., None], description: str | None, *arguments: str) -> None:
    """Call `main(params, *arguments)`; a StageError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(description=description)
    for argument in arguments:
        parser.add_argument(argument)
    values = vars(parser.parse_args())
    try:
        params = load()
        check(params)
        main(params, *values.values())
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
