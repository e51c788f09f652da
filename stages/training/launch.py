"""Start the processes of one training on this machine, as torchrun does, and end them all where one ends."""

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Mapping
from typing import NoReturn

from stages.config.errors import TOLD, LostProcessError, StageError
from stages.training.processes import LAUNCHER

HERE = "127.0.0.1"
INTERRUPTED = 128  # plus a signal's number: the exit code that shells give


def is_launched() -> bool:
    """Whether torchrun, or `launch`, started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(count: int, module: str, *arguments: str) -> None:
    """Run a module in so many processes until all have ended.

    Raises StageError if one was killed, or if all lost contact. If one has printed why it failed, this process ends
    with its exit code.
    """
    # imported here, as they take a second
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # pages about what one line says
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        max_restarts=0,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{HERE}:0",
        local_addr=HERE,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {TOLD: folder, LAUNCHER: str(os.getpid())}
            elastic_launch(config, sys.executable)("-m", module, *arguments)
    except SignalException as error:
        sys.exit(INTERRUPTED + error.sigval)
    except ChildFailedError as error:
        end({number: failure.exitcode for number, failure in error.failures.items()}, count)
    finally:
        for name in (TOLD, LAUNCHER):
            os.environ.pop(name, None)


def end(codes: Mapping[int, int], count: int) -> NoReturn:
    """Exit with the code of a process that has printed why it failed, or raise StageError; -9: ended by signal 9.

    As soon as one has ended, torch ends the others by SIGTERM, before or after they notice.
    """
    told = [code for code in codes.values() if code > 0 and code != LostProcessError.exit_code]
    if told:
        sys.exit(told[0])
    killed = {number: -code for number, code in codes.items() if code < 0}
    first = min(killed, key=lambda number: killed[number] == signal.SIGTERM, default=None)
    if first is None or (killed[first] == signal.SIGTERM and LostProcessError.exit_code in codes.values()):
        raise StageError(f"the {count} processes lost contact with each other; run again") from None
    raise StageError(f"process {first} of {count} was ended by signal {killed[first]}; run again") from None
