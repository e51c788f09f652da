"""MLflow's UI on the local store (`make ui`); prints the pages to look at once they can be opened."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from stages.config.errors import StageError, errors_as_lines
from stages.config.params import load
from stages.storage.paths import repository
from stages.tracking.exporter_process import take_notices
from stages.tracking.pages import addresses
from stages.tracking.store import open_store, store_uri
from stages.tracking.store_errors import store_errors

PORT = 5000
LOG = "mlflow-ui.log"  # in .cache: what the server prints
# MLflow's jobs judge language models: this UI does not need them
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}


def main() -> None:
    """Create the experiment if it is missing, so that the pages show something; serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    port = parser.parse_args().port
    if not 1 <= port <= 65535:
        parser.error(f"--port: {port} is not allowed: expected a number from 1 to 65535")
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # the local store
    for number in (signal.SIGTERM, signal.SIGHUP):  # as after Ctrl-C, the server ends, too
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with errors_as_lines():
        experiment = load(components=False).tracking.experiment
        with store_errors():
            _, experiment_id = open_store(experiment)
        for notice in take_notices():
            print(notice, flush=True)
        if is_listening(port):
            raise StageError(f"port {port} is in use, by another `make ui`? `make ui PORT=<another>` takes another")
        serve(port, experiment_id)


def serve(port: int, experiment_id: str) -> None:
    """Start the server, print its pages once they open, and wait. Raises StageError where it ends by itself."""
    command = [
        # one worker is enough for one person; each takes seconds of CPU time to start
        *(sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", store_uri(), "--artifacts-destination", str(repository() / "mlartifacts")),
    ]
    log = repository() / ".cache" / LOG
    with log.open("wb") as file:  # a session of its own: Ctrl-C reaches this process alone, which ends all of them
        process = subprocess.Popen(command, env=os.environ | QUIET, stdout=file, stderr=file, start_new_session=True)
    try:
        while process.poll() is None and not is_listening(port):
            time.sleep(0.2)
        if process.poll() is None:
            for shown, address in addresses(f"http://127.0.0.1:{port}", experiment_id).items():
                print(f"{shown}: {address}")
            print("Ctrl-C ends it", flush=True)
        process.wait()
        raise StageError(f"MLflow's UI ended by itself: see {log}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def is_listening(port: int) -> bool:
    """Whether a process of this machine accepts connections on that port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


if __name__ == "__main__":
    main()
