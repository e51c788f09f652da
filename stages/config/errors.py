"""Errors that a user can fix: shown as lines of text, never as a traceback."""


class StageError(Exception):
    """Something outside the code is wrong: data, network, device. The stage exits with code 1."""

    exit_code = 1


class ParameterError(StageError):
    """params.yaml asks for something that is not allowed; one line per mistake. The stage exits with code 2."""

    exit_code = 2
