import numpy as np
import pytest

from cryoloom.numerics.align.local_schedule import angular_step, next_sampling


@pytest.mark.parametrize(
    ("target", "box", "pixel_size"),
    [(5.0, 242, 1.661), (2.6, 300, 1.34)],
)
def test_pixels_and_box_are_those_of_the_paper(target, box, pixel_size):
    found = next_sampling(target, None, 300, 1.34, wide=False)
    assert found.box == box and found.pixel_size == pytest.approx(pixel_size, abs=5e-4)


def test_a_target_is_approached_by_steps_and_never_beyond_nyquist():
    assert next_sampling(4.0, 20.0, 300, 1.34, wide=False).target == pytest.approx(16.0)
    assert next_sampling(4.0, 20.0, 300, 1.34, wide=True).target == pytest.approx(10.0)
    assert next_sampling(1.0, None, 300, 1.34, wide=False).target == pytest.approx(2.68)


def test_small_boxes_and_unwanted_sampling_stay():
    assert next_sampling(40.0, None, 32, 4.0, wide=False).box == 32
    assert next_sampling(40.0, None, 300, 1.34, wide=False).box == 40
    assert next_sampling(40.0, None, 300, 1.34, wide=False, adapt=False).box == 300


def test_a_step_moves_the_rim_by_one_detail():
    assert np.tan(np.deg2rad(angular_step(300, 1.34, 10.0, wide=False))) * 402 == pytest.approx(10.0)
    assert angular_step(300, 1.34, 4.0, wide=True) == 3.0
