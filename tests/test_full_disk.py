"""A disk that is full: one line, nothing half written under a final name, and the next run succeeds."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from tests.tools.faults import (
    TRAIN,
    environment,
    may_mount,
    on_small_disk,
    outputs,
    small_training,
    train,
    with_small_files,
)


def test_a_training_on_a_full_disk_ends_in_one_line_and_the_next_one_succeeds(tmp_path: Path) -> None:
    calm = small_training(tmp_path / "calm")
    train(calm)
    largest = max(len(content) for content in outputs(calm).values())

    spare = small_training(tmp_path / "spare", {"resume.every_seconds": 0.05})
    place, kept = tmp_path / "place", tmp_path / "kept"
    place.mkdir()
    kept.mkdir()
    stage, here, there = shlex.join(TRAIN), shlex.quote(str(place)), shlex.quote(str(kept))
    script = f"""
        cd {here}; cp -r {shlex.quote(str(spare))}/. .
        {stage}; echo $? > {there}/status; cp -r models metrics {there}/ 2> {there}/missing
        $GROW; {stage} || exit 1; mkdir {there}/after; cp -r models metrics {there}/after/
    """
    data = sum(path.stat().st_size for path in spare.rglob("*") if path.is_file())
    if may_mount(place):
        command = on_small_disk(place, data + largest, script)  # room for some outputs, and not for all
    else:
        command = with_small_files(largest - 1024, script)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (kept / "status").read_text() == "1\n"
    errors = done.stderr.splitlines()
    assert len(errors) <= 2  # and of a checkpoint
    assert errors[-1].startswith("error: models/mlp/")
    assert "cannot be written: " in errors[-1]
    assert outputs(kept).items() < outputs(calm).items()
    assert outputs(kept / "after") == outputs(calm)
