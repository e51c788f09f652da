"""The page's script: bundled once, as that takes over a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import vl_convert

from stages.reporting import html_page
from stages.reporting.html_page import vega_script


def test_the_script_is_bundled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled, bundle = list[str](), vl_convert.javascript_bundle

    def watched(code: str) -> str:
        bundled.append(code)
        return bundle(code)

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(vl_convert, "javascript_bundle", watched)
    first = vega_script()
    assert len(first) > 500_000
    assert first == bundle(*bundled)  # as it goes into the page, to the byte
    assert vega_script() == first
    assert len(bundled) == 1
    monkeypatch.setattr(html_page, "version", lambda package: "another")
    vega_script()
    assert len(bundled) == 2
