"""Where boxes stand: apart, below what they take from, without needless crossings, and always the same."""

import random

from cryoloom.server.layout import SHELF, layout


def edges(parents):
    return [(each, name) for name, given in parents.items() for each in given if each in parents]


def crossings(parents, places):
    lines = [(places[a], places[b]) for a, b in edges(parents)]
    return sum(
        1
        for number, ((ax, ay), (bx, by)) in enumerate(lines)
        for (cx, cy), (dx, dy) in lines[number + 1 :]
        if (ay, by) == (cy, dy) and (ax - cx) * (bx - dx) < 0
    )


def test_a_chain_goes_straight_down():
    assert layout({"a": [], "b": ["a"], "c": ["b"]}) == {"a": (0, 0), "b": (0, 1), "c": (0, 2)}


def test_a_parent_stands_over_the_middle_of_what_rests_on_it():
    places = layout({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
    assert places["b"][0] == 0 and places["c"][0] == 1
    assert 0 <= places["a"][0] <= 1 and places["a"][0] == places["d"][0] == 0.5


def test_branches_that_were_made_crosswise_are_untangled():
    parents = {"a": [], "b": [], "x": ["b"], "y": ["a"], "top": ["a", "b"], "end": ["x", "y"]}
    assert crossings(parents, layout(parents)) == 0


def test_what_is_not_connected_stands_side_by_side_and_then_below():
    places = layout({f"r{number}": [] for number in range(3 * SHELF)})
    assert len(set(places.values())) == 3 * SHELF
    assert max(column for column, _ in places.values()) == SHELF - 1 and max(row for _, row in places.values()) == 2


def test_unknown_parents_are_passed_over():
    assert layout({"a": ["gone"]}) == {"a": (0, 0)}
    assert layout({}) == {}


def test_two_thousand_runs_never_overlap_and_edges_go_down():
    draw = random.Random(3)
    names = [f"r{number:04d}" for number in range(2000)]
    parents = {
        name: draw.sample(names[max(0, place - 12) : place], min(place, draw.choice([0, 1, 1, 1, 2]))) for place, name in enumerate(names)
    }
    places = layout(parents)
    assert places == layout(parents) and set(places) == set(names)
    by_row = {}
    for column, row in places.values():
        by_row.setdefault(row, []).append(column)
    for columns in by_row.values():
        columns.sort()
        assert all(right - left >= 1 for left, right in zip(columns, columns[1:], strict=False))
    assert all(places[parent][1] < places[child][1] for parent, child in edges(parents))


def test_two_thousand_groups_take_no_square_of_time():
    """Counted, not timed: every name is looked at a few times, however many groups there are."""
    looks = 0

    class Parents(dict):
        def __contains__(self, name):
            nonlocal looks
            looks += 1
            return super().__contains__(name)

    parents = Parents({f"r{number}": [f"r{number - 1}"] if number % 2 else [] for number in range(4000)})
    assert len(layout(parents)) == 4000 and looks < 5 * 4000
