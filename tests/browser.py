"""A headless browser for tests of pages: what a page shows, and what it says on its console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROME, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")


@contextmanager
def open_browser(width: int = 1200, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """A selenium Chrome driver whose pages are `width` × `height` CSS pixels, in light or dark mode.

    `console(driver)` gives what its pages printed. Fails the test where Chromium is not installed.
    """
    if missing := [str(path) for path in (CHROME, DRIVER) if not path.exists()]:
        pytest.fail(f"{' and '.join(missing)} missing: apt-get install chromium chromium-driver", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROME)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver: Any = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        set_size(driver, width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser() -> Iterator[Any]:
    """A Chrome driver of 1200 × 900, in light mode; `set_size` changes its size."""
    with open_browser() as driver:
        yield driver


def set_size(driver: Any, width: int, height: int) -> None:
    """Make pages `width` × `height` CSS pixels, as small as a phone's: windows have a least width, these do not."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def console(driver: Any, level: str = "") -> list[str]:
    """What pages printed on the console since the last call; of one level (SEVERE: errors) where one is given."""
    return [entry["message"] for entry in driver.get_log("browser") if not level or entry["level"] == level]
