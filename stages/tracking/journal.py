"""The journal: what a stage did, written line by line to files, for another process to record in MLflow.

The stage itself never imports MLflow: a store that is slow, locked or away cannot break a training and costs it
one bounded wait at the end; a journal that could not be recorded stays under .cache/tracking for later. One
recorder serves stage after stage, because its start takes longer than all that it records of a stage.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout

from stages.settings.params import Tracking
from stages.support.files import repository, write_array, write_bytes

EVENTS = "events.jsonl"
LOCK = "lock"  # held while the stage lives
FAILURE = "failure"  # one line: why the recorder gave this journal up
POLL_SECONDS = 0.05
LOCK_SECONDS = 2  # for an output to be in dvc.lock


def journals() -> Path:
    """Where journals are that have not been recorded yet."""
    return repository() / ".cache" / "tracking"


def recorder_key() -> str:
    """What a recorder must share with the stages that it serves: this code, and where MLflow is."""
    settings = sorted(item for item in os.environ.items() if item[0].startswith("MLFLOW_"))
    code = sorted((str(path), path.stat().st_mtime_ns) for path in Path(__file__).parents[1].rglob("*.py"))
    return hashlib.sha256(repr((settings, code)).encode()).hexdigest()[:8]


def recorder_lock(key: str) -> Path:
    """Held by the recorder that serves journals of this key."""
    return repository() / ".cache" / f"recorder-{key}.lock"


def recorder_log() -> Path:
    """What recorders print: warnings of MLflow's, and what broke one."""
    return repository() / ".cache" / "recorder.log"


def is_free(lock: Path) -> bool:
    """Whether nobody holds a lock."""
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


