"""Rows: each has the random numbers of its own seed, in any batch."""

from __future__ import annotations

import pytest
import torch

from stages.contracts.rows import BATCH, SeededRows, in_batches


def test_a_row_draws_what_torch_draws_after_its_seed() -> None:
    seeds, state = [5, 0, 2**63 - 1, 5], torch.get_rng_state()
    with SeededRows(seeds):
        drawn = [torch.randn(4, 20), torch.rand(4, 3), torch.randn(4, 1, 2, 2, dtype=torch.float64)]
        others = torch.ones(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert others.tolist() == [1, 1, 1]
    with torch.random.fork_rng(devices=[]):
        for row, seed in enumerate(seeds):
            torch.manual_seed(seed)
            alone = [torch.randn(1, 20), torch.rand(1, 3), torch.randn(1, 1, 2, 2, dtype=torch.float64)]
            assert all(torch.equal(made[row : row + 1], one) for made, one in zip(drawn, alone, strict=True))


def test_rows_without_a_seed_are_refused() -> None:
    with SeededRows([1, 2]), pytest.raises(ValueError, match="for 3 rows were asked for; there are 2 seeds"):
        torch.randn(3, 4)


@pytest.mark.parametrize("rows", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_every_batch_has_the_same_size(rows: int) -> None:
    sizes = []

    def draw(batch: list[int]) -> torch.Tensor:
        sizes.append(len(batch))
        return torch.tensor(batch)

    assert in_batches(draw, rows).tolist() == list(range(rows))
    assert sizes == [BATCH] * (-(-rows // BATCH))
