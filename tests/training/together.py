"""Train variants for some steps in as many processes as torchrun started, and save what they come to.

    torchrun … -m tests.training.together <folder> <precision> <steps> <variant> …

In float64 what adding up in another order changes stays far below what a wrong share would change.
"""

import sys
from pathlib import Path

import torch

from stages.training import processes
from stages.training.device import prepare
from stages.training.trainer_state import trainer_to_tensors
from tests.builders import PARAMS, build_trainer


def main(folder: Path, precision: str, steps: int, *names: str) -> None:
    """Each process writes the states and scalars of all variants."""
    params = PARAMS.model_copy(update={"device": "cpu", "threads": 1})
    device = prepare(params, 0)
    processes.join(device)
    if precision == "float64":
        torch.set_default_dtype(torch.float64)
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    results = {}
    for name in names:
        trainer = build_trainer(name, batch_size=8)
        start = {key: value.clone() for key, value in trainer_to_tensors(trainer).items()}
        list(trainer.train(8 * steps))
        end = {key: value.clone() for key, value in trainer_to_tensors(trainer).items()}
        results[name] = {"start": start, "end": end, "scalars": trainer.read_scalars()}
    torch.save(results, folder / f"{processes.count()}-{processes.rank()}.pt")
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
