"""The cleaner learns: fewer errors after a few steps, on scenes drawn for it."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.learn.segmentation import Segmenter
from cryoloom.numerics.learn.weights import read_weights, write_weights
from cryoloom.numerics.picking.cleaning import ACROSS, level, probability
from training.cleaner import altered, error, judged, targets, train
from training.covered import COVERED, read_covered
from training.scenes import CLASSES, draw_scene


@pytest.fixture(scope="module")
def scenes():
    drawn = [draw_scene(seed, size=96, ranges=COVERED, across=ACROSS) for seed in range(8)]
    return np.stack([level(scene.image) for scene in drawn]), np.stack([scene.classes for scene in drawn])


def test_a_few_steps_reduce_the_loss(scenes, tmp_path):
    pixels, classes = scenes
    told = []
    torch.manual_seed(0)
    network = Segmenter()
    train(network, pixels, classes, 25, batch=4, report=lambda step, loss: told.append(loss))
    wanted, small = (torch.from_numpy(each.astype(np.float32))[:, None] for each in targets(classes))
    seen = torch.from_numpy(pixels)[:, None]
    with torch.inference_mode():
        torch.manual_seed(0)
        losses = [float(error(each(seen), wanted, 1.0 + 2.0 * small)) for each in (Segmenter().eval(), network)]
    assert losses[1] < 0.95 * losses[0] and told[-1] < told[0]
    write_weights(network, tmp_path / "w.npz")
    again = Segmenter()
    read_weights(again, tmp_path / "w.npz")
    image = torch.from_numpy(pixels[0])
    assert torch.allclose(probability(image, network), probability(image, again), atol=0.02)
    assert (tmp_path / "w.npz").stat().st_size < 3e6
    assert 0 <= judged(again, pixels, classes)["iou"] <= 1


def test_scenes_hold_every_kind():
    seen = set().union(*(np.unique(draw_scene(seed, size=128, ranges=COVERED, across=ACROSS).classes) for seed in range(0, 120, 4)))
    assert seen == set(range(len(CLASSES)))


def test_gaps_in_ragged_contaminants_are_to_be_masked_and_films_are_not_small():
    classes = np.zeros((1, 40, 40), dtype=np.uint8)
    classes[0, 10:20:2, 10:20] = CLASSES.index("aggregate")
    classes[0, 30:] = CLASSES.index("carbon")
    wanted, small = targets(classes)
    assert wanted[0, 11, 12] and small[0, 11, 12] and wanted[0, 35, 5] and not small[0, 35, 5] and not wanted[0, 25, 25]


def test_altered_images_are_still_images(scenes):
    image, rng = scenes[0][0], np.random.default_rng(0)
    signs = {np.sign(np.corrcoef(image.ravel(), altered(image, rng).ravel())[0, 1]) for _ in range(60)}
    assert signs == {-1.0, 1.0}


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="draw some first"):
        read_covered(tmp_path)
