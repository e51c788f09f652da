"""Real trainings beside a store that fails: the same bytes, hardly longer, one line; recorded later by `sync`."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import ROOT, clean_environment
from tests.faults import TRAIN, Server, SlowProxy, free_port, on_small_disk, outputs, small_training, train

WAIT = 3  # seconds, as `tracking.wait_seconds`
STARTS = 15  # seconds by which processes may start later than alone, on a busy machine
SAID = "tracking: not recorded in MLflow yet"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """What the training leaves where nothing is tracked, and the seconds it takes."""
    folder = small_training(tmp_path_factory.mktemp("calm") / "calm")
    began = time.monotonic()
    train(folder)
    return outputs(folder), time.monotonic() - began


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The same training, tracked."""
    yield small_training(tmp_path / "tracked", tracking__enabled=True, tracking__wait_seconds=WAIT)
    stop_recorders(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that runs."""
    real = Server(tmp_path_factory.mktemp("server"))
    real.start()
    yield real
    real.kill()


def stop_recorders(folder: Path) -> None:
    """End the recorders of trainings under a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"stages.tracking.recorder" in command and (process / "cwd").resolve().is_relative_to(folder):
                os.kill(int(process.name), signal.SIGKILL)


def check(said: str, seconds: float, folder: Path, calm: tuple[dict[str, bytes], float]) -> None:
    """The same bytes, in hardly more time, and one line."""
    assert outputs(folder) == calm[0]
    assert seconds < 1.05 * calm[1] + WAIT + STARTS
    assert said.count("\n") == 1
    assert SAID in said
    assert said.endswith("to record it later: python -m stages.tracking.recorder sync\n")


def sync(folder: Path, uri: str = "") -> None:
    """Record what was left behind; then the store has the run with its curve, pictures and model."""
    stop_recorders(folder)
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)} | ({"MLFLOW_TRACKING_URI": uri} if uri else {})
    command = (sys.executable, "-m", "stages.tracking.recorder", "sync")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list((folder / ".cache/tracking").iterdir())
    client = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("reprogan")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]
    assert found.info.status == "FINISHED"
    curve = client.get_metric_history(found.info.run_id, "generator_loss")
    assert len({point.step for point in curve}) == 20
    assert len([file for file in client.list_artifacts(found.info.run_id, "images") if ".png" in file.path]) == 4
    assert "reprogan.served_sha256" in found.data.tags
    assert found.data.params["environment.python"] == sys.version.split()[0]


def test_a_server_that_cannot_be_reached(folder: Path, calm: tuple[dict[str, bytes], float]) -> None:
    began = time.monotonic()
    done = train(folder, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    check(done.stderr, time.monotonic() - began, folder, calm)
    sync(folder)


def test_a_server_that_dies_half_way(folder: Path, calm: tuple[dict[str, bytes], float], server: Server) -> None:
    began = time.monotonic()
    variables = clean_environment() | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": server.uri}
    process = subprocess.Popen(TRAIN, cwd=folder, env=variables, stderr=subprocess.PIPE, text=True)
    while not list((folder / ".cache/tracking").glob("*/run_id")):  # written once the run is there
        assert process.poll() is None, "the training ended before the server could die"
        time.sleep(0.01)
    server.kill()
    _, said = process.communicate()
    assert process.returncode == 0
    check(said, time.monotonic() - began, folder, calm)
    server.start()
    sync(folder, server.uri)
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("reprogan")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1  # the half of it is gone


def test_a_server_that_takes_five_seconds_a_call(
    folder: Path, calm: tuple[dict[str, bytes], float], server: Server
) -> None:
    with SlowProxy(server.port, pause=5) as proxy:
        began = time.monotonic()
        done = train(folder, MLFLOW_TRACKING_URI=proxy.uri)
        check(done.stderr, time.monotonic() - began, folder, calm)
        assert proxy.requests > 0
        assert f"the store did not answer in {WAIT} s" in done.stderr
    sync(folder, server.uri)


@pytest.fixture
def spoil(folder: Path) -> Iterator[Callable[[str], None]]:
    """Lock or corrupt the store, as a fault's name says."""
    connections = []

    def spoil(fault: str) -> None:
        store = folder / "mlflow.db"
        if fault == "corrupt":
            store.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
            return
        connections.append(sqlite3.connect(store, isolation_level=None))
        connections[-1].execute("BEGIN EXCLUSIVE")

    yield spoil
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("fault", ["corrupt", "locked"])
def test_a_database_that_is_broken(
    fault: str, folder: Path, calm: tuple[dict[str, bytes], float], spoil: Callable[[str], None]
) -> None:
    spoil(fault)
    began = time.monotonic()
    done = train(folder)
    check(done.stderr, time.monotonic() - began, folder, calm)
    sync(folder, f"sqlite:///{folder / 'other.db'}")


def test_a_database_on_a_full_disk(folder: Path, calm: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    variables = clean_environment() | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{small}/mlflow.db"}
    command = on_small_disk(small, 200, shlex.join(TRAIN))  # the tables alone need more
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(done.stderr, time.monotonic() - began, folder, calm)
    sync(folder)
