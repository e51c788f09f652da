"""A small training apart from everything, and what can be wrong around it: disks and stores."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from stages.storage.images import Split, write_split
from tests.conftest import ROOT, clean_environment, set_parameters

TRAIN = (sys.executable, "-m", "stages.train", "mlp")


def small_training(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """A folder with all that a training of some seconds needs; `changes` are parameters by their dotted names."""
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    write_random_images(folder)
    small: dict[str, Any] = {
        "budget": "smoke",
        "threads": 1,
        "tracking.enabled": False,
        "training.log_steps": 20,
        "training.snapshots": 4,
        "training.snapshot_images": 100,
        "variants.mlp.network.generator_widths": [32],
        "variants.mlp.network.discriminator_widths": [32],
        "variants.mlp.batch_size": 64,
        "variants.mlp.images.smoke": 32000,
    }
    set_parameters(folder, small | dict(changes or {}))
    return folder


def write_random_images(folder: Path) -> None:
    """500 of them to train on, in the repository or copy of it at that folder."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (500, 1, 28, 28), np.uint8), random.integers(0, 10, 500)
    with contextlib.chdir(folder):
        write_split("train", Split(images, labels, tuple("0123456789")))


def environment(**variables: str) -> dict[str, str]:
    """Variables for a command of the repository's code in another folder."""
    return clean_environment() | {"PYTHONPATH": str(ROOT)} | variables


def train(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Train there, to success."""
    return run_there(folder, *TRAIN, **variables)


def run_there(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the repository's code there, to success."""
    done = subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def stop_exporters(folder: Path) -> None:
    """End the exporters of trainings under a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"stages.tracking.exporter" in command and (process / "cwd").resolve().is_relative_to(folder):
                os.kill(int(process.name), signal.SIGKILL)


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that the training leaves, by its path."""
    files = [path for part in ("models", "metrics") for path in (folder / part).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def may_mount(folder: Path) -> bool:
    """Whether this user may mount a disk at a folder, in a namespace of its own."""
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder)]
    return bool(shutil.which("unshare")) and not subprocess.run(mount, check=False, capture_output=True).returncode


def on_small_disk(folder: Path, size: int, script: str) -> list[str]:
    """A command that runs a shell script with a disk of that size in bytes at `folder`, which `$GROW` makes large."""
    here = shlex.quote(str(folder))
    start = f"mount -t tmpfs -o size={size // 1024}k none {here}; GROW='mount -o remount,size=1g {here}'"
    return ["unshare", "-rm", "sh", "-c", f"{start}; {script}"]


def with_small_files(size: int, script: str) -> list[str]:
    """A command that runs a shell script in which no file can grow beyond that size in bytes, before `$GROW`."""
    return ["sh", "-c", f"GROW='ulimit -S -f unlimited'; ulimit -S -f {size // 512}; {script}"]


@contextlib.contextmanager
def in_the_way_of(folder: Path) -> Iterator[None]:
    """Within, a file is where the folder belongs: nobody can write there, not even root."""
    aside = folder.with_name(f"{folder.name}.aside")
    if folder.exists():
        folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        if aside.exists():
            aside.rename(folder)


def with_permissions(command: tuple[str, ...]) -> tuple[str, ...]:
    """A command that is denied what a file's mode denies; root, who is denied nothing, needs setpriv for that."""
    mortal = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    return command if os.geteuid() else (*mortal, *command)


class Server:
    """A real MLflow server of a store of its own, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [
            *("mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.folder / 'store.db'}"),
            *("--artifacts-destination", str(self.artifacts)),
        ]
        with (self.folder / "server.log").open("ab") as log:
            quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            variables = clean_environment() | quiet
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=variables, start_new_session=True)
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
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
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
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether somebody answers at a port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
