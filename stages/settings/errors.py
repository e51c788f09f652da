"""Errors that a user can mend: shown as one line, never as a traceback."""


class StageError(Exception):
    """Something outside the code is wrong: data, network, device. The stage exits with code 1."""

    exit_code = 1


class ParameterError(StageError):
    """params.yaml (or the command line) asks for something that is not allowed. Exit code 2."""

    exit_code = 2
