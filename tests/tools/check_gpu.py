"""On a GPU: do CUDA graphs give the bits of steps that are launched kernel by kernel, also after a resume?

Each variant trains three times for some steps, growth and falling rates included: kernel by kernel, as graphs that are
read and sampled meanwhile, and as graphs from a checkpoint in the middle on. Some variants train once more with other
options. Exit code 1 where bits differ; the largest difference is shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from stages.config.errors import errors_as_lines
from stages.config.params import Params, load
from stages.storage.images import Split, read_split
from stages.training.trainer import Trainer
from stages.training.trainer_state import load_trainer, trainer_to_tensors
from tests.tools.benchmarks.training import build_trainer

State = dict[str, Tensor]
LOOK_EVERY = 10  # steps
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {  # on top of params.yaml, by name: of training, of dcgan
    "bfloat16": {"training": {"precision": "bfloat16"}},
    "augment": {"training": {"augment": ["translation", "cutout", "brightness"]}},
    "critic steps": {"variant": {"critic_steps": 2}},
}


def cases(params: Params, names: list[str]) -> Iterator[tuple[str, str, Params]]:
    """What to call it, the variant, its parameters: all schedules are at work."""
    training = params.training.model_copy(update={"learning_rate_decay_from": 0.5})
    params = params.model_copy(update={"training": training, "device": "cuda"})
    for name in names:
        yield name, name, params
    for option, changes in OPTIONS.items():
        dcgan = params.variants["dcgan"].model_copy(update=changes.get("variant", {}))
        other = training.model_copy(update=changes.get("training", {}))
        yield f"dcgan, {option}", "dcgan", params.model_copy(update={"training": other, "variants": {"dcgan": dcgan}})


def build(params: Params, name: str, train: Split, cuda_graphs: bool) -> Trainer:
    """A new training's."""
    return build_trainer(params.model_copy(update={"cuda_graphs": cuda_graphs}), name, train)


def advance(trainer: Trainer, first: int, last: int, steps: int, look: bool = False) -> State:
    """Take the steps from `first` to `last` of a training of so many: a copy of the state, without sums."""
    for step in range(first, last):
        trainer.follow_schedules(step / steps)
        trainer.step()
        if look and step % LOOK_EVERY == 0:  # as a real training does between replays
            trainer.read_scalars()
            labels = torch.zeros(4, dtype=torch.int64, device=trainer.device)
            trainer.gan.sample(trainer.ema.module, labels, trainer.batches.images, seed=step)
    state = trainer_to_tensors(trainer)
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def difference(one: State, other: State) -> tuple[bool, float]:
    """Whether all bits are equal; and the largest difference of a number, relative to the largest of its tensor."""
    names = [name for name in one if not name.startswith(("sums.", "counts."))]
    assert names, "no state"
    same = all(torch.equal(_to_bytes(one[name]), _to_bytes(other[name])) for name in names)
    pairs = [(one[name].double(), other[name].double()) for name in names if one[name].numel()]
    return same, max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in pairs)


def _to_bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


def main() -> None:
    """A line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: all")
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    params, train, steps = load(), read_split("train"), asked.steps
    failed = []
    for case, name, changed in cases(params, asked.variants or list(params.variants)):
        eager = advance(build(changed, name, train, cuda_graphs=False), 0, steps, steps)
        trainer = build(changed, name, train, cuda_graphs=True)
        graphs = advance(trainer, 0, steps, steps, look=True)
        half = advance(build(changed, name, train, cuda_graphs=True), 0, steps // 2, steps)
        resumed = build(changed, name, train, cuda_graphs=True)
        advance(resumed, 0, 3, steps)  # nothing of which may remain
        load_trainer(resumed, half)
        found = difference(eager, graphs), difference(eager, advance(resumed, steps // 2, steps, steps))
        recorded = len(trainer.graphs.recordings) if trainer.graphs else 0
        said = [f"{'same bits' if same else 'OTHER BITS'} ({largest:.1e})" for same, largest in found]
        print(f"{case}: {recorded} graphs; to eager steps {said[0]}, after a resume {said[1]}", flush=True)
        if not recorded or not all(same for same, _ in found):
            failed.append(case)
    sys.exit(f"no graphs, or other bits: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    with errors_as_lines():
        main()
