"""What a run was computed with: Python, packages, processor, graphics driver. Kept once a project under the hash of its text.

Of the environment's variables only those that set numbers of threads are taken, so nothing secret can get in.
"""

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from blake3 import blake3

from cryoloom import files

WORKERS = "CRYOLOOM_THREADS"
"""How many items are computed at a time: stands in the claim, and no result depends on it."""
VECTOR = ("sse4", "avx", "fma", "amx")
"""Beginnings of the instructions that decide which kernels numerical libraries choose, and so the last bits."""


def record_environment(root: Path) -> str:
    """Write ``env/<hash>.json`` unless it is there, and return the hash."""
    record = {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor("model name") or platform.processor(),
        "instructions": [name for name in _processor("flags").split() if name.startswith(VECTOR)],
        "graphics_driver": _graphics_driver(),
        "threads": {name: os.environ[name] for name in sorted(os.environ) if name.endswith("_THREADS") and name != WORKERS},
        "packages": dict(sorted({(each.name or "?").lower(): each.version for each in distributions()}.items())),
    }
    name = blake3(files.canonical(record)).hexdigest()
    path = root / "env" / f"{name}.json"
    if not path.exists():
        files.write_json(path, record)
    return name


def environment_of(root: Path, name: str) -> dict[str, Any] | None:
    """Return the record of a hash, None when it is not there."""
    return files.read_json(root / "env" / f"{name}.json")


def apart(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Return in words what sets two records apart, packages one by one."""
    found = []
    for name in ("python", "implementation", "system", "processor", "instructions", "graphics_driver", "threads"):
        if name in old and new.get(name) != old[name]:
            found.append(f"{name.replace('_', ' ')}: {new.get(name)}, was {old[name]}")
    mine, yours = new["packages"], old["packages"]
    for package in sorted({*mine, *yours}):
        if mine.get(package) != yours.get(package):
            found.append(f"{package}: {mine.get(package, 'absent')}, was {yours.get(package, 'absent')}")
    return found


def _processor(key: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def _graphics_driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return ""
