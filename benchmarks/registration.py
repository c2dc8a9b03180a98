"""What it takes to register movies: header, size and quick hash of each, no frame read.

``python -m benchmarks.registration [--movies 10000] [--format mrc|tiff] [--threads 2]``. The movies are sparse files: their headers are real, and
each holds a few bytes of its own at both ends, but only those lie on the disk; a disk's own time to find scattered pieces is not in the figures.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

FRAMES, HEIGHT, WIDTH = 16, 4092, 5760
"""Of a Gatan K3, one byte a sample: 377 MB."""
NOISE = 64
"""Bytes at either end that tell one movie from the next."""


def template(path: Path) -> Path:
    """Write the one movie that the others are copies of."""
    if path.suffix == ".mrc":
        from cryoloom.formats.mrc import write_mrc

        write_mrc(path, np.zeros((1, 8, 8), np.int8), 0.83, mode=0)
        with path.open("r+b") as handle:
            handle.write(np.array([WIDTH, HEIGHT, FRAMES, 0], "<i4").tobytes())
            handle.seek(28)
            handle.write(np.array([WIDTH, HEIGHT, FRAMES], "<i4").tobytes())
            handle.write(np.array([0.83 * WIDTH, 0.83 * HEIGHT, 0.83 * FRAMES], "<f4").tobytes())
        os.truncate(path, 1024 + FRAMES * HEIGHT * WIDTH)
    else:
        import tifffile

        with tifffile.TiffWriter(path) as tiff:
            for _ in range(FRAMES):
                tiff.write(shape=(HEIGHT, WIDTH), dtype=np.uint8, photometric="minisblack", metadata=None, contiguous=False)
    return path


def pieces(path: Path) -> list[tuple[int, bytes]]:
    """Return what a sparse file holds, and where."""
    found, end = [], 0
    with path.open("rb") as handle:
        while True:
            try:
                start = os.lseek(handle.fileno(), end, os.SEEK_DATA)
            except OSError:
                return found
            end = os.lseek(handle.fileno(), start, os.SEEK_HOLE)
            found.append((start, os.pread(handle.fileno(), end - start, start)))


def make(folder: Path, count: int, suffix: str) -> None:
    """Write `count` movies."""
    rng = np.random.default_rng(0)
    first = template(folder / f"template{suffix}")
    size, held = first.stat().st_size, pieces(first)
    first.unlink()
    data = 1024 if suffix == ".mrc" else 4096
    for number in range(count):
        with (folder / f"movie_{number:05d}{suffix}").open("wb") as handle:
            for start, content in held:
                handle.seek(start)
                handle.write(content)
            for start in (data, size - NOISE):
                handle.seek(start)
                handle.write(rng.bytes(NOISE) if suffix == ".mrc" or start == data else b"")
            handle.truncate(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=int, default=10_000)
    parser.add_argument("--format", choices=("mrc", "tiff"), default="mrc")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    from cryoloom.app.session import create_project

    folder = Path(tempfile.mkdtemp())
    try:
        raw = folder / "raw"
        raw.mkdir()
        make(raw, options.movies, f".{options.format}")
        size = sum(path.stat().st_size for path in raw.iterdir())
        project = create_project(folder / "project")
        began = time.perf_counter()
        run = project.run("import.movies", pattern=str(raw), pixel_size=0.83, threads=options.threads)
        wall = time.perf_counter() - began
        assert run.outputs.movies.items.filter("enabled").height == options.movies
        result = {"movies": options.movies, "apparent TB": round(size / 1e12, 3), "s wall": round(wall, 1), **run.spent}
        print(json.dumps(result, indent=1))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
