"""What a store that fails says, in one line: of a chain of errors the first one, which says why."""

import os
import re
import socket

import mlflow

from stages.storage.files import one_line
from stages.tracking.store import store_uri

UNKNOWN_USER, FORBIDDEN = 401, 403  # HTTP's


def explain(error: BaseException) -> str:
    """Why a call of MLflow failed, in one line; of a server with its address, but never with a password."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    says = {
        UNKNOWN_USER: f"it does not know user {user!r}, or not by this password; set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD",
        FORBIDDEN: f"it does not allow that to user {user!r}",
    }
    root = first(error)
    reason = says.get(status(error)) or f"{type(root).__name__}: {one_line(root)}"
    server = re.fullmatch(r"(https?://)(?:[^@/]*@)?(.*)", store_uri())
    return f"{server[1]}{server[2]}: {reason}" if server else reason


def is_away(error: BaseException) -> bool:
    """Whether another call would fail in the same way: nobody answers, or not this user."""
    return isinstance(first(error), ConnectionError | TimeoutError | socket.gaierror) or status(error) == UNKNOWN_USER


def status(error: BaseException) -> int:
    """The HTTP status of an answer; 0 where MLflow raised no error of its own."""
    return error.get_http_status_code() if isinstance(error, mlflow.MlflowException) else 0


def first(error: BaseException) -> BaseException:
    """The error that led to all others of a chain."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = cause
    return error
