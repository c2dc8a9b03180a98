"""How a gain reference lies on simulated movies, whose camera is known."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from cryoloom.formats.gain import oriented, read_gain
from cryoloom.formats.gain_orientation import ORIENTATIONS, average_frames, find_orientation, residual_gain
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.simulate.detector import draw_camera
from cryoloom.spec import Failure

INVERSES = {(90, "none"): (270, "none"), (270, "none"): (90, "none")}
"""What turns an image back; the others undo themselves."""


@dataclass(frozen=True)
class Counts:
    """A movie of `frames` frames of a camera: `dose` electrons a pixel and frame, over a specimen of its own."""

    camera: object
    dose: float
    frames: int
    seed: int

    def read(self, start, stop):
        rng = np.random.default_rng((self.seed, start))
        shape = self.camera.gain.shape
        y, x = np.indices(shape) / 12.0
        specimen = 1 + 0.1 * np.sin(x + self.seed) * np.cos(y - 2 * self.seed)
        return self.camera.record((self.dose * specimen).astype(np.float32), self.dose, rng)[None].astype(np.float32)


@cache
def camera(shape=(180, 180), largest=0.2, seed=3):
    return draw_camera(*shape, largest, 6, 4, np.random.default_rng(seed), bad_column=True)


def movies(of, dose=1.0, count=10, frames=20):
    return [Counts(of, dose, frames, number) for number in range(count)]


@cache
def averages_of(shape=(180, 180), largest=0.2, dose=1.0, frames=200):
    return average_frames(movies(camera(shape, largest), dose), frames)


def stored(tmp_path, of, rotation, flip):
    """Write the reference of a camera so that it must be turned like this."""
    back = INVERSES.get((rotation, flip), (rotation, flip))
    reference = oriented(of.gain, *back)
    assert np.array_equal(oriented(reference, rotation, flip), of.gain)
    write_mrc(tmp_path / "gain.mrc", reference, 1.0)
    return tmp_path / "gain.mrc"


@pytest.mark.parametrize(("rotation", "flip"), ORIENTATIONS)
def test_each_of_the_orientations_is_found(tmp_path, rotation, flip):
    of = camera()
    path = stored(tmp_path, of, rotation, flip)
    averages = averages_of(of.gain.shape)
    found = find_orientation(averages, path)
    assert averages.frames == found.frames == 200
    assert found.decided and found.ahead > 20
    assert (found.rotation, found.flip, found.reciprocal) == (rotation, flip, False)
    assert 0.1 < found.correlation < 1


def test_a_reference_to_divide_by_is_known_as_one(tmp_path):
    of = camera()
    write_mrc(tmp_path / "gain.mrc", np.where(of.gain > 0, 1 / np.where(of.gain > 0, of.gain, 1), 0)[::-1], 1.0)
    found = find_orientation(averages_of(of.gain.shape), tmp_path / "gain.mrc")
    assert found.decided and found.reciprocal and found.same_as(0, "upside-down", True)
    assert found.same_as(180, "left-right", True) and not found.same_as(0, "upside-down", False) and not found.same_as(0, "none", True)
    assert str(found) == "turned by 0° and flipped upside-down, as a divisor,"
    gain = read_gain(tmp_path / "gain.mrc", of.gain.shape, found.rotation, found.flip, reciprocal=True)
    assert np.corrcoef(gain.factors[of.gain > 0], of.gain[of.gain > 0])[0, 1] > 0.9999
    assert np.array_equal(gain.defects, of.gain == 0)


@pytest.mark.parametrize(("largest", "dose", "frames"), [(0.02, 0.02, 200), (0.2, 0.05, 1), (0.0, 1.0, 200)], ids=["faint", "few", "even"])
def test_too_few_counts_decide_nothing(tmp_path, largest, dose, frames):
    of = camera(shape=(180, 180), largest=largest)
    found = find_orientation(averages_of(largest=largest, dose=dose, frames=frames), stored(tmp_path, of, 90, "none"))
    assert not found.decided


def test_another_cameras_reference_decides_nothing(tmp_path):
    path = stored(tmp_path, camera(shape=(180, 180), seed=8), 0, "none")
    assert not find_orientation(averages_of(), path).decided


def test_corrected_movies_decide_nothing(tmp_path):
    of = camera()
    flat = draw_camera(180, 180, 0.0, 0, 0, np.random.default_rng(0))
    assert not find_orientation(average_frames(movies(flat), 200), stored(tmp_path, of, 0, "none")).decided


def test_shapes_decide_where_they_can(tmp_path):
    of = camera(shape=(120, 200))
    averages = averages_of(of.gain.shape)
    found = find_orientation(averages, stored(tmp_path, of, 90, "upside-down"))
    assert found.decided and (found.rotation, found.flip) == (90, "upside-down")
    write_mrc(tmp_path / "other.mrc", np.ones((50, 70)), 1.0)
    with pytest.raises(Failure, match="movies of 200 × 120 px"):
        find_orientation(averages, tmp_path / "other.mrc")


def test_super_resolution_movies_of_a_sensors_reference(tmp_path):
    of = camera(shape=(90, 110))
    large = draw_camera(180, 220, 0.0, 0, 0, np.random.default_rng(0))
    large.gain[:] = np.repeat(np.repeat(of.gain, 2, axis=0), 2, axis=1)
    large.dead[:] = large.gain == 0
    found = find_orientation(average_frames(movies(large, 0.5), 200), stored(tmp_path, of, 180, "none"))
    assert found.decided and (found.rotation, found.flip) == (180, "none")


def test_averages_are_of_the_first_frames_of_several_movies_less_the_dark():
    of = camera()
    averages = average_frames(movies(of, count=25, frames=30), 200).less(np.full(of.gain.shape, 0.25, np.float32))
    first = np.mean([Counts(of, 1.0, 30, number).read(frame, frame + 1)[0] for number in range(0, 20, 2) for frame in range(10)], axis=0)
    assert averages.frames == 200 and averages.halves[0] == pytest.approx(first - 0.25, abs=1e-5)
    assert average_frames(movies(of, count=1, frames=7), 200).halves[1] is None
    assert average_frames([], 200) is None


@pytest.mark.parametrize("wrong", [0.0, 0.06])
def test_what_a_reference_leaves_is_measured(tmp_path, wrong):
    of = camera(shape=(256, 256))
    off = 1 + wrong * np.random.default_rng(5).normal(size=of.gain.shape)
    write_mrc(tmp_path / "gain.mrc", of.gain * off, 1.0)
    left = residual_gain(averages_of(of.gain.shape), read_gain(tmp_path / "gain.mrc", of.gain.shape))
    if wrong:
        assert left == pytest.approx(wrong, rel=0.15)
    else:
        assert left < 0.02
