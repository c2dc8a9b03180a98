import struct

import numpy as np
import pytest

from cryoloom.formats.gain import read_gain
from cryoloom.formats.movie import open_movie
from cryoloom.spec import Failure

DTYPES = {"f4": 6, "u2": 4, "i4": 3}


def dm_file(images, version, order="<"):
    """Write what DigitalMicrograph writes, as far as a reader may look: a thumbnail, then the image."""
    wide = "Q" if version == 4 else "I"

    def number(kind, value):
        return struct.pack(f">{kind}", value)

    def tag(name, content, kind):
        size = number("Q", len(content)) if version == 4 else b""
        return number("B", kind) + number("H", len(name)) + name.encode() + size + content

    def group(name, *tags):
        return tag(name, b"\1\0" + number(wide, len(tags)) + b"".join(tags), 20)

    def data(name, kinds, raw):
        return tag(name, b"%%%%" + number(wide, len(kinds)) + b"".join(number(wide, kind) for kind in kinds) + raw, 21)

    def entry(image):
        scale = data("Scale", [6], struct.pack(f"{order}f", 0.053))
        units = data("Units", [20, 4, 2], "nm".encode("utf-16-le" if order == "<" else "utf-16-be"))
        numbers = np.ascontiguousarray(image.astype(order + image.dtype.str[1:]))
        return group(
            "",
            group(
                "ImageData",
                group("Calibrations", group("Dimension", group("", scale, units))),
                data("Data", [20, DTYPES[image.dtype.str[1:]], image.size], numbers.tobytes()),
                group("Dimensions", *(data("", [5], struct.pack(f"{order}I", side)) for side in image.shape[::-1])),
            ),
            data("Name", [18, 3], "abc".encode("utf-16-le")),
            data("Box", [15, 0, 2, 0, 3, 0, 3], struct.pack(f"{order}2i", 1, 2)),
            data("Boxes", [20, 15, 0, 2, 0, 3, 0, 3, 2], struct.pack(f"{order}4i", 1, 2, 3, 4)),
        )

    root = b"\1\0" + number(wide, 2) + data("InImageMode", [8], b"\1") + group("ImageList", *map(entry, images))
    return number("I", version) + number(wide, len(root)) + number("I", 1 if order == "<" else 0) + root + bytes(8)


@pytest.mark.parametrize(("version", "order"), [(3, "<"), (4, "<"), (3, ">"), (4, ">")])
@pytest.mark.parametrize("dtype", ["f4", "u2"])
def test_the_largest_image_is_read(tmp_path, version, order, dtype):
    image = (100 * np.random.default_rng(1).uniform(0.5, 1.5, (6, 8))).astype(dtype)
    path = tmp_path / f"gain.dm{version}"
    path.write_bytes(dm_file([np.zeros((3, 4), "i4"), image], version, order))
    opened = open_movie(path)
    assert opened.shape == (6, 8) and opened.frames == 1
    assert opened.pixel_size == pytest.approx(0.53)
    assert np.array_equal(opened.read()[0], image[::-1]), "rows from the top, as in TIFF"
    factors = read_gain(path, (6, 8)).factors
    assert np.allclose(factors, image[::-1] / image.mean(), rtol=1e-5)


def test_damaged_files_are_refused(tmp_path):
    content = dm_file([np.ones((6, 8), "f4")], 4)
    path = tmp_path / "gain.dm4"
    for cut in (10, 30, 100, len(content) // 2, 300):
        path.write_bytes(content[:cut])
        with pytest.raises(Failure, match="dm-invalid"):
            open_movie(path)
    rng = np.random.default_rng(4)
    for _ in range(300):
        broken = bytearray(content)
        for place in rng.integers(4, len(content), 4):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            open_movie(path).read()
        except Failure:
            continue
