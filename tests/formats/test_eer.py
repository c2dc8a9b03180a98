import struct

import numpy as np
import pytest

from cryoloom.formats.gain import read_gain
from cryoloom.formats.movie import open_movie
from cryoloom.formats.tiff import write_tiff
from cryoloom.spec import Failure

SIDE, FRAMES = 16, 7
METADATA = (
    (
        "<metadata><item name='exposureTime' unit='s'>2.0</item><item name='numberOfFrames'>7</item>"
        "<item name='sensorPixelSize.width' unit='m'>0.8e-10</item><item name='totalDose' unit='e/pixel'>25.6</item></metadata>"
    )
    .replace("'", '"')
    .encode()
)


def encoded(events, bits=7):
    """Return a frame of events ``(position, x, y)``: run length to the next, then the place within the pixel, top bit inverted."""
    stream, last, longest = [], 0, (1 << bits) - 1

    def put(value, width):
        stream.extend((value >> bit) & 1 for bit in range(width))

    for position, x, y in [*sorted(events), (SIDE * SIDE, None, None)]:
        gap = position - last
        while gap >= longest:
            put(longest, bits)
            gap -= longest
        put(gap, bits)
        if x is not None:
            put(x ^ 2, 2)
            put(y ^ 2, 2)
        last = position + 1
    return np.packbits(np.array(stream, dtype=np.uint8), bitorder="little").tobytes()


@pytest.fixture
def movie(tmp_path):
    """Return a movie and its events: row, column, and quarter of the pixel each way."""
    rng = np.random.default_rng(2)
    events = [[(int(p), *map(int, rng.integers(0, 4, 2))) for p in rng.choice(SIDE * SIDE, 9, replace=False)] for _ in range(FRAMES)]
    path = tmp_path / "FoilHole_1_EER.eer"
    path.write_bytes(big_tiff([encoded(each) for each in events]))
    return path, events


def big_tiff(frames):
    """Return the file: one directory a frame, the first with the metadata."""
    out = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
    link = 8
    for number, content in enumerate(frames):
        strip, said = len(out), len(out) + len(content)
        out += content + (METADATA if number == 0 else b"")
        tags = [
            (256, 4, 1, SIDE),
            (257, 4, 1, SIDE),
            (258, 3, 1, 8),
            (259, 3, 1, 65001),
            (262, 3, 1, 1),
            (273, 16, 1, strip),
            (277, 3, 1, 1),
        ]
        tags += [(278, 4, 1, SIDE), (279, 16, 1, len(content))] + ([(65001, 7, len(METADATA), said)] if number == 0 else [])
        struct.pack_into("<Q", out, link, len(out))
        out += struct.pack("<Q", len(tags)) + b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
        link = len(out)
        out += bytes(8)
    return bytes(out)


def expected(events, grouping, upsampling):
    out = np.zeros((FRAMES // grouping, SIDE * upsampling, SIDE * upsampling))
    for frame in range(FRAMES // grouping * grouping):
        for position, x, y in events[frame]:
            row, column = divmod(position, SIDE)
            out[frame // grouping, row * upsampling + y * upsampling // 4, column * upsampling + x * upsampling // 4] += 1
    return out


@pytest.mark.parametrize("grouping", [1, 3])
@pytest.mark.parametrize("upsampling", [1, 2])
def test_electrons_are_where_they_were(movie, grouping, upsampling):
    path, events = movie
    opened = open_movie(path, grouping=grouping, upsampling=upsampling)
    assert opened.frames == FRAMES // grouping and opened.shape == (SIDE * upsampling,) * 2
    assert opened.pixel_size == pytest.approx(0.8 / upsampling)
    assert opened.source.total_dose == pytest.approx(25.6 / 0.64)
    assert np.array_equal(opened.read(), expected(events, grouping, upsampling))
    assert np.array_equal(opened.read(1, 2), expected(events, grouping, upsampling)[1:2])


def test_too_few_frames_and_broken_files(movie, tmp_path):
    path, _ = movie
    with pytest.raises(Failure, match="7 frames, fewer than the 40 of one fraction"):
        open_movie(path, grouping=40)
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(Failure, match="truncated|not a TIFF|expected at least"):
        open_movie(path)
    path.write_bytes(content)
    path.rename(tmp_path / "a.tif")
    with pytest.raises(Failure, match="under another name"):
        open_movie(tmp_path / "a.tif")


def test_the_cameras_gain_lies_as_its_movie(tmp_path):
    factors = np.random.default_rng(0).uniform(0.8, 1.2, (SIDE, SIDE)).astype(np.float32)
    for name in ("a.gain", "a.raw"):
        write_tiff(tmp_path / name, factors, flip_rows=False)
        read = read_gain(tmp_path / name, (2 * SIDE, 2 * SIDE)).factors
        assert np.allclose(read[::2, ::2] / read.mean(), factors / factors.mean(), rtol=1e-5), "expanded for 8k, rows as stored"
