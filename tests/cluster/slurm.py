"""A Slurm of two virtual nodes on this computer: munge, a controller and two node daemons, all of the tests' own.

Needs root and Debian's ``slurm-wlm`` and ``munge``. Nodes are killed and brought back one by one.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
NODES = ("n1", "n2")

CONFIGURATION = """
ClusterName=cryoloom
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={place}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.%n.pid
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool.%n
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.%n.log
SlurmctldPort={port}
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0,defer_batch
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmdTimeout=10
SlurmctldTimeout=20
KillWait=5
MinJobAge=60
UnkillableStepTimeout=30
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=4 RealMemory=8000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=7-0 DefaultTime=60 DefMemPerCPU=500 State=UP
"""


def able() -> str:
    """Return why no Slurm can be started here, empty when one can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in PROGRAMS if _program(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Slurm:
    """A running controller with its nodes.

    Parameters
    ----------
    place
        Empty folder for everything it writes, with a short path (a socket lies in it).
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.configuration = place / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self.configuration)}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything and wait until both nodes are idle."""
        port, first, second = _free_ports(3)
        host = socket.gethostname().partition(".")[0]
        self.configuration.write_text(CONFIGURATION.format(host=host, place=self.place, port=port, first=first, second=second))
        for name in ("state", "spool.n1", "spool.n2"):
            (self.place / name).mkdir()
        key = self.place / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.place.chmod(0o755)
        self._daemons["munged"] = self._run(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.place}/munge.socket", f"--pid-file={self.place}/munge.pid",
            f"--seed-file={self.place}/munge.seed", f"--log-file={self.place}/munge.log",
        )  # fmt: skip
        _wait(lambda: (self.place / "munge.socket").exists(), "munge")
        self._daemons["slurmctld"] = self._run("slurmctld", "-D", "-f", str(self.configuration))
        for node in NODES:
            self.start_node(node)
        _wait(lambda: self._states() == ["idle", "idle"], "two idle nodes")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._daemons[node] = self._run("slurmd", "-D", "-N", node, "-f", str(self.configuration))

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon and whatever jobs have started on it, as a power cut would."""
        self._daemons[node].kill()
        self._daemons[node].wait()
        for pid in self._processes_of(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def command(self, *words: str) -> str:
        """Run one of Slurm's programs and return what it prints."""
        return subprocess.run(words, env={**os.environ, **self.environment}, check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        """End everything."""
        with suppress(subprocess.CalledProcessError):
            self.command("scancel", "--user=root")
        for node in NODES:
            for pid in self._processes_of(node):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for daemon in reversed(self._daemons.values()):
            daemon.kill()
            daemon.wait()

    def _processes_of(self, node: str) -> list[int]:
        """Return the processes of the jobs of a node, their step daemons included; not those of another Slurm on this computer."""
        own, here = f"\0SLURM_CONF={self.configuration}\0".encode(), f"\0SLURMD_NODENAME={node}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    # a step daemon does not say whose it is; its children do
                    told = [entry]
                    if b"slurmstepd" in (entry / "cmdline").read_bytes():
                        told += [Path(f"/proc/{child}") for child in (entry / "task" / entry.name / "children").read_text().split()]
                    if any(own in environment and here in environment for environment in map(_environment, told)):
                        found.append(int(entry.name))
        return found

    def _states(self) -> list[str]:
        with suppress(subprocess.CalledProcessError):
            return self.command("sinfo", "--noheader", "--Node", "--format=%t").split()
        return []

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        path = _program(program)
        assert path is not None
        log = (self.place / f"{program}.out").open("ab")
        return subprocess.Popen(
            [path, *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def _environment(process: Path) -> bytes:
    return b"\0" + (process / "environ").read_bytes()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait(ready, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} after {seconds:.0f} s")
        time.sleep(0.2)
