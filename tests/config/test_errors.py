"""How long lists are cut in an error."""

from __future__ import annotations

import pytest

from stages.config.errors import StageError, errors_as_lines, first_ten


@pytest.mark.parametrize(("count", "last"), [(0, []), (10, ["9"]), (11, ["and 1 more"]), (25, ["and 15 more"])])
def test_of_more_than_ten_items_the_first_ten_are_listed(count: int, last: list[str]) -> None:
    listed = first_ten(range(count))
    assert listed[:10] == [str(item) for item in range(min(count, 10))]
    assert listed[-1:] == last
    assert len(listed) == min(count, 11)


@pytest.mark.parametrize(("rank", "told"), [(None, "error: a\nerror: b\n"), ("0", "error: a\nerror: b\n"), ("1", "")])
def test_of_the_processes_of_a_machine_one_tells_what_all_meet(
    rank: str | None, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if rank is None:
        monkeypatch.delenv("LOCAL_RANK", raising=False)
    else:
        monkeypatch.setenv("LOCAL_RANK", rank)
    with pytest.raises(SystemExit) as ended, errors_as_lines():
        raise StageError("a\nb")
    assert ended.value.code == 1
    assert capsys.readouterr().err == told
