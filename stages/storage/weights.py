"""Weights as safetensors: nothing is ever unpickled."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from stages.config.errors import StageError
from stages.storage.files import one_line, unreadable


def weights_to_bytes(module: nn.Module) -> bytes:
    """All parameters and buffers of a module, as the bytes of a safetensors file."""
    return save({name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises StageError where it is missing or broken."""
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from None


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under names that begin with a prefix and a dot."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse: those of that prefix, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def read_weights(
    module: nn.Module, path: Path, device: torch.device, memory_format: torch.memory_format = torch.channels_last
) -> None:
    """Load a file into a module, and put it on the device to be evaluated; raises StageError where they do not fit."""
    try:
        module.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise StageError(f"{path}: does not fit its config.json: {one_line(error)}") from None
    module.to(device).to(memory_format=memory_format).eval()
