"""What a step launches on a GPU, recorded once and launched again as one CUDA graph.

Networks of this size keep a GPU busy for less time than Python needs to launch their kernels one by one. A replay
launches the same kernels, with the same arguments and the next random numbers: it gives the same bits.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Work = Callable[[Sequence[Tensor]], Counter[str]]


class Recording(NamedTuple):
    """A graph, the tensors it reads, and what the recorded call returned."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    result: Counter[str]


class CUDAGraphs:
    """One graph for each kind of call; calls of a kind launch the same kernels with the same numbers.

    A kind's first call runs as usual: it makes what is made on first use, such as an optimizer's state. The
    second is recorded, which runs nothing, and replayed as all later ones are.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # the default one cannot be recorded
        self._pool = torch.cuda.graph_pool_handle()  # of memory: no two graphs run at once
        self._seen: set[Hashable] = set()
        self.recordings: dict[Hashable, Recording] = {}

    def run(self, kind: Hashable, work: Work, inputs: Sequence[Tensor]) -> Counter[str]:
        """`work` of inputs, whose shapes never change; its result must not depend on them but through tensors.

        Calls of kind None run as usual.
        """
        default = torch.cuda.current_stream()
        self._stream.wait_stream(default)
        with torch.cuda.stream(self._stream):
            result = self._replay(kind, work, inputs) if kind in self._seen else work(inputs)
            if kind is not None:
                self._seen.add(kind)
        default.wait_stream(self._stream)
        return result

    def _replay(self, kind: Hashable, work: Work, inputs: Sequence[Tensor]) -> Counter[str]:
        if kind not in self.recordings:
            self.recordings[kind] = self._record(work, inputs)
        recording = self.recordings[kind]
        torch._foreach_copy_(recording.inputs, list(inputs))
        recording.graph.replay()
        return recording.result

    def _record(self, work: Work, inputs: Sequence[Tensor]) -> Recording:
        graph, own = torch.cuda.CUDAGraph(), [each.clone() for each in inputs]
        # thread_local: other threads may call CUDA meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = work(own)
        return Recording(graph, own, result)
