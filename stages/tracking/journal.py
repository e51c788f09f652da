"""The journal: what a stage did, written line by line to files, for another process to record in MLflow.

The stage itself never imports MLflow: a store that is slow, locked or away costs a training nothing, and a
journal that could not be recorded stays under .cache/tracking to be recorded later.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stages.support.params import Tracking

EVENTS = "events.jsonl"


def root() -> Path:
    """The repository; in `dvc exp run --temp` the one that the temporary copy was made from."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


class Journal:
    """What happens in a stage, for one run or several.

    Every method is harmless: what cannot be written is reported once, and given up. The events belong to the
    run begun or joined last.
    """

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.wait_seconds = tracking.wait_seconds
        self.folder: Path | None = None  # None: nothing is tracked
        self._recorder: subprocess.Popen[bytes] | None = None
        if not tracking.enabled:
            return
        stamp = time.strftime("%Y%m%dT%H%M%S")
        self.folder = root() / ".cache" / "tracking" / f"{stamp}-{name}-{uuid.uuid4().hex[:8]}"
        try:
            self.folder.mkdir(parents=True)
            self._write("store", experiment=tracking.experiment)
            self._spawn_recorder()
        except OSError as error:
            self._give_up(error)

    def begin_run(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin a run, its parameters flattened to dotted names."""
        environment = {key: value for key, value in os.environ.items() if key.startswith("DVC_")}
        self._write("run", name=name, parameters=flatten(parameters), environment=environment)

    def join_run(self, name: str, model_sha256: str, otherwise: Mapping[str, Any] | None = None) -> None:
        """Go on in the run that trained the model of that hash.

        Where the store knows none, `otherwise` gives the parameters of a run to add, marked restored; without
        it nothing is recorded.
        """
        parameters = None if otherwise is None else flatten(otherwise)
        self._write("join", name=name, model_sha256=model_sha256, parameters=parameters)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers at a step (training images seen, say)."""
        self._write("metrics", step=step, values=dict(values))

    def image(self, name: str, step: int, png: bytes) -> None:
        """A picture at a step."""
        self._attach(f"{name}-{step:010d}.png", png)
        self._write("image", name=name, step=step, file=f"{name}-{step:010d}.png")

    def dataset(self, path: str, rows: int) -> None:
        """The data that the run learns from: an output of DVC, by its path."""
        self._write("dataset", path=path, rows=rows)

    def model(self, files: Mapping[str, bytes], image_shape: tuple[int, ...], sha256: str) -> None:
        """The trained model: its files by name, and the hash of its weights."""
        for name, content in files.items():
            self._attach(f"model/{name}", content)
        self._write("model", image_shape=list(image_shape), sha256=sha256)

    def tags(self, **tags: str) -> None:
        """Tags of the run."""
        self._write("tags", tags=tags)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        status = "KILLED" if interrupted else "FAILED" if kind else "FINISHED"
        self._write("end", status=status)
        self._wait()

    def _write(self, event: str, **content: Any) -> None:
        if self.folder is None:
            return
        line = json.dumps({"event": event, "time": int(time.time() * 1000), **content})
        try:
            with (self.folder / EVENTS).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            self._give_up(error)

    def _attach(self, name: str, content: bytes) -> None:
        if self.folder is None:
            return
        try:
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)
        except OSError as error:
            self._give_up(error)

    def _spawn_recorder(self) -> None:
        if self.folder is None or importlib.util.find_spec("mlflow") is None:
            return
        command = [sys.executable, "-m", "stages.tracking.recorder", "follow", str(self.folder)]
        log = (self.folder / "recorder.log").open("wb")
        self._recorder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def _wait(self) -> None:
        if self.folder is None:
            return
        try:
            recorded = self._recorder is not None and self._recorder.wait(self.wait_seconds) == 0
        except subprocess.TimeoutExpired:
            recorded = False
            self._recorder.kill()  # type: ignore[union-attr]
        if recorded:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        why = "MLflow is not installed" if self._recorder is None else self._last_words(self.folder)
        print(
            f"tracking: not recorded in MLflow yet ({why}); to record it later: "
            "python -m stages.tracking.recorder sync",
            file=sys.stderr,
        )

    def _last_words(self, folder: Path) -> str:
        try:
            lines = (folder / "recorder.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:200] if lines else f"the store did not answer in {self.wait_seconds} s"

    def _give_up(self, error: OSError) -> None:
        print(f"tracking: given up for this run: {error}", file=sys.stderr)
        self.folder = None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
