"""A small training apart from everything, and what can be wrong around it: disks and stores."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from stages.support.files import write_array
from tests.conftest import ROOT, clean_environment, set_parameter

TRAIN = (sys.executable, "-m", "stages.train", "mlp")


def small_training(folder: Path, **changes: Any) -> Path:
    """A folder with all that a training of some seconds needs; `changes` are parameters, __ for each dot."""
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    random = np.random.default_rng(0)
    write_array(folder / "data/processed/train/images.npy", random.integers(0, 256, (500, 1, 28, 28), np.uint8))
    write_array(folder / "data/processed/train/labels.npy", random.integers(0, 10, 500))
    small: dict[str, Any] = {
        "budget": "smoke",
        "threads": 1,
        "tracking__enabled": False,
        "curves__points": 20,
        "curves__snapshots": 4,
        "curves__snapshot_images": 100,
        "variants__mlp__network__generator_widths": [32],
        "variants__mlp__network__discriminator_widths": [32],
        "variants__mlp__images__smoke": 32000,
    }
    for key, value in (small | changes).items():
        set_parameter(folder, key.replace("__", "."), value)
    return folder


def train(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Train there, to success."""
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(TRAIN, cwd=folder, env=environment, capture_output=True, text=True, check=True)


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that the training leaves, by its path."""
    files = [path for part in ("models", "metrics") for path in (folder / part).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def on_small_disk(folder: Path, kilobytes: int, script: str) -> list[str]:
    """A command that runs a shell script with a small disk at `folder`, which `$GROW` makes large.

    Where this user may not mount one, no file may be larger instead.
    """
    here = shlex.quote(str(folder))
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode == 0:
        start = f"mount -t tmpfs -o size={kilobytes}k none {here}; GROW='mount -o remount,size=1g {here}'"
        return ["unshare", "-rm", "sh", "-c", f"{start}; {script}"]
    return ["sh", "-c", f"GROW='ulimit -S -f unlimited'; ulimit -S -f {2 * kilobytes}; {script}"]


class Server:
    """A real MLflow server of a store of its own, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [
            *("mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.folder / 'store.db'}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        with (self.folder / "server.log").open("ab") as log:
            environment = clean_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        deadline = time.monotonic() + 90
        while not is_listening(self.port):
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to the whole server, if it runs."""
        if self.process:
            subprocess.run(["pkill", "-KILL", "-s", str(self.process.pid)], check=False)  # its session
            self.process.wait()
            self.process = None


class SlowProxy:
    """Hands connections on to a port, after a pause before each request."""

    def __init__(self, port: int, pause: float) -> None:
        self.target, self.pause = port, pause
        self.requests = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._hand_on, args=(client, server, self.pause), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(server, client, 0.0), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, pause: float) -> None:
        try:
            while data := source.recv(2**20):
                if pause:
                    self.requests += 1
                    time.sleep(pause)
                target.sendall(data)
        except OSError:
            pass
        source.close()
        target.close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether somebody answers at a port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
