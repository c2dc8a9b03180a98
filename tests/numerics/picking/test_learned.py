"""Models learn from a few micrographs what particles are, whichever way they are turned."""

import numpy as np
import pytest
from blobby_micrographs import Scenery, draw, matched

from cryoloom.numerics.picking.descriptors import Descriptors, Grain, View
from cryoloom.numerics.picking.features import COUNT, Bases
from cryoloom.numerics.picking.learned import EMPTY, Lesson, Model, TooFew, examples_of, pick

DIAMETER, SIZE = 200.0, 2.4
ACROSS = DIAMETER / SIZE
GRAIN = Grain.fitting(DIAMETER, SIZE)
NONE = np.zeros((0, 2))


class Picking:
    """Four micrographs with ice and gold: two that are learned from, two for judging."""

    def __init__(self, shape="ball", seed=0):
        sceneries = [Scenery(shape_of_particle=shape, ice=2, gold=1, defocus=defocus) for defocus in (9000, 15000, 12000, 20000)]
        drawn = [draw(scenery, seed + number) for number, scenery in enumerate(sceneries)]
        self.images, self.true = [image for image, _ in drawn], [true for _, true in drawn]
        self.views = [View.of(image, SIZE, GRAIN) for image in self.images]

    def model(self, lessons=None):
        lessons = lessons or [Lesson(self.true[number], NONE) for number in (0, 1)]
        return Model.trained(
            GRAIN, [examples_of(self.views[number], lesson, ACROSS, seed=number) for number, lesson in enumerate(lessons)], seed=0
        )

    def judged(self, model, numbers=(2, 3)):
        hits = picked = true = 0
        for number in numbers:
            found = pick(self.views[number], model, least=0.5, distance=0.75 * ACROSS)
            hits += len(matched(np.stack([found.x, found.y], axis=1), self.true[number], 0.2 * ACROSS))
            picked, true = picked + len(found.x), true + len(self.true[number])
        return hits / true, hits / max(picked, 1)


@pytest.fixture(scope="module")
def balls():
    return Picking()


@pytest.fixture(scope="module")
def model(balls):
    return balls.model()


def test_two_micrographs_teach_what_particles_are(balls, model):
    recall, precision = balls.judged(model)
    assert recall >= 0.92 and precision >= 0.92
    told = model.estimates()
    assert told["precision"] == pytest.approx(precision, abs=0.1) and told["recall"] == pytest.approx(recall, abs=0.1)


@pytest.mark.parametrize("shape", ["ring", "rod"])
def test_hollow_and_long_particles(shape):
    """Of those that are among the candidates at all."""
    picking = Picking(shape, seed=10)
    recall, precision = picking.judged(picking.model())
    views, true = picking.views[2:], picking.true[2:]
    lists = [np.stack([view.candidates.x, view.candidates.y], axis=1) for view in views]
    listed = sum(len(matched(*each, 0.2 * ACROSS)) for each in zip(lists, true, strict=True)) / sum(map(len, true))
    assert recall >= 0.9 * listed and precision >= 0.85


def test_a_turned_micrograph_has_the_same_picks(balls, model):
    image = balls.images[2]
    for turns in (1, 2, 3):
        turned = View.of(np.ascontiguousarray(np.rot90(image, turns)), SIZE, GRAIN)
        found = pick(turned, model, least=0.5, distance=0.75 * ACROSS)
        x, y = found.x, found.y
        for _ in range(turns):
            x, y = image.shape[1] - 1 - y, x
        straight = pick(balls.views[2], model, least=0.5, distance=0.75 * ACROSS)
        same = matched(np.stack([x, y], axis=1), np.stack([straight.x, straight.y], axis=1), 1.0)
        assert len(same) >= 0.97 * max(len(x), len(straight.x))