class Journal:
    """What happens in a stage, for one run or several.

    Every method is harmless: what cannot be written is reported once, and given up. The events belong to the
    run begun or joined last.
    """

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.wait_seconds = tracking.wait_seconds
        self.folder: Path | None = None  # None: nothing is tracked
        self._models = 0
        self._lock: FileLock | None = None
        self._recorder: subprocess.Popen[bytes] | None = None  # where this stage was the one to start it
        if not tracking.enabled:
            return
        stamp = time.strftime("%Y%m%dT%H%M%S")
        self.folder = journals() / f"{stamp}-{name}-{uuid.uuid4().hex[:8]}.{recorder_key()}"
        try:
            self.folder.mkdir(parents=True)
            self._lock = FileLock(self.folder / LOCK)
            self._lock.acquire()
            self._write("store", experiment=tracking.experiment)
            self._spawn_recorder()
        except OSError as error:
            self._give_up(error)

    def begin_run(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin a run, its parameters flattened to dotted names."""
        tags = {
            "reprogan.variant": name,
            "mlflow.source.name": Path(sys.argv[0]).name,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": _git_commit(),
        }
        for variable in ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
            if variable in os.environ:
                tags[variable.lower().replace("_", ".", 1)] = os.environ[variable]
        self._write("run", name=name, parameters=flatten(parameters), tags=tags)

    def join_run(
        self, name: str, model_sha256: str, checkpoint: str, otherwise: Mapping[str, Any] | None = None
    ) -> None:
        """Go on in the run that trained the model of that hash, to choose that checkpoint (last or best).

        Where `otherwise` is given, the events that follow are for a new run with those parameters, marked
        restored, that is added only if the store knows none with that model.
        """
        parameters = None if otherwise is None else flatten(otherwise)
        self._write("join", name=name, model_sha256=model_sha256, checkpoint=checkpoint, parameters=parameters)

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Numbers at a step (training images seen, say); what is no number is passed over."""
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        self._write("metrics", step=step, values=numbers)

    def images(self, name: str, step: int, images: np.ndarray) -> None:
        """uint8 images (count, channels, height, width) at a step, to be shown in a grid."""
        file = f"{name}-{step:010d}.npy"
        self._attach(file, images)
        self._write("image", name=name, step=step, file=file)

    def dataset(self, path: str, rows: int) -> None:
        """The data that the run learns from: an output of DVC, by its path."""
        self._write("dataset", path=path, rows=rows, digest=_dvc_digest(path))

    def model(self, files: Mapping[str, bytes], image_shape: Sequence[int], sha256: str) -> None:
        """The model to serve: its files by name, and the hash of the trained weights, which names the run."""
        self._models += 1
        folder = f"model-{self._models}"  # apart, as the recorder may not have read the last one yet
        for file, content in files.items():
            self._attach(f"{folder}/{file}", content)
        self._write("model", folder=folder, image_shape=list(image_shape), sha256=sha256)

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
        line = json.dumps({"event": event, "time": int(time.time() * 1000), **content}, default=str)
        try:
            with (self.folder / EVENTS).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            self._give_up(error)

    def _attach(self, name: str, content: bytes | np.ndarray) -> None:
        if self.folder is None:
            return
        try:
            if isinstance(content, np.ndarray):
                write_array(self.folder / name, content)
            else:
                write_bytes(self.folder / name, content)
        except OSError as error:
            self._give_up(error)

    def _spawn_recorder(self) -> None:
        """Start a recorder unless one is there, or on its way."""
        if self.folder is None or not _has_mlflow() or (self._recorder is not None and self._recorder.poll() is None):
            return
        key = self.folder.suffix[1:]
        if not is_free(recorder_lock(key)):
            return
        command = [sys.executable, "-m", "stages.tracking.recorder", "serve", key]
        with recorder_log().open("ab") as log:
            # a session of its own: Ctrl-C is for the stage, which then tells the recorder how it ended
            self._recorder = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self) -> None:
        """Let the recorder catch up; say so, once, where it could not."""
        if self.folder is None or self._lock is None:
            return
        try:
            obstacle = self._find_obstacle(self.folder) if _has_mlflow() else "MLflow is not installed"
        except OSError as error:  # a full disk, say, must not fail the stage
            obstacle = str(error)
        self._lock.release()
        if obstacle:
            print(
                f"tracking: not recorded in MLflow yet ({obstacle}); to record it later: "
                "python -m stages.tracking.recorder sync",
                file=sys.stderr,
            )

    def _find_obstacle(self, folder: Path) -> str:
        """Wait until the recorder has removed the journal; return why it did not, else nothing."""
        deadline = time.monotonic() + self.wait_seconds
        while folder.exists():
            if (folder / FAILURE).exists():
                return (folder / FAILURE).read_text(encoding="utf-8")
            if self._recorder is not None and (self._recorder.poll() or 0) > 0:
                return f"the recorder broke, see {recorder_log()}"
            if time.monotonic() > deadline:
                return f"the store did not answer in {self.wait_seconds} s"
            self._spawn_recorder()  # the last one may have been killed, or idle for too long just then
            time.sleep(POLL_SECONDS)
        return ""

    def _give_up(self, error: OSError) -> None:
        print(f"tracking: given up for this run: {error}", file=sys.stderr)
        self.folder = None


def _has_mlflow() -> bool:
    return importlib.util.find_spec("mlflow") is not None


def _git_commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    run = subprocess.run(command, capture_output=True, text=True, check=False) if shutil.which("git") else None
    return run.stdout.strip() if run and run.returncode == 0 else "unknown"


def _dvc_digest(path: str) -> str:
    """DVC's hash of an output, from dvc.lock; unknown where it is not there, or not soon.

    Another job's DVC may be writing that file: one that is cut off is read again.
    """
    # a parser of YAML takes a tenth of a second for the whole file; DVC writes an output always in the same way
    output = re.compile(
        rf"^    outs:\n(?:    [- ] .*\n)*?    - path: {re.escape(path)}\n(?:      .*\n)*?      md5: (\S+)\n",
        re.MULTILINE,
    )
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            text = Path("dvc.lock").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "unknown"
        if found := output.search(text):
            return found[1]
        if time.monotonic() >= deadline:
            return "unknown"
        time.sleep(POLL_SECONDS)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
