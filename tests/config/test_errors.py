"""How long lists are cut in an error."""

from __future__ import annotations

import pytest

from stages.config.errors import first_ten


@pytest.mark.parametrize(("count", "last"), [(0, []), (10, ["9"]), (11, ["and 1 more"]), (25, ["and 15 more"])])
def test_of_more_than_ten_items_the_first_ten_are_listed(count: int, last: list[str]) -> None:
    listed = first_ten(range(count))
    assert listed[:10] == [str(item) for item in range(min(count, 10))]
    assert listed[-1:] == last
    assert len(listed) == min(count, 11)
