"""Several processes that train one model, each with its share of every batch.

All of them hold the same weights and draw the same random numbers, those of the whole batch, and each takes its share.
So a step gives what one process would give, to the precision of floats, and one process can write the state of all.
With one process these functions change nothing.
"""

import atexit
import ctypes
import math
import os
import platform
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from stages.config.errors import LostProcessError, StageError
from stages.storage.files import one_line
from stages.training import shared_memory

LIKE = {"rand_like": torch.rand_like, "randn_like": torch.randn_like}
OF_SHAPE: dict[str, Callable[..., Tensor]] = {"rand": torch.rand, "randn": torch.randn, "randint": torch.randint}
SHARED: dict[str, Callable[..., Tensor]] = {**LIKE, **OF_SHAPE, "dropout": functional.dropout}
# others draw in place, or what has no rows: nobody could say whose share that is
UNSHARED = {
    *(torch.normal, torch.bernoulli, torch.multinomial, torch.poisson, torch.randint_like),
    *(Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_, Tensor.geometric_),
    *(functional.dropout1d, functional.dropout2d, functional.dropout3d, functional.alpha_dropout),
    *(functional.rrelu, functional.gumbel_softmax, functional.feature_alpha_dropout),
}
LOST = re.compile("closed|reset|broken pipe|refused|timed? ?out|exited", re.IGNORECASE)  # of a connection
WATCHED = 100  # losses, which RefuseUnshared watches
LAUNCHER = "REPROGAN_LAUNCHER"  # names the id of the process that started these (training/launch.py)
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
_memory: shared_memory.SharedMemory | None = None  # of processes of one machine


def world_size() -> int:
    """How many processes train together, once they have met."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this one writes, logs and saves, also before they have met."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1 or os.environ["RANK"] == "0"


def join(device: torch.device) -> None:
    """Meet the others where torchrun says, if it started this process; a second call does nothing."""
    global _memory
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        _end_with_launcher()
        atexit.register(leave)  # after a failure, too: threads that still run would end this process by a signal
        with _exchange():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            _memory = shared_memory.meet() if device.type == "cpu" else None


def _end_with_launcher() -> None:
    """Let Linux end this process where the one that started it is killed, and cannot end it itself.

    It would train on, beside the next start of the same training.
    """
    if (launcher := os.environ.get(LAUNCHER)) and platform.system() == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(launcher):  # killed before
            os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    """Let the others go."""
    global _memory
    _memory = None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of theirs; differentiable as often as needed."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _all_reduce(tensor.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed: Tensor = _Sum.apply(gradients[0])
        return summed


def _all_reduce(tensor: Tensor) -> Tensor:
    """The sum of a contiguous tensor over processes, in place."""
    if _memory:
        _memory.all_reduce(tensor)
    else:
        with _exchange():
            dist.all_reduce(tensor)
    return tensor


def _all_reduce_parts(parts: Sequence[Tensor]) -> Tensor:
    """The sum over processes of several rows of numbers, one after another (numbers,).

    The next exchange but one may overwrite it.
    """
    return _memory.all_reduce_parts(parts) if _memory else _all_reduce(torch.cat(list(parts)))


@contextmanager
def _exchange() -> Iterator[None]:
    """Raises LostProcessError if the connection to another process broke, StageError for what else fails."""
    try:
        yield
    except RuntimeError as error:  # gloo raises a plain one
        if LOST.search(str(error)):
            raise LostProcessError from None
        raise StageError(f"processes cannot reach each other: {one_line(error)}") from None


def share(batch: Tensor) -> Tensor:
    """The share of a whole batch (batch, …) that is this process's: as many rows as each other has."""
    return batch.chunk(world_size())[rank()] if world_size() > 1 else batch


