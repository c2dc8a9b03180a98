import numpy as np
import pytest

from cryoloom.formats.defects import read_defects
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.star import write_star
from cryoloom.formats.tiff import write_tiff
from cryoloom.spec import Failure

SHAPE = (6, 10)


@pytest.fixture
def bad():
    bad = np.zeros(SHAPE, dtype=bool)
    bad[1:3, 4:9] = True
    bad[5, 0] = True
    return bad


def test_every_form_of_the_same_map(tmp_path, bad):
    write_mrc(tmp_path / "a.mrc", bad.astype(np.int8), 1.0, mode=0)
    write_tiff(tmp_path / "a.tif", bad.astype(np.uint8))
    (tmp_path / "a.txt").write_text("# x y w h\n4 1 5 2\n\n0, 5, 1, 1\n")
    y, x = np.nonzero(bad)
    write_star(tmp_path / "a.star", {"general": {"rlnImageSizeX": 10}, "hot_pixels": frame(x, y)})
    for name in ("a.mrc", "a.tif", "a.txt", "a.star"):
        assert np.array_equal(read_defects(tmp_path / name, SHAPE), bad), name


def frame(x, y):
    import polars as pl

    return pl.DataFrame({"rlnCoordinateX": x.astype(float), "rlnCoordinateY": y.astype(float)})


def test_a_map_of_the_sensor_fits_super_resolution(tmp_path, bad):
    write_mrc(tmp_path / "a.mrc", bad.astype(np.int8), 1.0, mode=0)
    assert np.array_equal(read_defects(tmp_path / "a.mrc", (12, 20))[::2, 1::2], bad)
    with pytest.raises(Failure, match="10 × 6 px, movies of 11 × 6 px"):
        read_defects(tmp_path / "a.mrc", (6, 11))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CameraSizeX 5760\nBadColumns 1 2 3 4\n", "defects-serialem"),
        ("1 2 3 4\nBadPixels 1 2\n", "defects-serialem"),
        ("1 2 3\n", "defects-invalid"),
        ("1 2 3 x\n", "defects-invalid"),
        ("1.5 2 3 1\n", "defects-invalid"),
        ("8 1 3 1\n", "defects-outside"),
        ("-1 1 3 1\n", "defects-outside"),
        ("1 1 0 1\n", "defects-outside"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, code):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(Failure) as caught:
        read_defects(tmp_path / "a.txt", SHAPE)
    assert caught.value.code == code
