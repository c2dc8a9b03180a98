"""What the detector is taught with: dirty scenes, whose contaminants count for more and are asked for."""

from dataclasses import replace

import numpy as np
import torch

from cryoloom.numerics.learn.batches import Batches
from cryoloom.numerics.learn.detector import Detector
from cryoloom.numerics.learn.detector_loss import CONTAMINANT, TEMPTING, targets
from cryoloom.numerics.learn.fit import Fit
from training.judge import Verdict, grounds
from training.picker import DIRTY_SEED, Taught, examples_of, taught_loss
from training.scenes import CLASSES, DIRTY, draw_scene
from training.shards import draw, read_shards, write_shards

CROWDED = replace(DIRTY, empty=0.0, contaminants=30.0)


def test_dirty_scenes_say_where_the_contaminants_are(tmp_path, monkeypatch):
    monkeypatch.setattr("training.shards.SHARD", 4)
    monkeypatch.setattr("training.shards.draw", lambda first, count, ranges: draw(first, count, size=64, ranges=ranges))
    write_shards(tmp_path, DIRTY_SEED, 2, ranges=CROWDED)
    drawn = read_shards(tmp_path)
    scenes = [draw_scene(DIRTY_SEED + index, size=64, ranges=CROWDED) for index in range(8)]
    lumps = [(scene.classes > 0) & (scene.classes < CLASSES.index("carbon")) & ~scene.ignored for scene in scenes]
    assert np.array_equal(drawn.ground == CONTAMINANT, np.stack(lumps)) and np.any(lumps)
    assert len(drawn.places) == sum(len(scene.centres) for scene in scenes)


def test_the_ground_is_learned_beside_the_particles():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    examples = examples_of(draw(DIRTY_SEED, 6, size=128, ranges=CROWDED))
    fit, batches = Fit(Taught(Detector()), taught_loss, steps=20, rate=3e-3), Batches(examples, 4, 7, crop=96)
    losses = [fit.step(*batches.next()) for _ in range(20)]
    assert max(losses[-6:]) < min(losses[:6])
    images = torch.zeros(1, 1, 64, 64)
    assert torch.equal(fit.mean(images)[:, :4], fit.mean.detector(images))


def test_a_wrong_answer_about_the_ground_costs():
    ground = torch.zeros(1, 64, 64, dtype=torch.uint8)
    ground[:, 32:] = CONTAMINANT
    wanted = targets(torch.zeros(0, 4), ground)
    right = torch.full((1, 5, 16, 16), -20.0)
    right[:, 4] = torch.where(wanted.weight[0] == TEMPTING, 20.0, -20.0)
    wrong = right.clone()
    wrong[:, 4] *= -1.0
    assert float(taught_loss(right, wanted)) < 1e-3 < 1.0 < float(taught_loss(wrong, wanted))


def test_picks_are_counted_by_what_lies_under_them():
    scene = draw_scene(DIRTY_SEED, size=64, ranges=DIRTY)
    scene.classes[:] = 0
    scene.classes[40:50, 10:20] = CLASSES.index("thread")
    centres, confidence = np.array([[14.0, 45.0], [50.0, 10.0], [14.0, 47.0]]), np.array([0.9, 0.5, 0.2])
    assert grounds([scene], Verdict([(centres, confidence)], [np.zeros((0, 2))], 4096)) == {"clean": 1, "thread": 1}
