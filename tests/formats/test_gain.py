import numpy as np
import pytest

from cryoloom.formats.gain import oriented, read_gain
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.tiff import write_tiff
from cryoloom.spec import Failure

SHAPE = (6, 9)


@pytest.fixture
def reference():
    return np.random.default_rng(1).uniform(0.8, 1.2, size=SHAPE).astype(np.float32)


@pytest.fixture
def path(tmp_path, reference):
    write_mrc(tmp_path / "gain.mrc", reference, 1.0)
    return tmp_path / "gain.mrc"


def test_orientation_by_hand():
    # Row 0 at the top:  a b     clockwise by 90°:  c a
    #                    c d                        d b
    image = np.array([["a", "b"], ["c", "d"]])
    assert oriented(image, 90).tolist() == [["c", "a"], ["d", "b"]]
    assert oriented(image, 180).tolist() == [["d", "c"], ["b", "a"]]
    assert oriented(image, 270).tolist() == [["b", "d"], ["a", "c"]]
    assert oriented(image, 0, "upside-down").tolist() == [["c", "d"], ["a", "b"]]
    assert oriented(image, 0, "left-right").tolist() == [["b", "a"], ["d", "c"]]
    assert oriented(image, 90, "upside-down").tolist() == [["d", "b"], ["c", "a"]], "rotation comes first"


def test_factors_have_mean_one(path, reference):
    gain = read_gain(path, SHAPE)
    assert gain.factors.dtype == np.float32
    assert gain.factors.mean(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert gain.factors / gain.factors[0, 0] == pytest.approx(reference / reference[0, 0], rel=1e-5)
    assert not gain.defects.any()


def test_the_same_reference_as_tiff(path, tmp_path, reference):
    write_tiff(tmp_path / "gain.tif", reference)
    assert np.array_equal(read_gain(tmp_path / "gain.tif", SHAPE).factors, read_gain(path, SHAPE).factors)


def test_dead_pixels_become_defects(tmp_path, reference):
    reference[2, 3], reference[4, 5], reference[0, 0] = 0, -1, 300
    write_mrc(tmp_path / "gain.mrc", reference, 1.0)
    gain = read_gain(tmp_path / "gain.mrc", SHAPE)
    assert np.argwhere(gain.defects).tolist() == [[2, 3], [4, 5]]
    assert gain.factors[gain.defects].tolist() == [0, 0]
    assert gain.factors[0, 0] == 10
    assert "2 dead pixels" in " ".join(gain.notes)


def test_super_resolution_expands(path):
    gain = read_gain(path, (12, 18))
    small = read_gain(path, SHAPE)
    assert np.array_equal(gain.factors[::2, ::2], small.factors)
    assert np.array_equal(gain.factors[1::2, 1::2], small.factors)
    assert "expanded by 2" in gain.notes[0]


@pytest.mark.parametrize(
    ("shape", "cure"),
    [((9, 6), "rotation of 90 or 270°"), ((18, 12), "rotation of 90 or 270°"), ((3, 4), "recorded with"), ((7, 9), "recorded with")],
)
def test_another_shape_names_both(path, shape, cure):
    with pytest.raises(Failure, match=cure) as caught:
        read_gain(path, shape)
    assert caught.value.code == "gain-shape"
    assert "9 × 6" in str(caught.value)
    assert f"{shape[1]} × {shape[0]}" in str(caught.value)


def test_rotation_that_spoils_the_fit_is_named(path):
    with pytest.raises(Failure, match="rotation of 0 or 180°"):
        read_gain(path, SHAPE, 90)
    assert read_gain(path, (9, 6), 90).factors.shape == (9, 6)


def test_binned_movies_of_a_large_reference(path):
    write_mrc(path, np.ones((12, 18)), 1.0)
    with pytest.raises(Failure, match="binned by 2"):
        read_gain(path, SHAPE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused_with_its_place(tmp_path, reference, value):
    reference[3, 4] = value
    write_mrc(tmp_path / "gain.mrc", reference, 1.0)
    with pytest.raises(Failure, match="1 values .* NaN or infinite, the first at x 4, y 3"):
        read_gain(tmp_path / "gain.mrc", SHAPE)


def test_stacks_and_empty_references_are_refused(tmp_path):
    write_mrc(tmp_path / "gain.mrcs", np.ones((2, *SHAPE)), 1.0)
    with pytest.raises(Failure, match="2 images"):
        read_gain(tmp_path / "gain.mrcs", SHAPE)
    write_mrc(tmp_path / "gain.mrc", np.zeros(SHAPE), 1.0)
    with pytest.raises(Failure, match="above 0"):
        read_gain(tmp_path / "gain.mrc", SHAPE)
