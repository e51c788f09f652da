"""Errors that are shown as lines of text, never as a traceback."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

LISTED = 10  # items of a list in an error
# names a folder that processes share: the first one with an error leaves a file there, and prints the error
TOLD = "REPROGAN_TOLD"


class StageError(Exception):
    """Something outside the code is wrong: data, network, device. The stage exits with code 1."""

    exit_code = 1


class ParameterError(StageError):
    """params.yaml asks for something that is not allowed; one line per mistake. The stage exits with code 2."""

    exit_code = 2


class LostProcessError(SystemExit):
    """Another process of this training has ended; the process that started both prints why."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: another try may succeed

    def __init__(self) -> None:
        super().__init__(self.exit_code)


def exit_with(error: StageError) -> NoReturn:
    """Print an error, one line per mistake, and end the process with its exit code."""
    if _is_first_to_tell():
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
    sys.exit(error.exit_code)


def _is_first_to_tell() -> bool:
    if not (folder := os.environ.get(TOLD)):
        return True
    try:
        Path(folder, "told").touch(exist_ok=False)
    except OSError as error:  # a full disk does not silence it
        return not isinstance(error, FileExistsError)
    return True


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """Within it, Ctrl-C and errors that a user can fix end the process with lines of text and an exit code."""
    try:
        yield
    except StageError as error:
        exit_with(error)
    except OSError as error:  # a full disk, a folder without permission
        exit_with(StageError(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT, as in shells


def first_ten(items: Sequence[object]) -> list[str]:
    """Items to list in an error: the first ten, and how many more there are."""
    more = [f"and {len(items) - LISTED} more"] if len(items) > LISTED else []
    return [*map(str, items[:LISTED]), *more]
