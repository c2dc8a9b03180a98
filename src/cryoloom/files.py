"""Files that are whole or absent: temporary name in the same folder, sync, rename, sync of the folder."""

import errno
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from cryoloom.spec.errors import Failure

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST}
_PUBLIC = 0o666
PRIVATE = 0o600
"""Mode of a file that is its owner's alone."""
_numbers = itertools.count()


def storage_failure(error: OSError, path: Path) -> Failure | None:
    """Return what to tell the user when the disk, not the data, is at fault; None for any other error."""
    if error.errno in _FULL:
        free = shutil.disk_usage(_existing(path)).free / 1e9
        return Failure(
            "disk-full",
            f"No space left while writing {path}; {free:.2f} GB free there.",
            "Free some space (`cryoloom project info` shows what each run uses), then resume the run; what is finished is kept.",
        )
    if error.errno in _FORBIDDEN:
        cure = "Give yourself write access to that folder, or choose another."
        return Failure("not-writable", f"{path} cannot be written: {error.strerror}.", cure)
    return None


def _existing(path: Path) -> Path:
    while not os.path.exists(path):  # Path.exists raises where a folder above may not be entered
        path = path.parent
    return path


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the disk's own errors inside the block into a `Failure` that names `path`; let all others through."""
    try:
        yield
    except OSError as error:
        failure = storage_failure(error, path)
        if failure is None:
            raise
        raise failure from error


def make_folder(path: Path) -> Path:
    """Make the folder `path` and those above it, unless they are there, and return it.

    Raises
    ------
    Failure
        ``not-writable``, saying what is in the way, or ``disk-full``.
    """
    with storage_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
            there = _existing(path)
            why = f"{there} is not a folder" if not there.is_dir() else f"{there} takes no folders"
            raise Failure("not-writable", f"The folder {path} cannot be made: {why}.", "Choose another place.") from error
    return path


@contextmanager
def writing(path: Path | str, *, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it takes the place of `path` when the block ends, after an error nothing is left.

    What need not be `lasting` may be absent again, though never torn, after a power cut that follows at once.

    Raises
    ------
    Failure
        ``disk-full`` or ``not-writable``.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    with storage_errors(path):
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        except FileNotFoundError as error:
            if error.filename != os.fspath(temporary):
                raise
            raise Failure("not-writable", f"{path.parent} takes no files.", "Choose another place.") from error
        finally:
            temporary.unlink(missing_ok=True)
        if lasting:
            sync_folder(path.parent)


@contextmanager
def replacing(path: Path, *, lasting: bool = True, mode: int = _PUBLIC) -> Iterator[IO[bytes]]:
    """Yield a binary file to write to that takes the place of `path`, as `writing` does; `mode` is what the umask leaves of it, from the start."""
    with writing(path, lasting=lasting) as temporary, open(temporary, "wb", opener=_opener(mode)) as handle:
        yield handle


def _opener(mode: int) -> Callable[[str, int], int]:
    return lambda name, flags: os.open(name, flags, mode)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, record: Any, *, mode: int = _PUBLIC) -> None:
    """Write a record for people to read: indented, UTF-8, keys in the order given."""
    with replacing(path, mode=mode) as handle:
        handle.write(_text(record))


def _text(record: Any) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the record at `path`; None where there is none."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def claim(path: Path, record: Mapping[str, Any], *, mode: int = _PUBLIC) -> bool:
    """Create `path` with its content in one step; False when somebody else was first."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    with storage_errors(path):
        try:
            with open(temporary, "wb", opener=_opener(mode)) as handle:
                handle.write(_text(record))
                handle.flush()
                os.fsync(handle.fileno())
            _publish_once(temporary, path, mode)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    return True


def _publish_once(temporary: Path, path: Path, mode: int) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems (exFAT, several FUSE ones) have no hard links; O_EXCL is their only exclusive act.
        with open(path, "xb", opener=_opener(mode)) as handle:
            handle.write(temporary.read_bytes())
            handle.flush()
            os.fsync(handle.fileno())


def canonical(value: Any) -> bytes:
    """Return the one JSON text of `value`: sorted keys, no spaces, shortest floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
