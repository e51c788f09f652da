"""Real trainings, ended by signals: they resume and end with the same bytes, and MLflow knows what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import clean_environment, clone_repository, run, set_parameters
from tests.tools.faults import TRAIN, write_random_images
from tests.tools.rebuilds import hashes

LOG_STEPS, SNAPSHOTS = 20, 4


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with a few random images, and some seconds of training on them, twice."""
    clone = clone_repository(tmp_path / "reprogan")
    changes = {
        "budget": "smoke",
        "training.log_steps": LOG_STEPS,
        "training.snapshots": SNAPSHOTS,
        "resume.every_seconds": 0.1,
        "training.seeds": [0, 1],
        "variants.mlp.batch_size": 64,
        "variants.mlp.images.smoke": 12000,
    }
    set_parameters(clone, changes)
    write_random_images(clone)
    for file in (clone / "metrics").rglob("*.*"):  # the committed run's
        file.unlink()
    return clone


def end_in_seed(repository: Path, number: int, by: signal.Signals) -> int:
    """Train in a process group of its own; signal it once so many seeds have a new checkpoint. Return the status."""
    states = repository / ".cache/resume"
    before = set(states.glob("mlp/*/*.safetensors"))
    # a shell's background jobs ignore SIGINT, and what they start inherits that
    process = subprocess.Popen(
        TRAIN,
        cwd=repository,
        env=clean_environment(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while True:
            now = set(states.glob("mlp/*/*.safetensors"))
            if now - before and len({path.parent for path in now}) >= number:
                break
            assert process.poll() is None, "ended before it could be signalled"
            time.sleep(0.005)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, by)
    return process.wait()


def test_ended_in_both_seeds_it_resumes_to_the_same_bytes(repository: Path) -> None:
    run(*TRAIN, cwd=repository)
    undisturbed = hashes(repository)
    assert "models/mlp/seed_1/generator.safetensors" in undisturbed
    for path in undisturbed:
        if path.startswith(("models/mlp", "metrics/variants/mlp")):
            (repository / path).unlink()
    assert end_in_seed(repository, 1, signal.SIGKILL) == -signal.SIGKILL
    assert end_in_seed(repository, 1, signal.SIGINT) == 130  # Ctrl-C
    assert end_in_seed(repository, 2, signal.SIGTERM) == -signal.SIGTERM
    assert end_in_seed(repository, 2, signal.SIGKILL) == -signal.SIGKILL
    assert not (repository / "models/mlp/config.json").exists()
    done = run(*TRAIN, cwd=repository)
    assert "resumes at" in done.stdout
    assert hashes(repository) == undisturbed
    assert not (repository / ".cache/resume/mlp").exists()

    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    (experiment,) = (found for found in client.search_experiments() if found.name == "reprogan")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    assert [found.info.status for found in runs].count("KILLED") == 4
    curve = client.get_metric_history(runs[-1].info.run_id, "training/generator_loss")
    assert len({point.step for point in curve}) == LOG_STEPS
    pictures = (repository / "mlartifacts" / runs[-1].info.run_id).rglob("along_training~samples*.png")
    assert len({path.name for path in pictures}) >= SNAPSHOTS
