"""Real trainings while the store fails: the same bytes, hardly longer, one line; exported later by `sync`."""

import contextlib
import os
import platform
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.conftest import set_parameter, set_parameters
from tests.tools.faults import (
    TRAIN,
    Server,
    SlowProxy,
    environment,
    free_port,
    in_the_way_of,
    may_mount,
    on_small_disk,
    outputs,
    run_there,
    small_training,
    stop_exporters,
    train,
    with_permissions,
)

WAIT = 3  # seconds, as `tracking.wait_seconds`
SLACK = 15  # seconds that a busy machine may cost; how long trainings take is for a benchmark
SAID = "tracking: not all in MLflow yet"
POINTS = 20  # of the curve, as in `small_training`
SYNC = (sys.executable, "-m", "stages.tracking.exporter", "sync")
SCORE = """
from pathlib import Path
from stages.config.params import load
from stages.storage.files import sha256
from stages.tracking.event_log import EventLog
with EventLog(load(components=False).tracking, "evaluate-mlp") as event_log:
    event_log.join_run("mlp", sha256(Path("models/mlp/generator.safetensors")), "last")
    event_log.scores(32000, {"fid": 1.5}, {})
"""


class Calm(NamedTuple):
    """What the training leaves where nothing is tracked, and the seconds it takes."""

    outputs: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    folder = small_training(tmp_path_factory.mktemp("calm") / "calm")
    began = time.monotonic()
    train(folder)
    return Calm(outputs(folder), time.monotonic() - began)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The same training, tracked."""
    yield small_training(tmp_path / "tracked", {"tracking.enabled": True, "tracking.wait_seconds": WAIT})
    stop_exporters(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that runs."""
    real = Server(tmp_path_factory.mktemp("server"))
    try:
        real.start()
        yield real
    finally:
        real.kill()


def check(said: str, seconds: float, folder: Path, calm: Calm) -> None:
    """The same bytes, in hardly more time, and one line."""
    assert outputs(folder) == calm.outputs
    assert seconds < 2 * calm.seconds + WAIT + SLACK  # the machine may be busier than it was
    assert said.count("\n") == 1
    assert SAID in said
    assert said.endswith("to export it later: python -m stages.tracking.exporter sync\n")


def reason(folder: Path) -> str:
    """Why the exporter gave up, as it notes sooner or later."""
    deadline = time.monotonic() + 90
    while not (found := list((folder / ".cache/tracking").glob("*/failure"))):
        assert time.monotonic() < deadline, "the exporter did not give up"
        time.sleep(0.1)
    return found[0].read_text()


def sync(folder: Path, uri: str = "", experiment: str = "reprogan") -> None:
    """Export what was left behind, at once: the exporter that gave it up waits for another log. One line per log."""
    done = run_there(folder, *SYNC, **({"MLFLOW_TRACKING_URI": uri} if uri else {}))
    assert re.fullmatch(r"(exported \S+\n)+", done.stdout)
    assert done.stderr == ""
    assert not list((folder / ".cache/tracking").iterdir())
    assert_exported(uri or f"sqlite:///{folder / 'mlflow.db'}", experiment)


