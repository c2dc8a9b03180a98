"""Rendered pictures kept on disk, outside of every project: a project may be read-only, and its runs are never changed."""

import json
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from cryoloom.files import replacing
from cryoloom.server.render.asset import Asset, Rendered
from cryoloom.spec import Failure

MOST_KEPT = 2 << 30
"""Bytes of all that is kept."""
AFTER_CLEARING = 0.8
"""Part of that which stays when there is too much: not every new picture shall clear."""


class PictureCache:
    """A folder of rendered pictures by name, those used longest ago removed when they take too much room.

    One picture is made once, however many ask for it at the same moment; several servers may share the folder. Where it cannot be written,
    pictures are made each time.
    """

    def __init__(self, folder: Path, most: int = MOST_KEPT) -> None:
        self.folder, self.most = folder, most
        self._guard = threading.Lock()
        self._making: dict[str, tuple[threading.Lock, int]] = {}  # locks, and how many hold or wait for each
        self._held: int | None = None

    def rendered(self, asset: Asset) -> Rendered:
        """Return an asset made: from the folder if it is there, else made now, and kept if it is worth it."""
        if not asset.kept:
            return asset.make()
        path = self.folder / asset.name
        found = _read(path)
        if found is None:
            with self._alone(asset.name):
                found = _read(path)
                if found is None:
                    found = asset.make()
                    self._keep(path, found)
        return found

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._guard:
            lock, users = self._making.get(name, (threading.Lock(), 0))
            self._making[name] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._making.pop(name)
                if users > 1:
                    self._making[name] = lock, users - 1

    def _keep(self, path: Path, found: Rendered) -> None:
        size = len(found.body)
        head = json.dumps({"media": found.media, "headers": dict(found.headers), "bytes": size}).encode() + b"\n"
        if size + len(head) > self.most:
            return
        with suppress(Failure, OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(path, lasting=False) as handle:
                handle.write(head)
                handle.write(found.body)
            with self._guard:
                self._held = self._room_taken() if self._held is None else self._held + size + len(head)
                if self._held > self.most:
                    self._held = self._clear()

    def _room_taken(self) -> int:
        return sum(size for _, size, _ in self._entries())

    def _entries(self) -> list[tuple[int, int, str]]:
        """Return time of last use, size and path of all files there are."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another server has cleared it
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, entry.path))
        return found

    def _clear(self) -> int:
        """Remove what was used longest ago, and return the bytes that are left."""
        entries = sorted(self._entries())
        held = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if held <= AFTER_CLEARING * self.most:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            held -= size
        return held


def _read(path: Path) -> Rendered | None:
    """Return what is kept at `path`, mapped and not read, and note that it was used; None where nothing whole is."""
    try:
        with path.open("rb") as handle:
            head = handle.readline()
            told = json.loads(head)
            body = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))[len(head) :]
    except (OSError, ValueError):
        return None
    if len(body) != told.get("bytes"):
        return None
    with suppress(OSError):
        os.utime(path)
    return Rendered(body, told["media"], told["headers"])


@cache
def _cache_in(folder: Path) -> PictureCache:
    return PictureCache(folder)


def rendered(asset: Asset) -> Rendered:
    """Return an asset made, from the cache of this user where it is there."""
    top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return _cache_in(top / "cryoloom" / "pictures").rendered(asset)


def rendered_json(asset: Asset) -> Any:
    """Return what an asset of plain data says."""
    return json.loads(bytes(rendered(asset).body))
