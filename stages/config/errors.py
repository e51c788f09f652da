"""Errors that a user can fix: shown as lines of text, never as a traceback."""

import sys
from collections.abc import Sequence
from typing import NoReturn

LISTED = 10  # items of a list in an error


class StageError(Exception):
    """Something outside the code is wrong: data, network, device. The stage exits with code 1."""

    exit_code = 1


class ParameterError(StageError):
    """params.yaml asks for something that is not allowed; one line per mistake. The stage exits with code 2."""

    exit_code = 2


def exit_with(error: StageError) -> NoReturn:
    """Print an error, a line a mistake, and end the process with its exit code."""
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(error.exit_code)


def first_ten(items: Sequence[object]) -> list[str]:
    """Items to list in an error: of more than ten the first ten, and how many more there are."""
    more = [f"and {len(items) - LISTED} more"] if len(items) > LISTED else []
    return [*map(str, items[:LISTED]), *more]
