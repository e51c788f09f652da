"""A progress bar on a terminal; elsewhere a line at the end, and every five minutes."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 300
SHOWN = ("discriminator_loss", "generator_loss")


class Progress:
    """Counts training images, starting from those seen before: rate, time left and the latest losses."""

    def __init__(self, name: str, total: int, before: int = 0) -> None:
        self.name, self.total, self.before = name, total, before
        self.started = self.last_line = time.monotonic()
        shape: dict[str, Any] = {"unit": "img", "unit_scale": True, "dynamic_ncols": True}
        self.bar = tqdm(total=total, initial=before, desc=name, disable=not sys.stderr.isatty(), **shape)

    def update(self, seen: int, scalars: Mapping[str, float]) -> None:
        """Show that `seen` images are done, and these numbers. The last batch may reach beyond the total."""
        seen = min(seen, self.total)
        numbers = {key.replace("_", " "): f"{scalars[key]:.3g}" for key in SHOWN if key in scalars}
        if not self.bar.disable:
            self.bar.set_postfix(numbers, refresh=False)
            self.bar.update(seen - self.bar.n)
            return
        now = time.monotonic()
        if now - self.last_line < SECONDS_BETWEEN_LINES and seen < self.total:
            return
        self.last_line = now
        rate = (seen - self.before) / max(now - self.started, 1e-9)
        left = [f"{(self.total - seen) / rate:,.0f} s left"] if seen < self.total else []
        facts = [f"{seen:,} of {self.total:,} images", f"{rate:,.0f}/s", *left]
        facts += [f"{key} {number}" for key, number in numbers.items()]
        print(f"train: {self.name}: {', '.join(facts)}", flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()
