"""Arguments that a person types, at a terminal or in a browser's address, and how commands answer bad ones."""

from __future__ import annotations

import argparse
import math
from typing import NoReturn

from typing_extensions import override

from stages.config.errors import ParameterError, exit_with

MOST_IMAGES = 10_000  # of one drawing or request
LAST_SEED = 2**32 - 1  # torch takes no more bits of a seed


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; its help keeps the lines of the description and the epilog."""

    def __init__(self, name: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=f"python -m stages.{name}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    @override
    def error(self, message: str) -> NoReturn:
        exit_with(ParameterError(f"{message}; see {self.prog} --help"))


def whole_number(name: str, text: str, lowest: int, highest: int) -> int:
    """A whole number in [lowest, highest]; raises ParameterError that says so."""
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if not lowest <= value <= highest:
        raise ParameterError(f"{name}: {text!r:.40} is not allowed; expected a whole number from {lowest} to {highest}")
    return value


def share(name: str, text: str) -> float:
    """A number in [0, 1]; raises ParameterError that says so."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ParameterError(f"{name}: {text!r:.40} is not allowed; expected a number from 0 to 1")
    return value
