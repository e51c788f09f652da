"""The exporter process, as a stage sees it: where event logs wait for it, how it is started, and how long to wait.

One process serves stage after stage, because its start takes longer than the export of a stage.
"""

import contextlib
import hashlib
import os
import sys
import time
import uuid
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, Popen

from filelock import FileLock, Timeout

from stages.storage.files import write_bytes
from stages.storage.paths import repository

EVENTS = "events.jsonl"
LOCK = "lock"  # of an event log: held while its stage lives
FAILURE = "failure"  # one line: why the exporter gave up this log
MESSAGES = "exporter.log"  # what exporters print: MLflow's warnings, and tracebacks
POLL_SECONDS = 0.05


def event_logs() -> Path:
    """The folder of the event logs that have not been exported yet."""
    return repository() / ".cache" / "tracking"


def notices() -> Path:
    """The folder of what exporters have to tell people, a file each."""
    return repository() / ".cache" / "notices"


def new_log_folder(name: str) -> Path:
    """A folder for a new log, not made yet; its suffix is the key of the exporters that may export it.

    The key is a hash of what they must share with the stage: this code, and where MLflow is.
    """
    settings = sorted(item for item in os.environ.items() if item[0].startswith("MLFLOW_"))
    code = sorted((str(path), path.stat().st_mtime_ns) for path in Path(__file__).parents[1].rglob("[!.]*.py"))
    key = hashlib.sha256(repr((settings, code)).encode()).hexdigest()[:8]
    return event_logs() / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{name}-{uuid.uuid4().hex[:8]}.{key}"


def exporter_lock(key: str) -> Path:
    """Held by the exporter that serves logs of this key."""
    return repository() / ".cache" / f"exporter-{key}.lock"


def is_free(lock: Path) -> bool:
    """Whether nobody holds a lock."""
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def start_exporter(log: Path) -> Popen[bytes] | None:
    """Start an exporter for a log; None if one serves already."""
    key = log.suffix[1:]
    if not is_free(exporter_lock(key)):
        return None
    command = [sys.executable, "-m", "stages.tracking.exporter", "serve", key]
    with (repository() / ".cache" / MESSAGES).open("ab") as messages:
        # a session of its own: Ctrl-C is for the stage, which then tells the exporter how it ended
        return Popen(command, stdin=DEVNULL, stdout=messages, stderr=messages, start_new_session=True)


def leave_notice(text: str) -> None:
    """Have the next stage that ends, or `sync`, print a line: nobody reads what an exporter prints."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    if not list(notices().glob(f"*-{digest}.txt")):
        write_bytes(notices() / f"{time.time_ns()}-{digest}.txt", text.encode())


def take_notices() -> list[str]:
    """The lines that exporters left; each is given once."""
    lines = []
    for file in sorted(notices().glob("*.txt")):
        with contextlib.suppress(OSError):  # another stage takes it
            text = file.read_text(encoding="utf-8")
            file.unlink()
            lines.append(text)
    return lines


def wait_for_exporter(log: Path, process: Popen[bytes] | None, seconds: float) -> str:
    """Wait until a log has been exported and removed; return why it could not be, else an empty text."""
    if find_spec("mlflow") is None:
        return "MLflow is not installed"
    deadline = time.monotonic() + seconds
    try:
        while log.exists():
            if (log / FAILURE).exists():
                return (log / FAILURE).read_text(encoding="utf-8")
            ended = process.poll() if process else 0  # None: it runs; below 0: killed
            if ended is not None and ended > 0:
                return f"the exporter broke, see {repository() / '.cache' / MESSAGES}"
            if time.monotonic() > deadline:
                return f"the store did not answer in {seconds} s"
            if ended is not None:  # the last one may have been killed, or idle for too long just then
                process = start_exporter(log)
            time.sleep(POLL_SECONDS)
    except OSError as error:  # a full disk, say, must not fail the stage
        return str(error)
    return ""
