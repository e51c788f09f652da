"""On a GPU: do CUDA graphs give the bits of steps that are launched kernel by kernel, also after a resume?

Each variant trains three times for some steps, growth and falling rates included: kernel by kernel, as graphs, and as
graphs in two parts with a checkpoint between them. Exit code 1 where states differ; the largest difference is shown.
"""

from __future__ import annotations

import argparse
import sys

import torch
from torch import Tensor

from stages.config.params import Params, load
from stages.storage.images import Split, read_split
from stages.training.trainer import Trainer
from stages.training.trainer_state import load_trainer, trainer_to_tensors
from tests.tools.benchmarks.training import build_trainer

State = dict[str, Tensor]


def build(params: Params, name: str, train: Split, cuda_graphs: bool) -> Trainer:
    """A trainer with all its schedules at work."""
    changes = {"cuda_graphs": cuda_graphs, "learning_rate_decay_from": 0.5}
    training = params.training.model_copy(update=changes)
    return build_trainer(params.model_copy(update={"training": training, "device": "cuda"}), name, train)


def advance(trainer: Trainer, first: int, last: int, steps: int) -> State:
    """Take the steps from `first` to `last` of a training of so many: a copy of the state."""
    for step in range(first, last):
        trainer.follow_schedules(step / steps)
        trainer.step()
    return {name: value.detach().cpu().clone() for name, value in trainer_to_tensors(trainer).items()}


def difference(one: State, other: State) -> float:
    """The largest difference of a number, relative to the largest of its tensor; 0 where all bits are equal."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    if all(torch.equal(value, other[name]) for name, value in one.items()):
        return 0.0
    pairs = [(value.double(), other[name].double()) for name, value in one.items() if value.numel()]
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in pairs)


def main() -> None:
    """A line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: all")
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    params, train, steps = load(), read_split("train"), asked.steps
    differ = []
    for name in asked.variants or params.variants:
        eager = advance(build(params, name, train, cuda_graphs=False), 0, steps, steps)
        trainer = build(params, name, train, cuda_graphs=True)
        graphs = advance(trainer, 0, steps, steps)
        half = advance(build(params, name, train, cuda_graphs=True), 0, steps // 2, steps)
        resumed = build(params, name, train, cuda_graphs=True)
        load_trainer(resumed, half)
        whole = advance(resumed, steps // 2, steps, steps)
        found = difference(eager, graphs), difference(graphs, whole)
        recorded = len(trainer.graphs.recordings) if trainer.graphs else 0
        print(f"{name}: {recorded} graphs; to eager steps {found[0]:.1e}, after a resume {found[1]:.1e}", flush=True)
        if any(found) or not recorded:
            differ.append(name)
    sys.exit(f"not the same bits: {', '.join(differ)}" if differ else 0)


if __name__ == "__main__":
    main()
