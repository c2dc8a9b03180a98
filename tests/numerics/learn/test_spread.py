"""The calibrated spread of poses, on errors whose distribution is known."""

import numpy as np

from cryoloom.numerics.learn.spread import Spread


def poses(count, seed):
    """Return features and errors: what looks unsure is further off, a tenth of it anywhere."""
    rng = np.random.default_rng(seed)
    unsure = rng.uniform(0, 1, count)
    errors = np.where(rng.random(count) < 0.2 * unsure, rng.uniform(0, 180, count), (1 + 4 * unsure) * np.abs(rng.normal(size=count)))
    return np.stack([unsure, rng.normal(size=count)], axis=1), errors


def test_the_stated_part_of_the_errors_is_smaller_wherever_one_looks():
    spread = Spread.of(*poses(2000, 1), 0.68)
    features, errors = poses(6000, 2)
    said = spread(features)
    for part in np.array_split(np.argsort(said), 5):
        assert 0.6 < np.mean(errors[part] <= said[part]) < 0.76
    assert said[features[:, 0] > 0.9].mean() > 3 * said[features[:, 0] < 0.1].mean()


def test_the_spread_never_falls_as_poses_look_less_sure_and_survives_json():
    spread = Spread.of(*poses(300, 3), 0.68)
    assert (np.diff(spread.values) >= 0).all() and (np.diff(spread.knots) >= 0).all()
    features, _ = poses(50, 4)
    assert np.array_equal(Spread.of_numbers(spread.numbers())(features), spread(features))


def test_errors_that_nothing_tells_get_one_spread():
    rng = np.random.default_rng(5)
    spread = Spread.of(rng.normal(size=(400, 2)), np.full(400, 3.0), 0.68)
    assert np.allclose(spread(rng.normal(size=(20, 2))), 3.0)
