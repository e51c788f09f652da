"""Two processes train as one does: the same whole batches, draws, statistics and steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from stages.config.errors import LostProcessError, StageError
from stages.training import processes
from tests.builders import PARAMS
from tests.conftest import ROOT, run

TORCHRUN = ("python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
ALL = [*PARAMS.variants, "pacgan+wgan_gp", "pacgan+dragan"]  # and numbers that are drawn for packs
# fully connected, convolutions without batch norm, and with it; the precision of every training
CASES = {f"float64:2:{','.join(ALL)}": 1e-7, "float64:50:mlp,r3gan,dcgan": 1e-7, "float32:10:mlp": 1e-4}
FOUR = "float64:2:dcgan,dragan,progan,began"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What one process comes to, and each of two."""
    folder = tmp_path_factory.mktemp("together")
    arguments = ("-m", "tests.training.together", str(folder), *CASES)
    run("python", *arguments, cwd=ROOT)
    run(*TORCHRUN, *arguments, cwd=ROOT)
    four = [*TORCHRUN[:-1], "--nproc-per-node=4", *arguments[:3], FOUR]
    run(*four, cwd=ROOT, SEVERAL_MACHINES="")
    return [torch.load(folder / f"{name}.pt") for name in ("1-0", "2-0", "2-1", "4-0", "4-3")]


def difference(one: dict[str, Tensor], other: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """How far apart two trainings are of all learned numbers, as a share of the way from the start."""
    learned = [key for key, value in one.items() if value.is_floating_point() and value.numel() > 1]
    apart, way = (
        sum(float((one[key].double() - states[key].double()).square().sum()) for key in learned if key in states)
        for states in (other, start)
    )
    return float((apart / way) ** 0.5)


@pytest.mark.parametrize(("case", "tolerance"), CASES.items(), ids=["all", "long", "float32"])
def test_two_processes_come_to_what_one_does(trained: list[Any], case: str, tolerance: float) -> None:
    one, first, second = (results[case] for results in trained[:3])
    assert set(one) == set(case.split(":")[2].split(","))
    for name in one:
        for key, value in first[name]["end"].items():
            assert torch.equal(value, second[name]["end"][key]), (name, key)  # which one writes does not matter
        assert difference(one[name]["end"], first[name]["end"], one[name]["start"]) < tolerance, name
        assert first[name]["scalars"] == pytest.approx(one[name]["scalars"], rel=1e-4, abs=1e-4), name
        assert torch.equal(one[name]["end"]["random.cpu"], first[name]["end"]["random.cpu"]), name


def test_so_do_four_that_share_no_memory(trained: list[Any]) -> None:
    (one, *_), (first, last) = trained[:3], (results[FOUR] for results in trained[3:])
    of_one = one[next(iter(CASES))]
    assert len(first) == 4
    for name, results in first.items():
        for key, value in results["end"].items():
            assert torch.equal(value, last[name]["end"][key]), (name, key)
        assert difference(of_one[name]["end"], results["end"], of_one[name]["start"]) < 1e-7, name


@pytest.fixture
def second_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be that process, without the others."""
    monkeypatch.setattr(processes, "world_size", lambda: 3)
    monkeypatch.setattr(processes, "rank", lambda: 1)


@pytest.mark.usefixtures("second_of_three")
@pytest.mark.parametrize(
    "draw",
    [
        lambda rows: torch.randn(rows, 5),
        lambda rows: torch.rand((rows, 5)),
        lambda rows: torch.randint(7, (rows, 5)),
        lambda rows: torch.randint(1, 7, (rows,)),
        lambda rows: torch.rand(size=(rows, 5)),
        lambda rows: torch.randint(1, 7, size=(rows,)),
        lambda rows: torch.randint(low=1, high=7, size=(rows,)),
        lambda rows: torch.randn_like(torch.ones(rows, 5)),
        lambda rows: torch.rand_like(torch.ones(rows, 3, 4, 4).contiguous(memory_format=torch.channels_last)),
        lambda rows: functional.dropout(torch.ones(rows, 5), 0.4),
        lambda rows: nn.Dropout(0.4)(torch.ones(rows, 5)),
    ],
)
def test_draws_are_the_share_of_those_of_the_whole_batch(draw: Any) -> None:
    torch.manual_seed(0)
    whole_real, whole_fake = draw(2 * 3 * 4).chunk(2)
    torch.manual_seed(0)
    with processes.shared_draws(4):
        real, fake = draw(2 * 4).chunk(2)
    assert torch.equal(real, whole_real[4:8])
    assert torch.equal(fake, whole_fake[4:8])


@pytest.mark.usefixtures("second_of_three")
def test_numbers_for_packs_are_the_share_too() -> None:
    torch.manual_seed(0)
    whole = torch.rand(2 * 3, 5)
    torch.manual_seed(0)
    with processes.shared_draws(4, packed=2):
        part = torch.rand(2, 5)
    assert torch.equal(part, whole[2:4])


@pytest.mark.usefixtures("second_of_three")
def test_draws_that_cannot_be_shared_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.SharedDraws, "losses", 0)  # the first are watched
    by_another_name = torch.randn
    for draw, line in (
        (lambda: torch.bernoulli(torch.ones(4)), "^bernoulli: several processes cannot share what it draws; expected"),
        (lambda: torch.ones(4).normal_(), "^normal_: several processes cannot share"),
        (lambda: by_another_name(4, 4), r"^randn: .*, torch\.randn, .*, by these names"),
        (lambda: torch.rand(5, 4), "^random numbers for 5 rows were asked for; a process has 4"),
    ):
        with processes.shared_draws(4), pytest.raises(StageError, match=line):
            draw()


def test_an_error_that_is_no_lost_connection_keeps_its_own_line() -> None:
    line = "^processes cannot reach each other: Unable to find address$"
    with pytest.raises(StageError, match=line), processes._exchange():
        raise RuntimeError("Unable to find\n  address")
    for lost in (
        RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
        RuntimeError("[gloo/transport/tcp/pair.cc:548] Read error: Connection reset by peer"),
        dist.DistBackendError("NCCL error: remote process exited or there was a network error"),
        dist.DistNetworkError("The client socket has timed out after 60000ms"),
    ):
        with pytest.raises(LostProcessError), processes._exchange():
            raise lost


@pytest.mark.usefixtures("second_of_three")
def test_draws_of_the_whole_batch_are_not_shared_and_torch_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "all_gather", lambda part: torch.cat([part] * 3))
    before = torch.randn, torch.rand_like, functional.dropout
    torch.manual_seed(0)
    expected = torch.randn(12, 5) + torch.rand_like(torch.ones(12, 5))
    torch.manual_seed(0)
    with processes.shared_draws(4):
        found = processes.of_whole_batch(lambda whole: torch.randn(12, 5) + torch.rand_like(whole), torch.ones(4, 5))
    assert torch.equal(found, expected[4:8])
    with pytest.raises(ZeroDivisionError), processes.shared_draws(4):
        raise ZeroDivisionError
    assert (torch.randn, torch.rand_like, functional.dropout) == before
