"""Progress: a bar on a terminal, a line now and then elsewhere."""

import io
import sys
import time

import pytest

from stages.tracking.progress import Progress


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_rate_losses_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Progress("dcgan", 100)
    bar.update(50, {"generator_loss": 0.123456, "penalty": 5.0})
    bar.bar.refresh()
    bar.close()
    shown = terminal.getvalue()
    assert "dcgan" in shown
    assert "50%" in shown
    assert "img/s" in shown
    assert "generator loss=0.123" in shown
    assert "penalty" not in shown


def test_what_was_seen_before_counts_in_no_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Progress("dcgan", 1000, before=800)
    clock[0] = 400
    bar.update(900, {})
    assert capsys.readouterr().out == "train: dcgan: 900 of 1,000 images, 0/s, 400 s left\n"


def test_elsewhere_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Progress("dcgan", 1000)
    for second in (*range(10, 1000, 10), 1024):
        clock[0] = min(float(second), 1000)
        bar.update(second, {"discriminator_loss": 1.0, "generator_loss": 0.25, "penalty": 5.0})
    bar.close()
    assert capsys.readouterr().out.splitlines() == [
        "train: dcgan: 300 of 1,000 images, 1/s, 700 s left, discriminator loss 1, generator loss 0.25",
        "train: dcgan: 600 of 1,000 images, 1/s, 400 s left, discriminator loss 1, generator loss 0.25",
        "train: dcgan: 900 of 1,000 images, 1/s, 100 s left, discriminator loss 1, generator loss 0.25",
        "train: dcgan: 1,000 of 1,000 images, 1/s, discriminator loss 1, generator loss 0.25",
    ]
