"""What this machine has: memory, cores, disk, kernels, and the other programs that can be used."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    found: str


def processors() -> int:
    """Return how many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def examine() -> list[Check]:
    """Look at everything; nothing is changed."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    free = shutil.disk_usage(".").free / 2**30
    cores = processors()
    checks = [
        Check("cryoloom", True, f"{version('cryoloom')} on Python {platform.python_version()}"),
        Check("cores", cores >= 2, f"{cores}"),
        Check("memory", memory >= 8, f"{memory:.0f} GiB (8 or more is comfortable)"),
        Check("disk", free >= 20, f"{free:.0f} GiB free here"),
        _numbers(),
    ]
    return [
        *checks,
        *(_program(name, what) for name, what in (("relion_refine", "RELION"), ("ctffind", "CTFFIND"), ("ChimeraX", "ChimeraX"))),
    ]


def _numbers() -> Check:
    try:
        import numba
        import torch
    except ImportError as error:
        return Check("numbers", False, f"{error}. Install again: pip install cryoloom")
    device = f"CUDA: {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else "no CUDA device; everything runs on the CPU"
    return Check("numbers", True, f"torch {torch.__version__}, numba {numba.__version__}; {device}")


def _program(command: str, name: str) -> Check:
    path = shutil.which(command)
    return Check(name, True, path or "not on PATH (not needed)")
