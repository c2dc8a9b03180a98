import numpy as np
import pytest

from cryoloom.formats.gain import read_gain
from cryoloom.formats.movie import open_movie
from cryoloom.formats.tiff import write_tiff
from cryoloom.spec import Failure

SIDE, FRAMES = 16, 17


@pytest.fixture
def movie(tmp_path, eer_file):
    """Return a movie and its events: row, column, and quarter of the pixel each way."""
    rng = np.random.default_rng(2)
    events = [
        [(int(p), *map(int, rng.integers(0, 4, 2))) for p in rng.choice(SIDE * SIDE, 5 + 3 * n, replace=False)] for n in range(FRAMES)
    ]
    path = tmp_path / "FoilHole_1_EER.eer"
    path.write_bytes(eer_file(SIDE, events))
    return path, events


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
    with pytest.raises(Failure, match="17 frames, fewer than the 40 of one fraction"):
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
