import numpy as np
import polars as pl
import pytest

from cryoloom.data import Particles
from cryoloom.formats.alignment import alignable
from cryoloom.formats.common_grid import CommonGrid, interpolation
from cryoloom.formats.stack import write_stack


def blobs(box, pixel_size, centres):
    """Gaussians of 14 Å at places in Å from the centre, valued as a density: the same at every pixel size."""
    at = (np.arange(box) - box // 2) * pixel_size
    return sum(np.exp(-((at[None, :] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * 14.0**2)) for x, y in centres).astype(np.float32)


@pytest.fixture
def two_groups(tmp_path):
    """Make a set of 30 images of 32 px at 4 Å and 12 of 48 px at 3 Å of the same scenes, with or without noise."""

    def make(noise=0.0, constant=()):
        rng = np.random.default_rng(1)
        frames, kinds = [], [(1, 30, 32, 4.0), (2, 12, 48, 3.0)]
        for group, count, box, size in kinds:
            images = np.stack([blobs(box, size, [(n, -20.0), (-30.0, 2.0 * n)]) for n in range(count)])
            images = images + np.float32(noise) * rng.standard_normal(images.shape, dtype=np.float32)
            images[[n for n in constant if n < count]] = 1.0
            write_stack(tmp_path / f"{group}.mrcs", images, size)
            frames.append(
                pl.DataFrame({"stack_path": [f"{group}.mrcs"] * count, "stack_index": np.arange(count), "optics_group": [group] * count})
            )
        items = pl.concat(frames).with_row_index("id").with_columns(pl.col("id").cast(pl.Int64) + 7, micrograph_id=pl.lit(1))
        shared = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1, "contrast": "bright"}
        optics = [{"optics_group": group, "pixel_size": size, "box_size": box, **shared} for group, _, box, size in kinds]
        return Particles(items, tmp_path, optics=optics)

    return make


@pytest.mark.parametrize(
    ("size", "box", "new_size", "new_box"), [(3.0, 48, 4.0, 36), (4.0, 37, 3.1, 40), (3.0, 40, 3.0, 31), (2.0, 64, 4.0, 33)]
)
def test_a_resampled_image_is_that_recorded_at_the_other_pixel_size(size, box, new_size, new_box):
    turn, centres = interpolation(size, box, new_size, new_box), [(10.0, -5.0), (-12.0, 16.0)]
    again = turn @ blobs(box, size, centres) @ turn.T
    # Beyond the old image's edge the new one goes on with its other end.
    inside = np.abs((np.arange(new_box) - new_box // 2) * new_size) < box * size / 2 - 2 * size
    wanted = blobs(new_box, new_size, centres)
    assert np.abs(again - wanted)[np.ix_(inside, inside)].max() < 2e-3
    assert turn.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_images_come_on_the_grid_of_the_largest_group_in_any_order(two_groups):
    particles = two_groups()
    grid = CommonGrid.of(particles, particles.enabled())
    assert (grid.pixel_size, grid.box, grid.foreign) == (4.0, 32, [2])
    assert grid.extent == 128.0 and grid.finest(2) == 8.0
    images = grid.read(np.array([33, 2, 40]))
    assert images.shape == (3, 32, 32)
    for image, number, scale in zip(images, (3, 2, 10), (4 / 3, 1, 4 / 3), strict=True):
        assert np.abs(image - scale * blobs(32, 4.0, [(number, -20.0), (-30.0, 2.0 * number)])).max() < 0.02
    assert len(grid.notices()) == 1 and "Optics group 2 (48 px of 3 Å)" in grid.notices()[0] and "beyond 8 Å" in grid.notices()[0]


def test_white_noise_keeps_its_density_and_a_coarser_group_has_no_weight_beyond_its_nyquist(two_groups):
    particles = two_groups(noise=1.0)
    assert CommonGrid.of(particles, particles.enabled()).read(np.arange(30, 42)).std() == pytest.approx(1.0, abs=0.1)
    # The other way round: the finer group is the larger one.
    fine = replace_rows(particles, particles.items.filter((pl.col("optics_group") == 2) | (pl.col("stack_index") < 5)))
    loaded = alignable(fine, 100.0)
    assert loaded.pixel_size == 3.0 and loaded.box == 48 and len(loaded.images) == 17
    power = loaded.images.total_power()
    assert np.isfinite(power[1]).all() and np.isinf(power[0, 19:]).all() and np.isfinite(power[0, :19]).all()
    assert np.median(power[0, 10:18]) == pytest.approx(np.median(power[1, 10:18]), rel=0.3)
    _, weight = loaded.images.prepare(np.arange(5), loaded.images.plane, power)
    assert (weight[:, loaded.images.plane.shell > 18] == 0).all() and (weight[:, loaded.images.plane.shell == 18] > 0).any()


def test_an_unusable_image_of_a_resampled_group_is_left_out(two_groups):
    particles = two_groups(noise=1.0, constant=[11])
    bad = (pl.col("stack_index") == 11) & (pl.col("optics_group") == 2)
    rows = pl.concat([particles.items.filter(pl.col("stack_index") != 11)] * 5 + [particles.items.filter(bad)])
    loaded = alignable(replace_rows(particles, rows.with_columns(id=pl.int_range(rows.height))), 100.0)
    assert len(loaded.images) == rows.height - 1 and loaded.left_out == {rows.height - 1: "constant"}
    assert any("left out" in warning for warning in loaded.warnings)


def replace_rows(particles, items):
    return Particles(items, particles.root, optics=particles.optics)
