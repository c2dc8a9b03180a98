"""What a cluster's site asks of a job: partition, account, limits, lines to run first. One TOML file, the nearest one counts."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryoloom.spec.errors import WrongUse

VARIABLE = "CRYOLOOM_CLUSTER"
FILE = "cluster.toml"


@dataclass(frozen=True)
class Site:
    """How runs are submitted.

    Attributes
    ----------
    partition, account, qos, gres
        As sbatch knows them; left out when empty.
    time
        Limit of a run, ``[days-]hours:minutes:seconds``.
    memory
        For each thread, such as ``4G``.
    directives
        More options of sbatch, one a string.
    prologue
        Shell lines before the run, such as ``module load cuda``.
    interface
        Network over which the nodes of a run of several speak, such as ``ib0``; that of the default route when empty.
    poll
        Seconds between two questions to the queue.
    protocols
        Values of other fields by protocol id: a refinement may need more memory than a picker.
    origin
        The file they came from, empty for the defaults.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    gres: str = ""
    time: str = "2-00:00:00"
    memory: str = "4G"
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str = ""
    poll: float = 15.0
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origin: str = ""

    def of(self, protocol: str) -> "Site":
        """Return the site as a protocol sees it."""
        return replace(self, **self.protocols.get(protocol, {}))


def user_folder() -> Path:
    """Return the folder of the user's own settings; it need not be there."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cryoloom"


def places(project: Path) -> list[Path]:
    """Return where the file is looked for, the first that exists counts."""
    named = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
    return [*named, project / FILE, user_folder() / FILE, Path("/etc/cryoloom") / FILE]


def read_site(project: Path) -> Site:
    """Return the site's values for a project.

    Raises
    ------
    WrongUse
        ``bad-cluster-file``: the file that counts is not TOML, or has names or values of another kind; ``file-missing``: the one that the
        environment names is not there.
    """
    if (named := os.environ.get(VARIABLE)) and not Path(named).is_file():
        raise WrongUse("file-missing", f"{VARIABLE} names {named}, which is not there.", "Make it, or unset the variable.")
    path = next((place for place in places(project) if place.is_file()), None)
    if path is None:
        return Site()
    status = path.stat()
    return _read(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, _inode: int, _size: int, _changed: int) -> Site:
    # asked for by every run of a cluster that is looked at
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUse("bad-cluster-file", f"{path} is not TOML: {error}.", "`cryoloom cluster example` prints one.") from error
    values = {name: value for name, value in table.items() if name != "protocols"}
    protocols = {name: _checked(path, own) for name, own in table.get("protocols", {}).items()}
    return Site(**_checked(path, values), protocols=protocols, origin=str(path))


def _checked(path: Path, values: Any) -> dict[str, Any]:
    """Return the values as a `Site` holds them, each of the kind of its default."""
    known = {one.name: one.default for one in fields(Site) if one.name not in ("protocols", "origin")}
    found: dict[str, Any] = {}
    for name, value in values.items() if isinstance(values, dict) else [("protocols", values)]:
        default = known.get(name)
        kind = (int, float) if isinstance(default, float) else list if isinstance(default, tuple) else type(default)
        if default is None or not isinstance(value, kind) or (kind is list and not all(isinstance(one, str) for one in value)):
            cure = f"The names are {', '.join(known)}; `cryoloom cluster example` prints a whole file."
            raise WrongUse("bad-cluster-file", f"{path}: {name} = {value!r} is not known or of the wrong kind.", cure)
        if any("\n" in one for one in ([value] if isinstance(value, str) else value if isinstance(value, list) else [])):
            raise WrongUse("bad-cluster-file", f"{path}: {name} = {value!r} has a line break.", "Give one line a string.")
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


EXAMPLE = """# How `--target slurm` submits runs. Looked for in $CRYOLOOM_CLUSTER, PROJECT/cluster.toml,
# ~/.config/cryoloom/cluster.toml and /etc/cryoloom/cluster.toml. Everything may be left out.
partition = "main"
account = ""
qos = ""
gres = ""                       # such as "gpu:1"
time = "2-00:00:00"             # limit of a run
memory = "4G"                   # for each thread
directives = []                 # more options of sbatch: ["--constraint=avx512"]
prologue = []                   # shell lines before the run: ["module load cuda"]
interface = ""                  # network between the nodes of `--nodes`: "ib0"; the default route's when empty
poll = 15                       # seconds between two questions to the queue

[protocols."refine.auto"]       # other values for one protocol
memory = "8G"
"""
"""A file to start from."""
