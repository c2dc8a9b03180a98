"""What can be asked for: known by what it is made of before it is made."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from cryoloom.report.raster import png_bytes
from cryoloom.spec import WrongUse

RAW = "application/octet-stream"
MOST_BYTES = 64 << 20
"""No answer holds more samples than these."""
QUALITY = 85
"""Of JPEG and WebP: noise costs bytes, and is not worth more."""

_EDITION = 1
"""Goes up when the same files and wishes give other bytes: what browsers and the cache keep is then stale."""


@dataclass(frozen=True)
class Rendered:
    """Bytes that are ready to be sent, their media type, and what a client needs to understand them, as HTTP headers."""

    body: bytes | memoryview
    media: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the body as raw pixels ``(X-Height, X-Width)``."""
        return np.frombuffer(self.body, dtype=np.uint8).reshape(int(self.headers["X-Height"]), int(self.headers["X-Width"]))


@dataclass(frozen=True)
class Asset:
    """Something to be sent.

    Attributes
    ----------
    stamp
        All that decides its bytes: files with time and size, and what was asked of them.
    make
        Makes it.
    kept
        Whether it is worth a place in the cache.
    """

    stamp: tuple[Any, ...]
    make: Callable[[], Rendered]
    kept: bool = False

    @cached_property
    def name(self) -> str:
        """Return the name of its bytes: equal stamps have equal names."""
        return blake3(repr((_EDITION, self.stamp)).encode()).hexdigest()[:32]


def file_stamp(path: Path) -> tuple[str, int, int]:
    """Return path, time of last change (ns) and size of a file."""
    status = os.stat(path)
    return os.fspath(path), status.st_mtime_ns, status.st_size


def json_asset(stamp: tuple[Any, ...], make: Callable[[], Mapping[str, Any]], *, kept: bool = False) -> Asset:
    """Return an asset of plain data; numbers that are none become null."""
    return Asset(stamp, lambda: Rendered(json.dumps(_plain(make()), separators=(",", ":")).encode(), "application/json"), kept)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def demand_size(count: int, cure: str) -> None:
    """Raise ``too-large`` for an answer of more than `MOST_BYTES` bytes."""
    if count > MOST_BYTES:
        raise WrongUse("too-large", f"That is {count / 1e6:.0f} MB, and {MOST_BYTES / 1e6:.0f} MB are sent at most.", cure)


def encoded(pixels: NDArray[np.uint8], kind: str, headers: Mapping[str, str] | None = None) -> Rendered:
    """Return grey pixels ``(h, w)``, row 0 first, as ``raw``, ``png``, ``jpeg`` or ``webp``, their size in headers.

    Raises
    ------
    WrongUse
        ``unknown-format``.
    """
    import imagecodecs

    pixels = np.ascontiguousarray(pixels)
    told = {"X-Width": str(pixels.shape[1]), "X-Height": str(pixels.shape[0]), **(headers or {})}
    if kind == "raw":
        return Rendered(pixels.data.cast("B"), RAW, told)
    if kind == "png":
        return Rendered(png_bytes(pixels), "image/png", told)
    if kind == "jpeg":
        return Rendered(bytes(imagecodecs.jpeg8_encode(pixels, level=QUALITY)), "image/jpeg", told)
    if kind == "webp":
        colours = np.repeat(pixels[..., None], 3, axis=2)  # the format knows no grey
        return Rendered(bytes(imagecodecs.webp_encode(colours, level=QUALITY)), "image/webp", told)
    raise WrongUse("unknown-format", f"There is no format {kind!r}.", "There are raw, png, jpeg and webp.")
