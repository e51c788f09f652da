"""The device that a stage computes on, set up so that a second run gives the same bits."""

import ctypes
import os
import platform

import torch

from stages.config.errors import ParameterError
from stages.config.params import Params

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST_IN_HEAP = 32 * 2**20  # bytes; glibc allows no more
CHOOSE_INSTRUCTIONS = (  # variables that make libraries compute with others than the processor's best: other last bits
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
    use_cuda = params.device == "cuda" or (params.device == "auto" and torch.cuda.is_available())
    if use_cuda and (here := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) > 1:  # each has its own
        if here > (found := torch.cuda.device_count()):
            raise ParameterError(f"params.yaml: processes: {here} is not allowed: GPUs found here: {found}")
        rank = int(os.environ["LOCAL_RANK"])
        torch.cuda.set_device(rank)
        return torch.device("cuda", rank)
    return torch.device("cuda" if use_cuda else "cpu")


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
