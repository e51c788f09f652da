"""A data set on the device, handed out in shuffled batches."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stages.storage.pixels import to_float
from stages.training import processes


class Batches:
    """Endless shuffled batches of a data set that sits on the device whole, as uint8.

    An epoch visits every image once, in an order drawn from torch's random numbers; what is left over at
    its end and would not fill a batch is left out of that epoch.
    """

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int) -> None:
        self.images = images  # uint8, count first
        self.labels = labels  # (count,), int64
        self.batch_size = min(batch_size, len(images))
        self.order = torch.empty(0, dtype=torch.int64)
        self.cursor = 0

    @property
    def device(self) -> torch.device:
        """Where the images are, and batches come."""
        return self.images.device

    def next(self) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] and labels: of several processes this one's share."""
        if self.cursor + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.images), device=self.images.device)
            self.cursor = 0
        chosen = processes.share(self.order[self.cursor : self.cursor + self.batch_size])
        self.cursor += self.batch_size
        return to_float(self.images[chosen]), self.labels[chosen]

    def state_dict(self) -> dict[str, Tensor]:
        """Where in which order the next batch begins."""
        return {"order": self.order, "cursor": torch.tensor(self.cursor)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self.order = state["order"].to(self.device)
        self.cursor = int(state["cursor"])