def find_the_run(uri: str, experiment: str = "reprogan") -> Run:
    """The one run of the experiment, which has ended and has its curve."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    assert run.info.status == "FINISHED"
    curve = client.get_metric_history(run.info.run_id, "training/generator_loss")
    assert len(curve) == len({point.step for point in curve}) == POINTS
    return run


def assert_exported(uri: str, experiment: str = "reprogan") -> None:
    """The store has one run, with its curve, pictures, model and environment."""
    client, found = MlflowClient(uri), find_the_run(uri, experiment)
    assert len([file for file in client.list_artifacts(found.info.run_id, "images") if ".png" in file.path]) == 5
    assert "reprogan.served_sha256" in found.data.tags
    about = {key.removeprefix("environment."): value for key, value in found.data.params.items() if "." in key}
    assert about["python"] == platform.python_version()
    assert about["torch"] == torch.__version__
    assert found.data.params["device"] == "cpu"
    assert found.data.params["training.precision"] == "float32"


def test_a_store_that_is_well_is_told_nothing_of(folder: Path, calm: Calm) -> None:
    set_parameter(folder, "tracking.wait_seconds", 120)
    assert train(folder).stderr == ""
    assert outputs(folder) == calm.outputs
    assert_exported(f"sqlite:///{folder / 'mlflow.db'}")


def test_a_server_that_cannot_be_reached(folder: Path, calm: Calm) -> None:
    began = time.monotonic()
    done = train(folder, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    check(done.stderr, time.monotonic() - began, folder, calm)
    assert "Connection refused" in reason(folder)
    sync(folder)


def test_a_server_that_dies_half_way(folder: Path, calm: Calm, server: Server) -> None:
    set_parameter(folder, "tracking.wait_seconds", 120)  # the exporter is to have begun
    variables = environment(MLFLOW_TRACKING_URI=server.uri)
    process = subprocess.Popen(TRAIN, cwd=folder, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        while not list((folder / ".cache/tracking").glob("*/run_id-*")):  # written once the run is there
            assert process.poll() is None, "the training ended before the server could die"
            time.sleep(0.01)
        server.kill()
        died = time.monotonic()
        _, said = process.communicate()
        assert process.returncode == 0
        check(said, time.monotonic() - died, folder, calm)
        assert "Connection" in said
    finally:
        process.kill()
        server.start()
    sync(folder, server.uri)  # goes on in the run that was begun


def test_a_server_that_takes_five_seconds_a_call(folder: Path, calm: Calm, server: Server) -> None:
    set_parameter(folder, "tracking.experiment", "slow")
    with SlowProxy(server.port, pause=5) as proxy:
        began = time.monotonic()
        done = train(folder, MLFLOW_TRACKING_URI=proxy.uri)
        check(done.stderr, time.monotonic() - began, folder, calm)
        assert f"the store did not answer in {WAIT} s" in done.stderr
        deadline = time.monotonic() + 90
        while proxy.requests < 2:
            assert time.monotonic() < deadline, "the exporter did not call"
            time.sleep(0.1)
        stop_exporters(folder)


def test_a_server_whose_artifact_store_is_away(folder: Path, calm: Calm, server: Server) -> None:
    set_parameters(folder, {"tracking.wait_seconds": 120, "tracking.experiment": "no artifacts"})
    uri = {"MLFLOW_TRACKING_URI": server.uri}
    with in_the_way_of(server.artifacts):
        done = train(folder, **uri)
        check(done.stderr, 0, folder, calm)  # how long the store takes to refuse is its own matter
        assert "(pictures and model are missing: " in done.stderr
        before = find_the_run(server.uri, "no artifacts")
        assert run_there(folder, sys.executable, "-c", SCORE, **uri).stderr == ""
        scored = find_the_run(server.uri, "no artifacts")
        assert scored.data.metrics["scores/fid"] == 1.5
        refused = subprocess.run(SYNC, cwd=folder, env=environment(**uri), capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "pictures and model are missing: " in refused.stderr
    sync(folder, server.uri, "no artifacts")
    after = find_the_run(server.uri, "no artifacts")
    assert after.info.run_id == before.info.run_id
    assert after.info.end_time == before.info.end_time
    assert after.data.metrics == scored.data.metrics


@pytest.mark.parametrize(
    ("fault", "named"), [("corrupt", "malformed|not a database"), ("locked", "database is locked")]
)
def test_a_database_that_is_broken(fault: str, named: str, folder: Path, calm: Calm) -> None:
    store = folder / "mlflow.db"
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        if fault == "locked":
            connection.execute("BEGIN EXCLUSIVE")
        else:
            store.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
        began = time.monotonic()
        done = train(folder)
        check(done.stderr, time.monotonic() - began, folder, calm)
        assert re.search(named, reason(folder))
    store.unlink()
    sync(folder)


def test_a_database_that_is_read_only_for_a_moment(folder: Path, calm: Calm) -> None:
    if not os.geteuid() and not shutil.which("setpriv"):
        pytest.skip("root writes where it is not allowed to")
    store = folder / "mlflow.db"
    MlflowClient(f"sqlite:///{store}").search_experiments()  # makes the tables
    store.chmod(0o444)
    command = with_permissions(TRAIN)
    began = time.monotonic()
    done = run_there(folder, *command)
    check(done.stderr, time.monotonic() - began, folder, calm)
    assert "readonly database" in reason(folder)
    store.chmod(0o644)
    sync(folder)


def test_a_database_on_a_full_disk(folder: Path, calm: Calm, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if not may_mount(small):
        pytest.skip("this user may not mount a small disk")
    variables = environment(MLFLOW_TRACKING_URI=f"sqlite:///{small}/mlflow.db")
    command = on_small_disk(small, 200_000, shlex.join(TRAIN))  # the tables alone need more
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(done.stderr, time.monotonic() - began, folder, calm)
    assert "disk is full" in reason(folder)
    sync(folder)
