"""The event log: what a stage did, written line by line to files, for another process to export to MLflow.

The stage itself never imports MLflow. A store that is slow, locked or away cannot break a training, and costs it one
bounded wait at the end. A log that could not be exported stays in .cache/tracking for later.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock
from safetensors.numpy import save

from stages.config.params import Tracking
from stages.storage.files import write_bytes
from stages.tracking.exporter_process import (
    EVENTS,
    LOCK,
    new_log_folder,
    start_exporter,
    take_notices,
    wait_for_exporter,
)
from stages.tracking.run_names import MODEL_TAG, describe_run, source_tags


class EventLog:
    """What happens in a stage, for one run or several: events belong to the run that was begun or joined last.

    Every method is harmless: what cannot be written is reported once, and given up.
    """

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.folder: Path | None = None  # nothing is tracked
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

    def begin_run(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin a run, its parameters flattened to dotted names."""
        self._write("run", **describe_run(name, parameters, source_tags()))

    def join_run(
        self,
        name: str,
        model_sha256: str,
        checkpoint: str,
        otherwise: Mapping[str, Any] | None = None,
        notice: str = "",
    ) -> None:
        """Go on in the run that trained the model of that hash, to choose that checkpoint (last or best).

        With `otherwise` go on in a new run with these parameters, added only where the store knows no such run. A
        stage that ends then prints the notice.
        """
        tags = {"reprogan.restored": "true", MODEL_TAG: model_sha256}
        restored = None if otherwise is None else describe_run(name, otherwise, tags)
        wanted: dict[str, Any] = {"model_sha256": model_sha256, "checkpoint": checkpoint}
        self._write("join", name=name, **wanted, otherwise=restored, notice=notice)

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Numbers at a step (training images seen, say); what is no number is passed over."""
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        self._write("metrics", step=step, values=numbers)

    def images(self, name: str, step: int, images: np.ndarray) -> None:
        """uint8 images (count, channels, height, width) at a step, to be shown in a grid."""
        file = f"{name}-{step:010d}.safetensors"
        self._write("image", {file: save({"images": np.ascontiguousarray(images)})}, name=name, step=step, file=file)

    def dataset(self, path: str, rows: int, digest: str) -> None:
        """The data that the run learns from: where it is, how many images, and a hash of them."""
        self._write("dataset", path=path, rows=rows, digest=digest)

    def model(self, files: Mapping[str, bytes], image_shape: Sequence[int], sha256: str) -> None:
        """The model to serve: its files by name, and the hash of the trained weights, by which its run is found."""
        content = hashlib.sha256(b"".join(files.values())).hexdigest()
        folder = f"model-{content}"  # apart, as the exporter may not have read the last one yet
        contents = {f"{folder}/{file}": data for file, data in files.items()}
        self._write("model", contents, folder=folder, image_shape=list(image_shape), sha256=sha256)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._write("end", status="FINISHED" if not kind else "FAILED" if issubclass(kind, Exception) else "KILLED")
        if self.folder is None:
            return
        obstacle = wait_for_exporter(self.folder, self._exporter, self._wait_seconds)
        self._lock.release()
        lines = take_notices()
        if obstacle:
            later = "to export it later: python -m stages.tracking.exporter sync"
            lines.append(f"not in MLflow yet ({obstacle}); {later}")
        for line in lines:
            print(f"tracking: {line}", file=sys.stderr)

    def _write(self, event: str, files: Mapping[str, bytes] | None = None, **content: Any) -> None:
        """Append an event, after the files that belong to it."""
        if self.folder is None:
            return
        line = json.dumps({"event": event, "time": int(time.time() * 1000), **content}, default=str)
        try:
            for name, data in (files or {}).items():
                write_bytes(self.folder / name, data)
            with (self.folder / EVENTS).open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        print(f"tracking: given up for this run: {error}", file=sys.stderr)
        self.folder = None
