"""The kernel machine against leaving examples out for real, and what it makes of probabilities."""

import numpy as np
import pytest

from cryoloom.numerics.picking.kernel_machine import KernelMachine, precision_recall


def two_kinds(count, apart=3.0, seed=0):
    rng = np.random.default_rng(seed)
    positive = np.arange(count) % 3 == 0
    return rng.normal(size=(count, 5)) + apart * positive[:, None] * np.eye(5)[0], positive


def test_margins_of_examples_left_out_are_those_of_machines_that_never_saw_them():
    features, positive = two_kinds(30, apart=1.5)
    machine = KernelMachine.trained(features, positive, np.ones(30))
    standard = (features - machine.centre) / machine.spread
    kernel = np.exp(-machine.gamma * ((standard[:, None] - standard[None]) ** 2).sum(axis=2))
    target = np.where(positive, 1.0, -1.0)
    for out in (0, 7, 29):
        rest = np.arange(30) != out
        system = np.ones((30, 30))
        system[0, 0] = 0.0
        system[1:, 1:] = kernel[np.ix_(rest, rest)] + np.eye(29) / machine.penalty
        bias, *weights = np.linalg.solve(system, np.append(0.0, target[rest]))
        assert machine.left_out[out] == pytest.approx(kernel[out, rest] @ weights + bias, abs=1e-8)


def test_what_lies_apart_is_told_apart_and_probabilities_are_true():
    features, positive = two_kinds(600)
    machine = KernelMachine.trained(features, positive, np.ones(600))
    new, kinds = two_kinds(6000, seed=1)
    chance = machine.probabilities(machine.margins(new))
    assert ((chance > 0.5) == kinds).mean() > 0.9
    for low in (0.1, 0.4, 0.7):
        near = (chance >= low) & (chance < low + 0.2)
        assert kinds[near].mean() == pytest.approx(chance[near].mean(), abs=0.1)


def test_an_example_counts_for_the_places_it_stands_for():
    features, positive = two_kinds(300, apart=1.5)
    share = np.where(positive, 1.0, 10.0)
    few, many = (KernelMachine.trained(features, positive, each) for each in (np.ones(300), share))
    place = features[positive].mean(axis=0, keepdims=True)
    assert many.probabilities(many.margins(place)) < 0.5 * few.probabilities(few.margins(place))
    _, precision, recall = precision_recall(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(precision, [1.0, 1 / 3, 0.5])
    np.testing.assert_allclose(recall, [0.5, 0.5, 1.0])
