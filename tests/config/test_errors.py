"""How long lists are cut in an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.config.errors import TOLD, StageError, errors_as_lines, first_ten


@pytest.mark.parametrize(("count", "last"), [(0, []), (10, ["9"]), (11, ["and 1 more"]), (25, ["and 15 more"])])
def test_of_more_than_ten_items_the_first_ten_are_listed(count: int, last: list[str]) -> None:
    listed = first_ten(range(count))
    assert listed[:10] == [str(item) for item in range(min(count, 10))]
    assert listed[-1:] == last
    assert len(listed) == min(count, 11)


def test_of_processes_that_share_a_folder_the_first_tells_what_all_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell() -> str:
        with pytest.raises(SystemExit) as ended, errors_as_lines():
            raise StageError("a\nb")
        assert ended.value.code == 1
        return capsys.readouterr().err

    monkeypatch.delenv(TOLD, raising=False)
    assert [tell(), tell()] == ["error: a\nerror: b\n"] * 2
    monkeypatch.setenv(TOLD, str(tmp_path))
    assert [tell(), tell()] == ["error: a\nerror: b\n", ""]
