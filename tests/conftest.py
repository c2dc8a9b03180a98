import os
import struct
from pathlib import Path

import pytest

from cryoloom.engine.supervise import ONE_THREAD

# As in a run process, and before numpy reads it: a worker a core leaves none for more threads, which would wait for one another.
os.environ.update(ONE_THREAD)

import numpy as np  # noqa: E402


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real files that the repository does not carry."""
    folder = Path(os.environ.get("CRYOLOOM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the folder of real test files, {folder}, is absent; set CRYOLOOM_TEST_DATA")
    return folder


EER_METADATA = (
    b'<metadata><item name="exposureTime" unit="s">2.0</item><item name="numberOfFrames">7</item>'
    b'<item name="sensorPixelSize.width" unit="m">0.8e-10</item><item name="totalDose" unit="e/pixel">25.6</item></metadata>'
)


@pytest.fixture(scope="session")
def eer_file():
    """Return a function that makes an EER file: 0.8 Å/px, 40 e/Å².

    It takes the side in px and, for each hardware frame, its events ``(position, x, y)``: pixel in reading order, quarter of the pixel.
    """

    def make(side, frames):
        out = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        link = 8
        for number, events in enumerate(frames):
            content = _eer_frame(events, side * side)
            said = EER_METADATA if number == 0 else b""
            strip, place = len(out), len(out) + len(content)
            out += content + said
            plain = {256: side, 257: side, 258: 8, 259: 65001, 262: 1, 273: strip, 277: 1, 278: side, 279: len(content)}
            tags = [(code, 16, 1, value) for code, value in plain.items()] + ([(65001, 7, len(said), place)] if said else [])
            struct.pack_into("<Q", out, link, len(out))
            out += struct.pack("<Q", len(tags)) + b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
            link = len(out)
            out += bytes(8)
        return bytes(out)

    return make


def _eer_frame(events, pixels, bits=7):
    """Return the run lengths of `bits` between events, each with two bits a side for its place, their top bit inverted."""
    stream, last, longest = [], 0, (1 << bits) - 1

    def put(value, width):
        stream.extend((value >> bit) & 1 for bit in range(width))

    for position, x, y in [*sorted(events), (pixels, 0, 0)]:
        gap = position - last
        while gap >= longest:
            put(longest, bits)
            gap -= longest
        put(gap, bits)
        if position < pixels:
            put(x ^ 2, 2)
            put(y ^ 2, 2)
        last = position + 1
    return np.packbits(np.array(stream, dtype=np.uint8), bitorder="little").tobytes()
