"""The consensus of classifications that err in known ways."""

from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align.class_consensus import Opinion, consensus, standing

VIEWS = 8


def classification(good, views, rng, *, junk_classes, stray, astray, likeness=True):
    """Return a classification of `VIEWS` classes of views and others of junk: parts `stray` of the junk and `astray` of the particles go wrong."""
    count = len(good)
    member = np.where(good, views, VIEWS + rng.integers(0, junk_classes, count))
    lost = rng.random(count)
    member = np.where(good & (lost < astray), VIEWS + rng.integers(0, junk_classes, count), member)
    member = np.where(~good & (lost < stray), rng.integers(0, VIEWS, count), member)
    match = np.where(good, rng.normal(1.0, 0.15, count), rng.normal(0.8, 0.3, count))
    quality = np.r_[np.ones(VIEWS), np.zeros(junk_classes)]
    return Opinion(member, quality, match[:, None] if likeness else np.zeros((count, 0)))


@pytest.fixture
def truth():
    rng = np.random.default_rng(5)
    return rng.random(3000) > 0.2, rng.integers(0, VIEWS, 3000), rng


def best_precision(score, good, recall):
    """Return the precision where so many of the good are kept."""
    order = np.argsort(score, kind="stable")
    found = np.cumsum(good[order])
    last = int(np.searchsorted(found, recall * good.sum()))
    return found[last] / (last + 1)


def test_two_are_better_than_either(truth):
    good, views, rng = truth
    opinions = [classification(good, views, rng, junk_classes=4, stray=0.3, astray=0.03) for _ in range(2)]
    found = consensus(opinions)
    for each in opinions:
        alone = each.quality[each.member] > 0.5
        assert best_precision(found.junk, good, alone[good].mean()) > good[alone].mean() + 0.02
    kept = found.junk <= 0.5
    assert good[kept].mean() > 0.96 and kept[good].mean() > 0.95


def test_a_class_of_junk_that_looks_good_is_found_out_by_the_other(truth):
    good, views, rng = truth
    one, two = (classification(good, views, rng, junk_classes=3, stray=0.1, astray=0.02, likeness=False) for _ in range(2))
    fooled = replace(one, quality=np.where(np.arange(VIEWS + 3) == VIEWS + 2, 1.0, one.quality))
    inside = fooled.member == VIEWS + 2
    found = consensus([fooled, two])
    assert np.median(found.class_junk[inside, 0]) > 0.7
    assert np.mean(found.junk[inside & ~good] > 0.5) > 0.8


def test_a_classification_whose_averages_nobody_judged_is_learned(truth):
    good, views, rng = truth
    one, two = (classification(good, views, rng, junk_classes=3, stray=0.2, astray=0.02, likeness=False) for _ in range(2))
    found = consensus([one, replace(two, quality=np.full(VIEWS + 3, np.nan))])
    share = [found.class_junk[two.member == number, 1].mean() for number in range(VIEWS + 3)]
    assert max(share[:VIEWS]) < 0.3 and min(share[VIEWS:]) > 0.7


def test_likeness_counts_in_good_classes_only(truth):
    good, views, rng = truth
    one, two = (classification(good, views, rng, junk_classes=3, stray=0.3, astray=0.0) for _ in range(2))
    found = consensus([one, two])
    bad = one.member >= VIEWS
    assert np.abs(found.unlike[bad, 0]).max() < 0.3 * np.abs(found.unlike[~bad, 0]).max()


def test_a_set_without_junk_is_hardly_cut():
    rng = np.random.default_rng(6)
    views, good = rng.integers(0, VIEWS, 2000), np.ones(2000, dtype=bool)
    opinions = [classification(good, views, rng, junk_classes=1, stray=0.0, astray=0.0) for _ in range(2)]
    assert np.mean(consensus(opinions).junk > 0.5) < 0.05


def test_standing_is_within_the_class():
    rng = np.random.default_rng(7)
    member = np.r_[np.zeros(400, np.int64), np.ones(400, np.int64), np.full(3, 2)]
    values = np.r_[rng.normal(10, 1, 400), rng.normal(1000, 50, 400), 1.0, 2.0, 3.0]
    values[0] = np.nan
    found = standing(values, member)
    assert np.abs(found).max() <= 5.0 and found[0] == 0.0 and (found[-3:] == 0.0).all()
    assert found[1:400].std() == pytest.approx(1.0, abs=0.15) and found[400:800].std() == pytest.approx(1.0, abs=0.15)
