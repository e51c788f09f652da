"""Read and write files, atomically: a final name never holds half a file."""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import socket
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from stages.config.errors import StageError
from stages.storage.paths import TEMPORARY, repository, stage_of

LARGEST_IN_MEMORY = 2**28  # bytes of an array
FLOAT = ".6g"  # how computed numbers are written: six significant digits


def one_line(message: object) -> str:
    """An error's message, or what a program said of one, in one line of at most 300 characters."""
    return " ".join(str(message).split())[:300] or "no reason given"


def unreadable(path: Path, error: Exception) -> StageError:
    """What to raise for a file that cannot be read. For a missing output it names the command that makes it."""
    if isinstance(error, FileNotFoundError) and (stage := stage_of(path)):
        return StageError(f"{path}: is missing: run `dvc repro {stage}`")
    return StageError(f"{path}: cannot be read: {one_line(error)}")


@contextlib.contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Within it, a connection of any library that stays silent for so long fails."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file to write, which takes the path's place once it is whole and on disk; parents are made.

    An OSError names the final path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide outputs from a group
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:  # its own message names no file, or the temporary one
        raise OSError(error.errno, f"cannot be written: {error.strerror}", str(path)) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, which unlike .npz carries no dates."""
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def scratch_array(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """A new array, of zeros; a large one is in a file that nobody sees, so that the kernel may write it out."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= LARGEST_IN_MEMORY:
        return np.zeros(shape, dtype)
    folder = repository() / ".cache"  # not the system's, which may be in memory
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def read_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """Read an .npy array; raises StageError where it is missing or no plain array.

    A mapped one is read where it is used. Changes of it stay in memory.
    """
    try:
        array = np.load(path, "c" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise unreadable(path, error) from None
    if not isinstance(array, np.ndarray):  # an archive of several
        array.close()
        raise StageError(f"{path}: cannot be read: not one array")
    return array


def json_to_bytes(value: Any) -> bytes:
    """JSON with sorted keys; NaN and infinity are refused."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `json_to_bytes` spells it."""
    write_bytes(path, json_to_bytes(value))


def rounded(value: Any) -> Any:
    """A value for JSON with its floats rounded to six significant digits, as CSV has them. For what was computed.

    The last digits of a float64 depend on the kind of processor, and on the linear algebra library's threads.
    """
    if isinstance(value, float):
        return float(f"{value:{FLOAT}}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> Any:
    """Read JSON; raises StageError where it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, floats with six significant digits; what a row lacks stays empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row.get(name, "") for name in columns)
        writer.writerow(f"{value:{FLOAT}}" if isinstance(value, float) else value for value in values)
    write_bytes(path, buffer.getvalue().encode())


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def read_rows(path: Path) -> list[dict[str, float]]:
    """Rows of a CSV file of numbers, without empty cells; raises StageError where it is missing or malformed."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(path, error) from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits; raises StageError where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