def all_gather(part: Tensor) -> Tensor:
    """The whole batch (batch, …) of all processes' shares (batch / processes, …), differentiable."""
    if world_size() == 1:
        return part
    parts = [part if other == rank() else torch.zeros_like(part) for other in range(world_size())]
    gathered: Tensor = _Sum.apply(torch.cat(parts))
    return gathered


def own_rows(rows: int, together: int) -> slice:
    """Which of so many rows this process works on: equal parts, of `together` rows each, which stay together."""
    each = math.ceil(math.ceil(rows / together) / world_size()) * together
    return slice(min(rows, rank() * each), min(rows, (rank() + 1) * each))


def gather(part: np.ndarray) -> np.ndarray:
    """In the first process the parts of all, one after another; in the others their own."""
    if world_size() == 1:
        return part
    parts: list[Any] | None = [None] * world_size() if is_first() else None
    with _exchange():
        dist.gather_object(part, parts)
    return np.concatenate(parts) if parts else part


def of_whole_batch(function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
    """The share of a function of the whole batch, which draws the same random numbers in each process."""
    if world_size() == 1:
        return function(part)
    with SharedDraws.paused():
        return share(function(all_gather(part)))


def all_reduce_mean(tensor: Tensor) -> Tensor:
    """The mean over processes of a mean over each one's share; without gradients."""
    if world_size() == 1:
        return tensor
    return _all_reduce(tensor.detach().clone(memory_format=torch.contiguous_format)) / world_size()


def backward(loss: Tensor) -> None:
    """Compute this process's part of the gradients of all losses' mean; `all_reduce_gradients` adds the others'."""
    loss.backward(torch.full_like(loss, 1 / world_size()) if world_size() > 1 else None)


def all_reduce_gradients(weights: Sequence[nn.Parameter], scalars: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Give weights the sum of all processes' gradients, and return the means of scalars: all in one exchange.

    The next exchange but one may overwrite both.
    """
    if world_size() == 1:
        return scalars
    learning = [(weight, _without_gaps(weight, grad)) for weight in weights if (grad := weight.grad) is not None]
    parts = [gradient.as_strided((gradient.numel(),), (1,)) for _, gradient in learning]
    with torch.no_grad():
        parts.append(torch.stack(list(scalars.values())).to(parts[0]).div_(world_size()))
    summed, offset = _all_reduce_parts(parts), 0
    start = summed.storage_offset()
    for weight, gradient in learning:
        weight.grad = summed.as_strided(gradient.shape, gradient.stride(), start + offset)
        offset += gradient.numel()
    return dict(zip(scalars, summed[offset:].unbind(), strict=True))


def _without_gaps(weight: Tensor, gradient: Tensor) -> Tensor:
    """The gradient, its numbers next to each other in memory, in whatever order."""
    if gradient.is_contiguous():
        return gradient
    end = 1 + sum((size - 1) * stride for size, stride in zip(gradient.shape, gradient.stride(), strict=True))
    return gradient if gradient.numel() == end else torch.empty_like(weight).copy_(gradient)


def broadcast_weights(module: nn.Module) -> None:
    """Give all processes the first one's weights and buffers: another kind of processor draws other last bits."""
    if world_size() > 1:
        with _exchange():
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor.detach(), 0)


def require_same(about: Mapping[str, Any]) -> None:
    """Raise StageError in a process where something is not as in the first one: another machine has another clone."""
    first = broadcast_object(dict(about))
    if other := [name for name, value in about.items() if value != first[name]]:
        raise StageError(
            f"process {rank()} of {world_size()}: {', '.join(other)}: not as in process 0; expected the same commit, "
            "params.yaml and data on all machines"
        )


def broadcast_object(value: Any) -> Any:
    """What the first process says, in all of them."""
    said = [value]
    if world_size() > 1:
        with _exchange():
            dist.broadcast_object_list(said, 0)
    return said[0]


class SharedDraws:
    """Within it, random numbers for this process's share of a batch are its share of those for the whole batch.

    A tensor of k times `rows` rows has k shares, one after another, such as real images and fakes; one of
    `rows / packed` rows, a number for each pack of images, has one. Raises StageError for random functions that
    cannot be shared. Torch's own are replaced meanwhile: a TorchFunctionMode, which sees every function called, takes
    a twentieth of a step. One watches the first losses alone.
    """

    losses = 0  # of this process so far
    is_paused = False

    def __init__(self, rows: int, packed: int) -> None:
        self.rows, self.packed = rows, packed  # of a share, and how many of them a discriminator sees as one
        self.replaced: dict[str, Callable[..., Tensor]] = {
            **{name: partial(self._like, function) for name, function in LIKE.items()},
            **{name: partial(self._of_shape, function) for name, function in OF_SHAPE.items()},
            "dropout": self._dropout,
        }

    def __enter__(self) -> None:
        SharedDraws.losses += 1
        self.watch = RefuseUnshared() if SharedDraws.losses <= WATCHED else nullcontext()
        self.watch.__enter__()
        self._replace(self.replaced)

    def __exit__(self, *error: Any) -> None:
        self._replace(SHARED)
        self.watch.__exit__(*error)

    def _replace(self, functions: Mapping[str, Callable[..., Tensor]]) -> None:
        for name, function in functions.items():
            setattr(functional if name == "dropout" else torch, name, function)

    @classmethod
    @contextmanager
    def paused(cls) -> Iterator[None]:
        """Within it, random numbers are those of the whole batch."""
        cls.is_paused = True
        try:
            with torch._C.DisableTorchFunction():
                yield
        finally:
            cls.is_paused = False

    def _like(self, function: Callable[..., Tensor], like: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.is_paused:
            return function(like, *args, **kwargs)
        with torch._C.DisableTorchFunction():
            return self._share(function(_repeat(like), *args, **kwargs))

    def _of_shape(self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if self.is_paused:
            return function(*args, **kwargs)
        if "size" in kwargs:
            others, shape = args, kwargs.pop("size")
        elif function is OF_SHAPE["randint"] or not isinstance(args[0], int):
            *others, shape = args  # type: ignore[assignment]
        else:  # the sizes one by one
            others, shape = (), args
        with torch._C.DisableTorchFunction():
            return self._share(function(*others, size=(shape[0] * world_size(), *shape[1:]), **kwargs))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: A002
        if self.is_paused:
            return SHARED["dropout"](input, p, training, inplace)
        with torch._C.DisableTorchFunction():
            return input * self._share(SHARED["dropout"](_repeat(torch.ones_like(input)), p, training))

    def _share(self, drawn: Tensor) -> Tensor:
        """The share of this process of each of k whole batches, one after another (k * processes * rows, …)."""
        packs = self.rows // self.packed
        own = packs if len(drawn) == packs * world_size() else self.rows
        if len(drawn) % (own * world_size()):
            rows, wanted = len(drawn) // world_size(), self.rows
            raise StageError(f"random numbers for {rows} rows were asked for; a process has {wanted} of each batch")
        return drawn.unflatten(0, (-1, world_size(), own))[:, rank()].flatten(0, 1)


class RefuseUnshared(TorchFunctionMode):
    """Raises StageError where a random function is called that several processes do not share."""

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in UNSHARED or func in SHARED.values():
            shared = ", ".join(sorted(f"torch.{name}" for name in (*LIKE, *OF_SHAPE)))
            raise StageError(
                f"{func.__name__}: several processes cannot share what it draws; expected {shared}, by these names, or "
                "functional.dropout"
            )
        return func(*args, **(kwargs or {}))


def shared_draws(rows: int, packed: int = 1) -> AbstractContextManager[Any]:
    """`SharedDraws` of several processes; nothing, which takes no time, of one."""
    return SharedDraws(rows, packed) if world_size() > 1 else nullcontext()


def _repeat(part: Tensor) -> Tensor:
    return torch.cat([part] * world_size())
