"""Train variants for some steps in as many processes as torchrun started, and save what they come to.

    torchrun … -m tests.training.together <folder> <precision>:<steps>:<name>,<name> …

They share memory, unless the variable SEVERAL_MACHINES is set.
A name is that of a variant, or two as `pacgan+dragan`: the first one with the regularizer of the second.

In float64 what adding up in another order changes stays far below what a wrong share would change.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from stages.training import processes
from stages.training.device import prepare
from stages.training.trainer_state import trainer_to_tensors
from tests.builders import PARAMS, build_gan, build_trainer


def main(folder: Path, *cases: str) -> None:
    """Each process writes the states and scalars of all variants, by case."""
    device = prepare(PARAMS.model_copy(update={"device": "cpu", "threads": 1}), 0)
    processes.join(device)
    if "SEVERAL_MACHINES" in os.environ:
        processes._memory = None  # as there
    results = {case: train(*case.split(":")) for case in cases}
    torch.save(results, folder / f"{processes.world_size()}-{processes.rank()}.pt")
    processes.leave()


def train(precision: str, steps: str, names: str) -> dict[str, Any]:
    """State at the start and at the end, and scalars, by variant."""
    dtype, to_float = getattr(torch, precision), torch.Tensor.float
    torch.set_default_dtype(dtype)
    torch.Tensor.float = lambda self: self.to(dtype)  # type: ignore[method-assign]
    results = {}
    for name in names.split(","):
        variant, _, other = name.partition("+")
        regularizer = PARAMS.variants[other or variant].components()["regularizer"].model_dump()
        trainer = build_trainer(variant, build_gan(variant, regularizer=regularizer), batch_size=8)
        start = {key: value.clone() for key, value in trainer_to_tensors(trainer).items()}
        list(trainer.train(8 * int(steps)))
        end = {key: value.clone() for key, value in trainer_to_tensors(trainer).items()}
        results[name] = {"start": start, "end": end, "scalars": trainer.read_scalars()}
    torch.Tensor.float = to_float  # type: ignore[method-assign]
    return results


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
