"""Serve a trained model: a page for a browser, pictures, and MLflow's /invocations for programs.

Without VARIANT it serves models:/reprogan@champion of MLflow's registry, which `make repro` sets. With VARIANT it reads
models/VARIANT (config.json, generator.safetensors). Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from stages.config.errors import ParameterError, StageError, errors_as_lines
from stages.serving.arguments import Parser, whole_number

if TYPE_CHECKING:
    from stages.serving.trained_model import TrainedModel

MOST_CONNECTIONS = 32  # a waiting request keeps a body of up to 64 MiB
EPILOG = """\
examples:
  python -m stages.serve
  python -m stages.serve dcgan --port 8000
  curl 'http://127.0.0.1:5001/digits?seed=1&count=16&truncation=0.7' -o digits.png
  curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' \\
    -d '{"dataframe_records": [{"seed": 1}]}'
"""


def parser() -> Parser:
    """The arguments, as text: `main` checks them."""
    made = Parser("serve", __doc__ or "", EPILOG)
    made.add_argument("model", metavar="VARIANT", nargs="?", help="a variant in models/, or the folder of a model")
    made.add_argument("--port", default="5001", help="0 to 65535; 0 takes a free one (default: 5001)")
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, for this machine)")
    return made


def main(arguments: argparse.Namespace) -> None:
    """Load the model and serve it until a signal ends the process."""
    port = whole_number("--port", arguments.port, 0, 65535)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    listener = listen(arguments.host, port)
    # torch and MLflow take seconds to load: mistakes and --help do not wait for them
    import uvicorn

    from stages.serving.app import create_app
    from stages.serving.trained_model import find_model, load_model

    model = load_model(find_model(arguments.model)) if arguments.model else load_champion()
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"serving {model.name} at {address} (Ctrl-C ends it)", flush=True)
    everywhere = ipaddress.ip_address(host).is_unspecified  # requests may use any name of this machine
    app = create_app(model, ["*"] if everywhere else [arguments.host, host, f"[{host}]"])
    settings = uvicorn.Config(app, log_level="warning", access_log=False, limit_concurrency=MOST_CONNECTIONS)
    server = uvicorn.Server(settings)
    server.handle_exit = end  # type: ignore[method-assign, assignment]  # its own waits for open requests
    server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises StageError if the address is in use, or is not this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        number = (isinstance(error, OSError) and error.errno) or 0
        reason = os.strerror(number) if number > 0 else str(error)  # without the address, which the line has already
        raise StageError(f"cannot listen on {host} port {port}: {reason}; see --host and --port") from None


def load_champion() -> TrainedModel:
    """The model that MLflow's registry calls the champion; raises ParameterError where there is none."""
    import mlflow
    from mlflow.tracking import MlflowClient

    from stages.serving.trained_model import load_model
    from stages.storage.paths import CONFIG
    from stages.tracking.model_registry import BEST, CHAMPION
    from stages.tracking.store import SQLITE, quiet, store_uri
    from stages.tracking.store_errors import explain

    uri, champion = store_uri(), f"models:/{BEST}@{CHAMPION}"
    advice = "`make repro` sets it; or name a variant: python -m stages.serve VARIANT"
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():  # MLflow would create it
        raise ParameterError(f"{champion}: there is no {uri.removeprefix(SQLITE)}; {advice}")
    mlflow.set_tracking_uri(uri)
    try:
        with quiet():
            version = MlflowClient(uri).get_model_version_by_alias(BEST, CHAMPION)
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{BEST}/{version.version}"))
    except Exception as error:  # each kind of store raises its own
        raise ParameterError(f"{champion} is not in MLflow's store: {explain(error)}; {advice}") from None
    found = list(folder.glob(f"*/*/{CONFIG}"))
    if len(found) != 1:
        raise StageError(f"{champion} is no model of this pipeline: {folder}/*/*/{CONFIG} is missing")
    return load_model(found[0].parent, version.tags.get("variant", BEST))


def end(number: int, frame: FrameType | None) -> None:
    """End the process at once: a server has nothing to save."""
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    with errors_as_lines():
        main(parser().parse_args())
