"""Who a process is, whether it still lives, and how to end it for certain."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

TOKEN = "CRYOLOOM_TOKEN"  # noqa: S105 (a label, not a secret)
"""Environment variable that marks every process of one attempt, programs it starts included."""
GRACE = 10.0
"""Seconds that a run has to end after it was asked to, before it is killed."""


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same number.

    Attributes
    ----------
    host
        For people.
    space
        Boot and process-number space (a container has its own), in which `pid` means something.
    pid, started
        Number, and the kernel's start time of it.
    """

    host: str
    space: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> "ProcessId":
        """Return this process."""
        return cls(socket.gethostname(), number_space(), os.getpid(), _started(os.getpid()) or 0.0)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "ProcessId":
        """Read what `to_json` wrote."""
        return cls(record["host"], record["space"], record["pid"], record["started"])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @property
    def here(self) -> bool:
        """Return whether this computer (or container) can see the process."""
        return self.space == number_space()

    @property
    def alive(self) -> bool:
        """Return whether it runs; meaningful only `here`. A zombie is dead."""
        return self.here and _started(self.pid) == self.started


@cache
def number_space() -> str:
    """Return a name for the set of process numbers that this process lives in; it changes at every boot."""
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        with suppress(OSError):
            return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
        return boot
    import psutil

    return f"{socket.gethostname()}/{int(psutil.boot_time())}"


def _started(pid: int) -> float | None:
    # The kernel's tick count, where it is given, does not move when the clock is set; psutil's time of day does.
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else float(fields[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def marked(token: str) -> list[int]:
    """Return the numbers of living processes that carry `token`, this one left out."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TOKEN) == token:
                found.append(process.pid)
    return found


def end_marked(token: str, *, spare: Iterable[int] = (), patience: float = 10.0) -> bool:
    """Kill every process that carries `token` and see them gone; False when one survived for `patience` seconds.

    Looks again after each kill, because a process may start another while it is being looked at.
    """
    spared = set(spare)
    deadline = time.monotonic() + patience
    while found := [pid for pid in marked(token) if pid not in spared]:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends; Linux only."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
