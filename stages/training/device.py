"""The device that a stage computes on, set up so that a second run gives the same bits."""

import ctypes
import itertools
import os
import platform
from functools import cache
from pathlib import Path

import torch

from stages.config.errors import ParameterError
from stages.config.params import Params

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST_IN_HEAP = 32 * 2**20  # bytes; glibc allows no more
CHOOSE_INSTRUCTIONS = (  # variables that select other instructions, and so change last bits
    *("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_DEFAULT_FPMATH_MODE"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"),
    *("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NVIDIA_TF32_OVERRIDE"),
)


def prepare(params: Params, seed: int) -> torch.device:
    """Choose the device, fix thread count and algorithms, seed torch.

    Raises ParameterError where `device: cuda` is asked for and there is no such device, or where this machine has fewer
    than processes.
    """
    if params.device == "cuda" and not torch.cuda.is_available():
        raise ParameterError("params.yaml: device: 'cuda' is not allowed: no CUDA device is found here")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with it
    torch.set_num_threads(params.threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, without its slow import
    # filling fresh memory costs time, and guards only broken code
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32
    torch.manual_seed(seed)
    keep_freed_memory()
    if params.device == "cpu" or not torch.cuda.is_available():
        spread_threads(params.threads)
        return torch.device("cpu")
    if (here := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) > 1:  # each has its own
        if here > (found := torch.cuda.device_count()):
            raise ParameterError(
                f"params.yaml: training.processes or sample.processes: {here} is not allowed: GPUs found here: {found}"
            )
        rank = int(os.environ["LOCAL_RANK"])
        torch.cuda.set_device(rank)
        return torch.device("cuda", rank)
    return torch.device("cuda")


@cache  # a second call would see the first thread's core alone
def spread_threads(count: int) -> None:
    """Give each of torch's threads a core, if it takes all cores that this process may use (on Linux).

    When another program runs, the kernel leaves two threads on one core, where each waits for the other in every layer.
    """
    if not hasattr(os, "sched_setaffinity") or not 1 < len(os.sched_getaffinity(0)) <= count:
        return
    cores = itertools.cycle(sorted(os.sched_getaffinity(0)))
    tasks = Path("/proc/self/task")
    here = set(tasks.iterdir())
    torch.zeros(2**20).sum()  # threads start with the first computation that is large enough for them
    os.sched_setaffinity(0, {next(cores)})
    for thread in set(tasks.iterdir()) - here:
        os.sched_setaffinity(int(thread.name), {next(cores)})


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed for the next tensor; elsewhere nothing happens.

    By default it gives large tensors back to the kernel, and the next step faults their pages in anew.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def environment(device: torch.device) -> dict[str, str]:
    """What the last bits of a result depend on besides parameters, data and code: versions, machine, variables."""
    about = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    about |= {name: os.environ[name] for name in CHOOSE_INSTRUCTIONS if name in os.environ}
    if device.type == "cuda":
        about |= {"card": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
    return about
