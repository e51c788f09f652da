"""MLflow's UI on the local store (`make ui`); once it answers, the pages that are worth a look."""

import argparse
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

from stages.config.errors import StageError, errors_as_lines
from stages.config.params import load
from stages.storage.paths import repository
from stages.tracking.exporter_process import take_notices
from stages.tracking.pages import addresses
from stages.tracking.store import open_store, store_uri
from stages.tracking.store_errors import store_errors

PORT = 5000
QUIET = {  # this UI has no use for MLflow's jobs, which judge language models
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}


def main() -> None:
    """Make the experiment where it is missing, so that the pages show something; serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    port = parser.parse_args().port
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # the local store
    with errors_as_lines():
        experiment = load(components=False).tracking.experiment
        with store_errors():
            _, experiment_id = open_store(experiment)
        for notice in take_notices():
            print(notice, flush=True)
        server = f"http://127.0.0.1:{port}"
        if answers(server):
            raise StageError(f"port {port} is in use, by another `make ui`? `make ui PORT={port + 1}` takes another")
        serve(server, port, experiment_id)


def serve(server: str, port: int, experiment_id: str) -> None:
    """Start the server, print its pages once it answers, and wait for its end. Raises StageError where it fails."""
    command = [
        *(sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", store_uri(), "--registry-store-uri", store_uri()),
        *("--artifacts-destination", str(repository() / "mlartifacts")),
        *("--uvicorn-opts", "--log-level warning"),
    ]
    process = subprocess.Popen(command, env=os.environ | QUIET, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and not answers(server):
            time.sleep(0.2)
        if process.poll() is None:
            for shown, address in addresses(server, experiment_id).items():
                print(f"{shown}: {address}")
            print("Ctrl-C ends it", flush=True)
        if process.wait():
            raise StageError(f"MLflow's UI ended with exit code {process.returncode}")
    finally:
        process.terminate()
        process.wait()


def answers(server: str) -> bool:
    """Whether something answers there."""
    try:
        urllib.request.urlopen(f"{server}/health", timeout=2).close()  # noqa: S310
    except OSError as error:
        return isinstance(error, urllib.error.HTTPError)
    return True


if __name__ == "__main__":
    main()