def test_no_turn_of_a_particle_changes_its_features(balls):
    """By any angle: a picture is turned by interpolation, and the features stay nearer than those of another particle."""
    from scipy.ndimage import rotate

    rng = np.random.default_rng(3)
    smooth = np.kron(rng.normal(size=(16, 16)), np.ones((16, 16))).astype(np.float32)
    middle = np.array([127.5])
    parts = [View.of(rotate(smooth, angle, reshape=False, order=3, mode="reflect"), SIZE, GRAIN) for angle in (0, 35, 71)]
    places = Descriptors.joined([view.describe(middle, middle) for view in parts])
    others = balls.views[0].describe(*balls.true[0].T)
    features = Bases.of(others).features(Descriptors.joined([places, others]))
    features = features[:, :76] / features[3:, :76].std(axis=0)  # grey values depend on the picture's rim, which turning changes
    assert features.shape[1] == 76 and COUNT == 90
    moved = np.linalg.norm(features[1:3] - features[0], axis=1).max()
    assert moved < 0.5 * np.median(np.linalg.norm(features[3:] - features[0], axis=1))


def test_wrong_clicks_cost_little(balls, model):
    rng = np.random.default_rng(1)
    lessons = []
    for number in (0, 1):
        clicks = balls.true[number].copy()
        astray = rng.permutation(len(clicks))[: round(0.1 * len(clicks))]
        clicks[astray] = rng.uniform(ACROSS, np.array(balls.images[number].shape)[::-1] - ACROSS, (len(astray), 2))
        lessons.append(Lesson(clicks, NONE))

    def f1(learned):
        recall, precision = balls.judged(learned)
        return 2 * recall * precision / (recall + precision)

    assert f1(balls.model(lessons)) >= f1(model) - 0.05


def test_what_lies_outside_the_region_is_no_background(balls):
    true = balls.true[0]
    half = balls.images[0].shape[1] / 2
    lesson = Lesson(true[true[:, 0] < half], NONE, (0.0, 0.0, half, 640.0))
    examples = examples_of(balls.views[0], lesson, ACROSS, seed=0)
    background = examples.places[~examples.positive][:-EMPTY]  # the last lie in noise
    assert (background[:, 0] <= half).all()
    elsewhere = true[true[:, 0] >= half]
    distance = np.linalg.norm(background[:, None] - true[true[:, 0] < half][None], axis=2)
    assert len(elsewhere) > 3 and distance.min() > 0.18 * ACROSS


def test_what_was_removed_is_learned(balls):
    plain = [Lesson(balls.true[number], NONE) for number in (0, 1)]
    rejected = balls.true[1][:8]  # as if these were something else
    corrected = balls.model([plain[0], Lesson(balls.true[1][8:], rejected)])
    told = corrected.scores(balls.views[1].describe(*rejected.T))
    assert told.mean() < balls.model(plain).scores(balls.views[1].describe(*rejected.T)).mean() - 0.1


def test_too_little_to_learn_from_is_said(balls):
    with pytest.raises(TooFew, match="9 particles are marked: pick at least 10 particles"):
        balls.model([Lesson(balls.true[0][:9], NONE)])
    with pytest.raises(TooFew, match="0 particles"):
        Model.trained(GRAIN, [], seed=0)


def test_an_empty_micrograph_has_no_picks(model):
    empty = View.of(np.random.default_rng(0).poisson(170, (640, 640)).astype(np.float32), SIZE, GRAIN)
    assert len(pick(empty, model, least=0.5, distance=0.75 * ACROSS).x) == 0
    flat = View.of(np.full((640, 640), 5.0, np.float32), SIZE, GRAIN)
    assert len(pick(flat, model, least=0.5, distance=0.75 * ACROSS).x) == 0


def test_other_pixels_give_the_same_picks(balls, model):
    """A micrograph of pixels a third larger, and one that is recorded twice as finely as the model's."""
    import torch

    from cryoloom.numerics.fourier.transforms import resample_images

    for side in (480, 1280):
        image = resample_images(torch.from_numpy(balls.images[2]), (side, side)).numpy()
        size = SIZE * 640 / side
        found = pick(View.of(image, size, GRAIN), model, least=0.5, distance=0.75 * DIAMETER / size)
        places = np.stack([found.x, found.y], axis=1) * 640 / side
        assert len(matched(places, balls.true[2], 0.2 * ACROSS)) >= 0.9 * max(len(balls.true[2]), len(places))
