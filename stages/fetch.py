"""Get the raw files of the data set, verified: -> data/raw."""

from stages.config.command import run_stage
from stages.config.params import Params
from stages.datasets.dataset import find_dataset
from stages.storage.files import write_bytes
from stages.storage.paths import RAW


def main(params: Params) -> None:
    """Write each file that the data set gives, whole or not at all."""
    for name, content in find_dataset(params.dataset).fetch(params.fetch):
        write_bytes(RAW / name, content)


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
