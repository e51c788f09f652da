"""All that the rest of a training depends on between two steps, as one flat mapping of tensors."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from stages.storage.weights import prefixed, unprefixed
from stages.training.cuda_graphs import CUDAGraphs
from stages.training.trainer import Trainer


def trainer_to_tensors(trainer: Trainer) -> dict[str, Tensor]:
    """The state, by dotted names; the tensors are the trainer's own, and change with the next step."""
    state = prefixed("sums", trainer.sums)
    state |= prefixed("counts", {name: torch.tensor(count) for name, count in trainer.counts.items()})
    state |= prefixed("gan", trainer.gan.state_dict())
    state |= prefixed("ema", trainer.ema.module.state_dict())
    state |= prefixed("generator_optimizer", trainer.generator_optimizer.state_tensors())
    state |= prefixed("discriminator_optimizer", trainer.discriminator_optimizer.state_tensors())
    state |= prefixed("batches", trainer.batches.state_dict())
    state |= {"images_seen": torch.tensor(trainer.images_seen), "random.cpu": torch.get_rng_state()}
    if trainer.device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(trainer.device)
    return state


def load_trainer(trainer: Trainer, state: Mapping[str, Tensor]) -> None:
    """Resume from such a state: every later step gives the bits that it would have given there."""
    trainer.gan.load_state_dict(unprefixed("gan", state))
    trainer.ema.module.load_state_dict(unprefixed("ema", state))
    trainer.generator_optimizer.load_state_tensors(unprefixed("generator_optimizer", state))
    trainer.discriminator_optimizer.load_state_tensors(unprefixed("discriminator_optimizer", state))
    trainer.batches.load_state_dict(unprefixed("batches", state))
    trainer.sums = {name: total.to(trainer.device) for name, total in unprefixed("sums", state).items()}
    trainer.counts = Counter({name: int(count) for name, count in unprefixed("counts", state).items()})
    trainer.images_seen = int(state["images_seen"])
    if trainer.graphs:
        trainer.graphs = CUDAGraphs()  # recorded ones write to what was replaced
    torch.set_rng_state(state["random.cpu"])
    if trainer.device.type == "cuda":
        torch.cuda.set_rng_state(state["random.cuda"], trainer.device)
