"""The event log: what a stage did, written line by line to files, for another process to export to MLflow.

The stage itself never imports MLflow. A store that is slow, locked or unreachable cannot break a training, and costs it
one bounded wait at the end. A log that could not be exported stays in .cache/tracking for later.
"""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock
from safetensors.numpy import save

from stages.config.params import Tracking
from stages.storage.files import write_bytes
from stages.tracking.builds import find_build
from stages.tracking.exporter_process import (
    EVENTS,
    LOCK,
    new_log_folder,
    start_exporter,
    take_notices,
    wait_for_exporter,
)
from stages.tracking.run_names import LAST_SAMPLES, MODEL_TAG, describe_run, source_tags
from stages.tracking.system_metrics import SystemMetrics


class LogFiles:
    """The files of an event log, and the exporter that waits for them. After a write error nothing more is tracked."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.folder: Path | None = None  # nothing is tracked
        self._monitor: SystemMetrics | None = None
        self._last_grid = ""  # the file of the images that were recorded last
        self._writing = threading.Lock()  # the monitor writes from a thread of its own
        if not tracking.enabled:
            return
        self.folder = folder = new_log_folder(name)
        self._wait_seconds = tracking.wait_seconds
        self._lock = FileLock(folder / LOCK)  # held while the stage lives
        try:
            folder.mkdir(parents=True)
            self._lock.acquire()
            self._write("store", experiment=tracking.experiment)
            self._exporter = start_exporter(folder)
        except OSError as error:
            self._give_up(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._monitor:
            self._monitor.close()
        self._write("end", status="FINISHED" if not kind else "FAILED" if issubclass(kind, Exception) else "KILLED")
        if self.folder is None:
            return
        obstacle = wait_for_exporter(self.folder, self._exporter, self._wait_seconds)
        self._lock.release()
        lines = take_notices()
        if obstacle:
            later = "to export it later: python -m stages.tracking.exporter sync"
            lines.append(f"not all in MLflow yet ({obstacle}); {later}")
        for line in lines:
            print(f"tracking: {line}", file=sys.stderr)

    def _write(self, event: str, files: Mapping[str, bytes] | None = None, **content: Any) -> None:
        """Append an event, after the files that belong to it."""
        folder = self.folder
        if folder is None:
            return
        line = json.dumps({"event": event, "time": int(time.time() * 1000), **content}, default=str)
        try:
            for name, data in (files or {}).items():
                write_bytes(folder / name, data)
            with self._writing, (folder / EVENTS).open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        print(f"tracking: given up for this run: {error}", file=sys.stderr)
        self.folder = None


class EventLog(LogFiles):
    """What happens in a stage, for one run or several: events belong to the run that was begun or joined last.

    A write error never fails the stage: it is reported once, and nothing more is tracked.
    """

    def begin_run(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin a run, its parameters flattened to dotted names. CPU, memory and GPU use are recorded, too."""
        if self.folder is None:
            return
        self._write("run", **describe_run(name, parameters, source_tags()))
        if self._monitor is None:
            self._monitor = SystemMetrics(lambda seconds, values: self.metrics(seconds, values, "system"))
            self._monitor.start()

    def join_run(
        self,
        name: str,
        model_sha256: str,
        checkpoint: str,
        otherwise: Mapping[str, Any] | None = None,
        notice: str = "",
    ) -> None:
        """Continue the run that trained the model with that hash, under that rule for checkpoints (last or best).

        With `otherwise`, what follows goes to a new run with these parameters, and only if the store has no such run.
        The next stage that ends then prints the notice.
        """
        if self.folder is None:
            return
        tags = {"reprogan.restored": "true", MODEL_TAG: model_sha256}
        restored = None if otherwise is None else describe_run(name, otherwise, tags, is_now=False)
        wanted: dict[str, Any] = {"model_sha256": model_sha256, "checkpoint": checkpoint}
        self._write("join", name=name, **wanted, otherwise=restored, notice=notice)

    def join_build(self) -> None:
        """Continue the run of the whole build, the parent of its runs; without a git repository there is none."""
        if self.folder is not None:
            self._write("build", build=find_build(), tags=source_tags())

    def metrics(self, step: int, values: Mapping[str, Any], group: str = "training") -> None:
        """Numbers at a step, such as training images seen; the UI shows a group together. Text values are skipped."""
        numbers = {f"{group}/{key}": value for key, value in values.items() if isinstance(value, int | float)}
        self._write("metrics", step=step, values=numbers)

    def scores(self, step: int, values: Mapping[str, float], real: Mapping[str, float]) -> None:
        """The final scores, of the run and of the model that it logged last, and what real images reach."""
        self._write("scores", step=step, scores={f"scores/{key}": value for key, value in values.items()}, real=real)

    def note(self, text: str, *, of_build: bool = False) -> None:
        """Describe the run, in Markdown; `of_build`: only where it belongs to the build that was joined before."""
        self._write("note", text=text, of_build=of_build)

    def champion(self) -> None:
        """The model that the run logged last is the best of all: the registry's champion."""
        self._write("champion")

    def artifact(self, path: str, data: bytes) -> None:
        """A file of the run, under that path among its artifacts."""
        file = f"artifact-{hashlib.sha256(data).hexdigest()[:16]}/{path}"
        self._write("artifact", {file: data}, path=path, file=file)

    def images(self, name: str, step: int, images: np.ndarray) -> None:
        """uint8 images (count, channels, height, width) at a step, to be shown as a grid next to the score curves."""
        file, contents = f"{name}-{step:010d}.safetensors", save({"images": np.ascontiguousarray(images)})
        self._write("image", {file: contents}, name=f"along_training/{name}", step=step, file=file)
        self._last_grid = file

    def dataset(self, path: str, rows: int, digest: str) -> None:
        """The data that the run learns from: where it is, how many images, and a hash of them."""
        self._write("dataset", path=path, rows=rows, digest=digest)

    def model(self, files: Mapping[str, bytes], sha256: str) -> None:
        """The model to serve: its files by name, and the hash of the trained weights, by which its run is found."""
        if self._last_grid:  # at a step that all runs share: the UI compares no others
            self._write("image", name=LAST_SAMPLES, step=0, file=self._last_grid)
            self._last_grid = ""
        content = hashlib.sha256(b"".join(files.values())).hexdigest()
        folder = f"model-{content}"  # a new one: the exporter may not have read the last one yet
        contents = {f"{folder}/{file}": data for file, data in files.items()}
        self._write("model", contents, folder=folder, sha256=sha256)
