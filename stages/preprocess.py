"""Raw files to uint8 arrays in three fixed splits: data/fetched -> data/processed/{train,validation,test}."""

import numpy as np

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Params
from stages.datasets.dataset import check_classes, find_dataset
from stages.storage.images import write_split
from stages.storage.paths import FETCHED


def main(params: Params) -> None:
    """Split the images for training into train and validation, at random by preprocess.seed; keep test apart."""
    if not any(FETCHED.glob("*")):
        raise StageError(f"{FETCHED}: is missing or empty: run dvc repro fetch")
    random = np.random.default_rng(params.preprocess.seed)
    dataset = find_dataset(params.dataset)
    whole, test = dataset.load(params.preprocess, random)
    train, validation = dataset.hold_out_validation(whole, params.preprocess.validation_images, random)
    for name, split in {"train": train, "validation": validation, "test": test}.items():
        check_classes(finished := dataset.finish(split, random))
        write_split(name, finished)
        print(f"preprocess: {name}: {len(finished.images)} images")


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
