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
    bar.update(50, {"generator_loss": 0.123456})
    bar.bar.refresh()
    bar.close()
    shown = terminal.getvalue()
    assert "dcgan" in shown
    assert "50%" in shown
    assert "img/s" in shown
    assert "generator_loss=0.123" in shown


def test_what_was_seen_before_counts_in_no_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Progress("dcgan", 1000, before=800)
    clock[0] = 40
    bar.update(900, {})
    assert capsys.readouterr().out == "dcgan: 900/1000 images, 2/s, 40 s left, \n"


def test_elsewhere_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Progress("dcgan", 1000)
    for second in range(1, 101):
        clock[0] = float(second)
        bar.update(second * 10, {"loss": 1.0})
    bar.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["300/1000", "600/1000", "900/1000", "1000/1000"]
    assert lines[0] == "dcgan: 300/1000 images, 10/s, 70 s left, loss=1"
