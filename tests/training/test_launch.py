"""Real trainings in two processes: one that is killed ends both, and the next start resumes to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from stages.config.errors import LostProcessError, StageError
from stages.training.launch import end
from tests.conftest import ROOT, clean_environment, clone_repository, run, set_parameters
from tests.tools.faults import TRAIN, free_port, write_random_images
from tests.tools.rebuilds import hashes

LOST = LostProcessError.exit_code


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with a few random images, and some seconds of training on them by two processes."""
    clone = clone_repository(tmp_path / "reprogan")
    changes = {
        "budget": "smoke",
        "tracking.enabled": False,
        "training.processes": 2,
        "resume.every_seconds": 0.1,
        "variants.mlp.batch_size": 64,
        "variants.mlp.images.smoke": 12000,
    }
    set_parameters(clone, changes)
    write_random_images(clone)
    return clone


def kill_one(repository: Path, number: int | None) -> str:
    """Train; kill the process of that number once there is a checkpoint, or the one that started all of them.

    Return what was printed.
    """
    process = subprocess.Popen(
        TRAIN, cwd=repository, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not list(repository.glob(".cache/resume/mlp/*/*.safetensors")):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.02)
    children = [child for child in psutil.Process(process.pid).children() if "stages.train" in child.cmdline()]
    assert len(children) == 2
    pids = {int(child.environ()["RANK"]): child.pid for child in children}
    os.kill(process.pid if number is None else pids[number], signal.SIGKILL)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if number is None else 1)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    return printed


def test_one_that_is_killed_ends_all_and_the_next_start_resumes(repository: Path) -> None:
    run(*TRAIN, cwd=repository)
    undisturbed = hashes(repository)
    for number in (1, 0):
        (repository / "models/mlp/generator.safetensors").unlink(missing_ok=True)
        told = f"error: process {number} of 2 was ended by signal 9; run again\n"
        assert kill_one(repository, number).endswith(told)
        assert "train: mlp (seed 0): resumes at " in run(*TRAIN, cwd=repository).stdout
        assert hashes(repository) == undisturbed
    assert len(undisturbed) > 10


def test_it_does_not_resume_with_another_number_of_processes(repository: Path) -> None:
    kill_one(repository, None)
    set_parameters(repository, {"training.processes": 1})
    refused = run(*TRAIN, cwd=repository, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: mlp was begun with 2 processes: set training.processes to that, or remove")
    assert refused.stderr.count("\n") == 1


def test_what_all_of_them_find_wrong_is_said_once(repository: Path) -> None:
    for file in (repository / "data/processed/train").iterdir():
        file.unlink()
    ended = run(*TRAIN, cwd=repository, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "error: data/processed/train/classes.json: is missing: run `dvc repro preprocess`\n"
    set_parameters(repository, {"sample.processes": 2})
    for stage in ("sample", "evaluate"):
        ended = run("python", "-m", f"stages.{stage}", "mlp", cwd=repository, check=False)
        assert ended.returncode == 1
        assert ended.stderr == "error: models/mlp/config.json: is missing: run `dvc repro train@mlp`\n"
    set_parameters(repository, {"training.processes": 3})
    ended = run(*TRAIN, cwd=repository, check=False)
    assert ended.returncode == 2
    assert (
        "training.processes must divide variants.conv.batch_size, 32: each process has an equal share" in ended.stderr
    )
    assert ended.stderr.count("\n") == 1


def test_where_none_knows_why_the_connection_was_lost_a_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text(f"raise SystemExit({LostProcessError.exit_code})")
    started = (
        "from stages.config.errors import errors_as_lines",
        "from stages.training.launch import launch",
        "with errors_as_lines(): launch(2, 'lost')",
    )
    ended = run("python", "-c", "\n".join(started), cwd=ROOT, check=False, PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (1, "error: the 2 processes lost contact with each other; run again\n")


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        ({0: LOST, 1: LOST}, "the 2 processes lost contact with each other; run again"),
        ({0: -15, 1: LOST}, "the 2 processes lost contact with each other; run again"),
        ({0: -15, 1: -9}, "process 1 of 2 was ended by signal 9; run again"),
        ({0: LOST, 1: -9}, "process 1 of 2 was ended by signal 9; run again"),
        ({0: -15}, "process 0 of 2 was ended by signal 15; run again"),
    ],
)
def test_of_several_that_end_the_first_cause_is_told(codes: dict[int, int], says: str) -> None:
    """By SIGTERM, 15, torch ends those that have not noticed yet that another one is gone."""
    with pytest.raises(StageError, match=f"^{says}$"):
        end(codes, 2)


def test_the_exit_code_is_that_of_the_process_that_says_why() -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        end({0: -15, 1: LOST, 2: 2}, 3)


def test_what_another_machine_lacks_its_first_process_says(repository: Path, tmp_path: Path) -> None:
    """As torchrun starts them, a process on each of two machines: the data are in one clone only."""
    elsewhere = tmp_path / "elsewhere"
    run("git", "clone", "--quiet", str(repository), str(elsewhere), cwd=tmp_path)
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    variables = clean_environment() | torchrun | {"MASTER_PORT": str(free_port())}
    started = [
        subprocess.Popen(TRAIN, cwd=folder, env=variables | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank, folder in enumerate((repository, elsewhere))
    ]
    told = [process.communicate(timeout=120)[1] for process in started]
    assert told == ["", "error: data/processed/train/classes.json: is missing: run `dvc repro preprocess`\n"]
    assert [process.returncode for process in started] == [75, 1]
