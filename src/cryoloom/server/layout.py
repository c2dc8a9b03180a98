"""Where the boxes of a project stand: steps go down, few crossings, what is not connected side by side."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil

SWEEPS = 4
SHELF = 12
"""Columns after which the next connected group of runs starts below; a wider group has a shelf of its own."""

Place = tuple[float, float]


def layout(parents: Mapping[str, Sequence[str]]) -> dict[str, Place]:
    """Return the column and row of each run.

    Parameters
    ----------
    parents
        Of each run, first made first, the runs whose outputs it takes; names that are no keys are passed over.

    Returns
    -------
    dict
        ``(column, row)`` of each, columns in halves. Within its group a run's row is the length of the longest path to it from a run without
        inputs. In a row columns follow the mean of the neighbours and are one or more apart. Linear in runs and edges, but for the sorting.
    """
    above = {name: [each for each in dict.fromkeys(given) if each in parents] for name, given in parents.items()}
    below: dict[str, list[str]] = defaultdict(list)
    for name, given in above.items():
        for each in given:
            below[each].append(name)
    rows = _rows(above, below)
    places: dict[str, Place] = {}
    left = top = tallest = 0
    for group in _groups(above, below):
        columns = _columns(group, rows, above, below)
        width = ceil(max(columns.values())) + 1
        if left and left + width > SHELF:
            left, top, tallest = 0, top + tallest, 0
        places |= {name: (left + columns[name], float(top + rows[name])) for name in group}
        left, tallest = left + width, max(tallest, max(rows[name] for name in group) + 1)
    return places


def _rows(above: Mapping[str, Sequence[str]], below: Mapping[str, Sequence[str]]) -> dict[str, int]:
    rows = dict.fromkeys(above, 0)
    waiting = {name: len(given) for name, given in above.items()}
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:
        for each in below.get(name, ()):
            rows[each] = max(rows[each], rows[name] + 1)
            waiting[each] -= 1
            if waiting[each] == 0:
                ready.append(each)
    return rows


def _groups(above: Mapping[str, Sequence[str]], below: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the names that hang together, those made first first."""
    group_of: dict[str, int] = {}
    groups: list[list[str]] = []
    for name in above:
        if name not in group_of:
            group_of[name] = len(groups)
            groups.append([])
            members = [name]
            for each in members:
                for near in (*above[each], *below.get(each, ())):
                    if near not in group_of:
                        group_of[near] = group_of[name]
                        members.append(near)
        groups[group_of[name]].append(name)
    return groups


def _columns(
    group: Sequence[str], rows: Mapping[str, int], above: Mapping[str, Sequence[str]], below: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    ranks: dict[int, list[str]] = defaultdict(list)
    for name in group:
        ranks[rows[name]].append(name)
    columns = {name: float(place) for members in ranks.values() for place, name in enumerate(members)}
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for rank in sorted(ranks, reverse=sweep % 2 == 1):
            wanted = {name: _mean([columns[each] for each in near.get(name, ())], columns[name]) for name in ranks[rank]}
            ranks[rank].sort(key=lambda name: (wanted[name], columns[name]))
            columns |= zip(ranks[rank], _apart([wanted[name] for name in ranks[rank]]), strict=True)
    first = min(columns.values())
    return {name: column - first for name, column in columns.items()}


def _apart(wanted: Sequence[float]) -> list[float]:
    """Return places nearest, in squares, to those wanted (ascending), one or more apart, in halves: the pooling of adjacent violators."""
    pools: list[tuple[float, int]] = []  # mean and number of what stands at one distance from its place in the row
    for place, want in enumerate(wanted):
        pool = (want - place, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, count = pools.pop()
            pool = ((mean * count + pool[0] * pool[1]) / (count + pool[1]), count + pool[1])
        pools.append(pool)
    free = [round(2 * mean) / 2 for mean, count in pools for _ in range(count)]
    return [place + each for place, each in enumerate(free)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
