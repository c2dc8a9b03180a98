import numpy as np
import polars as pl
import pytest

from cryoloom.data import Particles
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import read_particles, write_stack
from cryoloom.spec import Failure


@pytest.fixture
def stacks(tmp_path):
    rng = np.random.default_rng(4)
    images = {name: rng.normal(size=(count, 6, 6)).astype(np.float32) for name, count in (("a.mrcs", 5), ("b.mrcs", 3))}
    for name, data in images.items():
        write_stack(tmp_path / name, data, 1.5)
    write_mrc(tmp_path / "c.mrc", images["a.mrcs"][0], 1.5)
    return images


def particles(root, places):
    table = pl.DataFrame({"stack_path": [path for path, _ in places], "stack_index": [index for _, index in places]})
    rows = table.with_row_index("id").with_columns(pl.col("id").cast(pl.Int64), micrograph_id=pl.lit(1), optics_group=pl.lit(1))
    return Particles(rows, root)


def test_images_come_in_the_order_of_the_rows(tmp_path, stacks):
    places = [("b.mrcs", 2), ("a.mrcs", 4), ("a.mrcs", 0), ("b.mrcs", 0), ("a.mrcs", 4)]
    expected = np.stack([stacks[name][index] for name, index in places])
    table = particles(tmp_path, places)
    got = read_particles(table)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert np.array_equal(got, expected)
    assert np.array_equal(read_particles(table, slice(1, 4)), expected[1:4])
    assert np.array_equal(read_particles(table, np.array([4, 0])), expected[[4, 0]])
    assert read_particles(table, slice(0, 0)).shape[0] == 0
    assert np.array_equal(read_particles(particles(tmp_path, [("c.mrc", 0)]))[0], stacks["a.mrcs"][0])


def test_mistakes_name_the_stack(tmp_path, stacks):
    with pytest.raises(Failure, match=r"b\.mrcs: image 4 is asked for, the stack holds 3"):
        read_particles(particles(tmp_path, [("a.mrcs", 0), ("b.mrcs", 3)]))
    write_stack(tmp_path / "d.mrcs", np.zeros((2, 8, 8)), 1.5)
    with pytest.raises(Failure, match="beside others"):
        read_particles(particles(tmp_path, [("a.mrcs", 0), ("d.mrcs", 0)]))


def test_small_stacks_in_half_precision(tmp_path, stacks):
    write_stack(tmp_path / "h.mrcs", stacks["a.mrcs"], 1.5, mode=12)
    assert read_mrc(tmp_path / "h.mrcs").data.dtype == np.float16
    assert read_particles(particles(tmp_path, [("h.mrcs", 1)]))[0] == pytest.approx(stacks["a.mrcs"][1], rel=1e-3)
    with pytest.raises(ValueError, match="3 axes"):
        write_stack(tmp_path / "i.mrcs", np.zeros((4, 4)), 1.0)
