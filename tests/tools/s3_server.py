"""An S3 server as a process: moto's, which keeps objects in memory and checks signatures.

Its first calls need no key: they make one. In a folder with a file `full` nothing more is stored, as on a full disk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

FULL = b"<Error><Code>QuotaExceeded</Code><Message>the store is full</Message></Error>"


class Store:
    """moto, on a disk that may be full."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] == "PUT" and Path("full").exists():
            start_response("507 Insufficient Storage", [("Content-Type", "application/xml")])
            return [FULL]
        return self.moto(environment, start_response)


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), Store(), threaded=True, request_handler=MotoRequestHandler)
