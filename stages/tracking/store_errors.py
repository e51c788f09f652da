"""Why a store failed, in one line: the first error of a chain."""

import contextlib
import os
import re
import socket
import sqlite3
from collections.abc import Iterator

import mlflow

from stages.config.errors import StageError
from stages.storage.files import one_line
from stages.tracking.store import FORBIDDEN, SQLITE, UNKNOWN_USER, quiet, store_uri

AWAY = (ConnectionError, TimeoutError, socket.gaierror)  # nobody answers
SHUT = ("locked", "unable to open", "readonly", "full")  # what SQLite says of a file that it cannot read or write


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """What MLflow prints within is not shown, and what it raises becomes a StageError."""
    try:
        with quiet():
            yield
    except Exception as error:  # each kind of store raises its own
        raise StageError(f"MLflow's store: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """Why a call of MLflow failed, in one line that says where the store is, but never a password."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    says = {
        UNKNOWN_USER: f"it does not know user {user!r}, or not by this password; set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD",
        FORBIDDEN: f"it does not allow that to user {user!r}",
    }
    root = first(error)
    reason = says.get(status(error)) or f"{type(root).__name__}: {one_line(root)}"
    named = getattr(root, "filename", None)  # a file that is not the store's: a picture, say
    said = reason if named else f"{store_uri().removeprefix(SQLITE)}: {reason}"
    return re.sub(r"://[^/\s]*@", "://", said)


def is_away(error: BaseException) -> bool:
    """Whether another call would fail in the same way: nobody answers, or not this user."""
    root = first(error)
    is_shut = isinstance(root, sqlite3.OperationalError) and any(words in str(root) for words in SHUT)
    return is_shut or isinstance(root, AWAY) or status(error) == UNKNOWN_USER


def status(error: BaseException) -> int:
    """The HTTP status of an answer; 0 where MLflow raised no error of its own."""
    return error.get_http_status_code() if isinstance(error, mlflow.MlflowException) else 0


def first(error: BaseException) -> BaseException:
    """The error that led to all others of a chain; but a LookupError says less than the error that follows it."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        if isinstance(cause, LookupError):
            break
        error = cause
    return error
