import numpy as np

from cryoloom.numerics.align import schedule


def seen(crossing, area, turned, certainty, *, local=False):
    return schedule.Observation(crossing, area, turned, 0.1, 0.15, certainty, certainty, 20, local, np.ones(4))


def run(observations, most=25):
    now, states = schedule.start(), []
    for one in observations:
        now = schedule.advance(now, one, most)
        states.append(now)
    return states


def test_searches_stay_global_until_poses_are_steady_and_sure():
    growing = [seen(10 + n, 10.0 + n, 3.0, 0.99) for n in range(6)]
    assert not any(state["local"] for state in run(growing))
    steady = [seen(10 + n, 10.0 + n, 0.5, 0.99) for n in range(6)]
    assert [state["local"] for state in run(steady)] == [False, False, True, True, True, True]
    unsure = [seen(10 + n, 10.0 + n, 0.5, 0.6) for n in range(6)]
    assert not any(state["local"] for state in run(unsure))


def test_a_global_search_comes_back_among_local_ones():
    now, kinds = schedule.start(), []
    for n in range(14):
        now = schedule.advance(now, seen(10 + n, 10.0 + n, 0.2, 0.99, local=now["local"]), 25)
        kinds.append(now["local"])
    assert kinds[2:].count(False) >= 2


def test_it_ends_when_nothing_improves_or_at_the_limit():
    flat = run([seen(10, 10.0, 0.2, 0.99)] * 8)
    assert schedule.converged(flat[-1]) and not schedule.converged(flat[2])
    growing = run([seen(10 + n, 10.0 + n, 0.2, 0.99) for n in range(8)], most=6)
    assert [schedule.converged(state) for state in growing].index(True) == 5


def test_it_does_not_end_while_poses_come_to_rest_or_grow_surer():
    settling = [seen(10, 10.0, 20.0 * 0.8**n, 0.6) for n in range(9)]
    assert not any(schedule.converged(state) for state in run(settling))
    surer = [seen(10, 10.0, 2.0, 0.3 + 0.05 * n) for n in range(9)]
    assert not any(schedule.converged(state) for state in run(surer))
    creeping = [seen(10, 10.0, 0.1 * 0.8**n, 0.99) for n in range(9)]
    assert schedule.converged(run(creeping)[-1])


def test_the_turn_that_matters_shrinks_with_size_and_resolution():
    turned = np.full(10, 1.0)
    still = [schedule.Observation.of(np.ones(30), 20, turned, turned, turned, 20, local=False, waves=waves).still for waves in (2.0, 20.0)]
    np.testing.assert_allclose(still[0], 10 * still[1])


def test_the_band_follows_the_crossing_with_a_margin_and_never_leaves_what_was_inserted():
    fsc = np.concatenate([np.ones(15), np.zeros(18)])
    assert schedule.next_band(fsc, 30) == 14 + schedule.MARGIN
    assert schedule.next_band(np.ones(33), 20) == 20
    assert schedule.insertion_shell(20, 25) == 25 and schedule.insertion_shell(20, 60) == 30


def test_the_prior_on_shifts_ignores_strays():
    rng = np.random.default_rng(0)
    shifts = rng.normal(size=(2000, 2)) * 3
    shifts[:300] *= 20
    assert 3.0 < schedule.shift_spread(shifts, 100) < 5.0
    assert schedule.shift_spread(np.zeros((10, 2)), 100) > 1.0
