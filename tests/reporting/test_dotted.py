"""Dotted names."""

from stages.reporting.dotted import flatten


def test_keys_of_all_levels_are_joined_by_dots() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [2, {"e": 3}]}, "f": None, "g": {}}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [2, {"e": 3}], "f": None}
