"""sets.select --mode auto: particles go with their class, for their match, and as duplicates; and are counted so."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes2D, Particles
from cryoloom.formats.stack import write_stack
from cryoloom.protocols.sets.select import Select

COUNT = 200


@pytest.fixture
def classified(tmp_path):
    """Return 200 particles in three classes, the third bad, and the classes: bad matches and pairs are planted."""
    rng = np.random.default_rng(1)
    match = rng.normal(1.0, 0.08, COUNT)
    match[:20] = 0.5
    x, y = rng.permutation(COUNT) * 20.0, np.zeros(COUNT)
    # 100 and 101 are one particle, picked twice 60 px apart and moved to one place; 102 and 103 lie as near, each in its own micrograph.
    x[100:104] = 5000.0, 5060.0, 6000.0, 6000.0
    origin = np.zeros(COUNT)
    origin[100], origin[101] = -60.0, 60.0
    match[100], match[101] = 0.9, 1.1
    micrograph = np.zeros(COUNT, np.int64)
    micrograph[103] = 1
    items = pl.DataFrame(
        {
            "id": np.arange(COUNT) + 10, "micrograph_id": micrograph, "x": x, "y": y, "origin_x": origin, "origin_y": np.zeros(COUNT),
            "class_id": np.where(np.arange(COUNT) < 180, 1 + np.arange(COUNT) % 2, 3), "match": match, "enabled": np.arange(COUNT) != 150,
            "optics_group": np.ones(COUNT, np.int64), "stack_path": ["particles.mrcs"] * COUNT, "stack_index": np.arange(COUNT),
        }
    )  # fmt: skip
    write_stack(tmp_path / "averages.mrcs", np.zeros((3, 32, 32), np.float32), 4.0)
    classes = pl.DataFrame(
        {
            "id": [1, 2, 3], "class_id": [1, 2, 3], "count": [90, 90, 20], "quality": [1.0, 0.9, 0.1],
            "stack_path": ["averages.mrcs"] * 3, "stack_index": [0, 1, 2],
        }
    )  # fmt: skip
    optics = [{"optics_group": 1, "pixel_size": 4.0, "micrograph_pixel_size": 2.0}]
    return Particles(items, tmp_path, optics=optics), Classes2D(classes, tmp_path)


def test_what_goes_and_why(classified, checkpoint_job):
    particles, classes = classified
    protocol = Select(items=particles, classes=classes, mode="auto")
    out = protocol.run(checkpoint_job())
    kept = set(out.particles.items["id"] - 10)
    assert kept == set(range(20, 180)) - {100, 150}  # 100 is the poorer of the pair, 150 is disabled.
    told = protocol.summary(out)
    assert told["selected"] == 158
    assert told["dropped with their class"] == 20
    assert told["dropped for match"] == "20 below 0.75"
    assert told["dropped as duplicates"] == 1
    histogram = protocol.report(out)[1]
    assert list(histogram.marks.values()) == [0.75] and len(histogram.values) == 179


def test_each_can_be_turned_off(classified, checkpoint_job):
    particles, classes = classified
    everything = Select(items=particles, classes=classes, mode="auto", min_match=0.0, min_separation=0.0, min_quality=0.0)
    assert len(everything.run(checkpoint_job()).particles) == COUNT - 1


def test_classes_of_other_programs_are_enough(classified, checkpoint_job):
    particles, classes = classified
    without = Particles(particles.items.drop("match"), particles.root, optics=particles.optics)
    protocol = Select(items=without, classes=classes, mode="auto")
    out = protocol.run(checkpoint_job())
    assert len(out.particles) == 179
    assert "dropped for match" not in protocol.summary(out)
