"""Get the raw files of the data set, verified: -> data/fetched."""

import contextlib
import hashlib
import subprocess
import sys
from pathlib import Path

from stages.config.command import run_stage
from stages.config.errors import StageError, first_ten
from stages.config.params import Params
from stages.datasets.dataset import find_dataset
from stages.storage.files import write_bytes
from stages.storage.paths import FETCHED, TEMPORARY


def main(params: Params) -> None:
    """Write each file that the data set gives, whole or not at all; remove what another data set left there.

    DVC does not clear data/fetched (`persist` in dvc.yaml): files there that belong to no data set stay, and the stage
    raises StageError.
    """
    for unfinished in FETCHED.rglob(f".*{TEMPORARY}"):  # of a stage that was killed while it wrote
        unfinished.unlink()
    written = set()
    for name, content in find_dataset(params.dataset).fetch(params.fetch):
        write_bytes(FETCHED / name, content)
        written.add(FETCHED / name)
    remove_earlier_outputs([path for path in sorted(FETCHED.rglob("*")) if path.is_file() and path not in written])


def remove_earlier_outputs(paths: list[Path]) -> None:
    """Remove files that DVC's cache has; raise StageError if it lacks one: such a file is the user's."""
    if not paths:
        return
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    cache = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or ".dvc/cache")
    hashes = {path: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in paths}
    cached = {path for path, digest in hashes.items() if (cache / "files/md5" / digest[:2] / digest[2:]).exists()}
    if own := [str(path) for path in paths if path not in cached]:
        raise StageError(
            "files that are not of this data set are in the way, and DVC has no copy of them; move them out of "
            f"{FETCHED}: {', '.join(first_ten(own))}"
        )
    for path in cached:
        path.unlink()
        with contextlib.suppress(OSError):  # others are left
            path.parent.rmdir()


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
