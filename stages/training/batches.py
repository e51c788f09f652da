"""A data set on the device, handed out in shuffled batches."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stages.storage.pixels import to_float
from stages.training import processes

LARGEST_SHARE = 0.5  # of a GPU's free memory that a data set may take


def place(images: Tensor, device: torch.device) -> Tensor:
    """Images where their batches are gathered: on the device, or where they would fill a GPU, where they are."""
    if device.type == "cuda" and images.nbytes > LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)


class Batches:
    """Endless shuffled batches of a data set, as uint8: on the labels' device or not.

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
        """The device of the batches."""
        return self.labels.device

    def next(self) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] and labels; with several processes, this one's share."""
        if self.cursor + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.images), device=self.device)
            self.cursor = 0
        chosen = processes.share(self.order[self.cursor : self.cursor + self.batch_size])
        self.cursor += self.batch_size
        images = self.images.index_select(0, chosen.to(self.images.device))  # six times as fast as with brackets
        return to_float(images.to(self.device)), self.labels[chosen]

    def state_dict(self) -> dict[str, Tensor]:
        """The order of the images, and where the next batch begins in it."""
        return {"order": self.order, "cursor": torch.tensor(self.cursor)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from there."""
        self.order = state["order"].to(self.device)
        self.cursor = int(state["cursor"])
