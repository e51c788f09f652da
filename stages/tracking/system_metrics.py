"""CPU, memory and GPU use while a stage runs, once per second.

MLflow's own monitor watches the process that it runs in. That is the exporter, and not the stage.
"""

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping

SECONDS = 1.0  # between two looks
QUERY = ("nvidia-smi", "--query-gpu=index,utilization.gpu,memory.used", "--format=csv,noheader,nounits")
MEGABYTE = 1e6


class SystemMetrics(threading.Thread):
    """Records numbers by the seconds since its start, from a thread of its own, until `close`."""

    def __init__(self, record: Callable[[int, Mapping[str, float]], None]) -> None:
        super().__init__(daemon=True, name="system metrics")
        self.record = record
        self.ended = threading.Event()

    def run(self) -> None:
        """Look until the end."""
        began = time.monotonic()
        for numbers in self._looks():
            if not self.ended.is_set():  # nothing follows the end of a log
                self.record(round(time.monotonic() - began), numbers)

    def _looks(self) -> Iterator[dict[str, float]]:
        with contextlib.suppress(Exception):  # a machine without /proc, for example, still trains
            look = Look()
            while not self.ended.wait(SECONDS):
                yield look()

    def close(self) -> None:
        """Look no more; a look that hangs is not waited for."""
        self.ended.set()
        self.join(SECONDS)


class Look:
    """One look at the machine, with MLflow's names for system metrics."""

    def __init__(self) -> None:
        import psutil  # type: ignore[import-untyped]  # imported here, so that no stage waits for it

        self.psutil, self.stage = psutil, psutil.Process()
        self.psutil.cpu_percent()  # the first call only starts its clock
        self.has_gpus = shutil.which(QUERY[0]) is not None

    def __call__(self) -> dict[str, float]:
        """Numbers by name."""
        memory = self.psutil.virtual_memory()
        return {
            "cpu_utilization_percentage": self.psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
            "stage_memory_usage_megabytes": self.stage.memory_info().rss / MEGABYTE,
            **(self.read_gpus() if self.has_gpus else {}),
        }

    def read_gpus(self) -> dict[str, float]:
        """What nvidia-smi reports; a number that a GPU does not report is left out."""
        done = subprocess.run(QUERY, capture_output=True, text=True, check=False, timeout=10)
        numbers = {}
        for line in done.stdout.splitlines():
            index, *found = (part.strip() for part in line.split(","))
            for name, text in zip(("utilization_percentage", "memory_usage_megabytes"), found, strict=False):
                if text.replace(".", "", 1).isdigit():
                    numbers[f"gpu_{index}_{name}"] = float(text)
        return numbers
