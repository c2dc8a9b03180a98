"""What a run was computed with: Python, packages, processor. Kept once a project under the hash of its text."""

import os
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path

from blake3 import blake3

from cryoloom import files


def record_environment(root: Path) -> str:
    """Write ``env/<hash>.json`` unless it is there, and return the hash."""
    record = {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "threads": {name: os.environ[name] for name in sorted(os.environ) if name.endswith("_THREADS")},
        "packages": dict(sorted({(each.name or "?").lower(): each.version for each in distributions()}.items())),
    }
    name = blake3(files.canonical(record)).hexdigest()
    path = root / "env" / f"{name}.json"
    if not path.exists():
        files.write_json(path, record)
    return name


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
