"""Where the boxes of a project stand: ranks from left to right, few crossings, one component below the other."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

SWEEPS = 4


def layout(parents: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, int]]:
    """Return the column and row of each run.

    Parameters
    ----------
    parents
        Of each run, first made first, the runs whose outputs it takes; names that are no keys are passed over.

    Returns
    -------
    dict
        ``(column, row)`` of each. The column is the length of the longest path from a run without inputs; within a column rows follow the
        barycentre of the neighbours. No two share a place. Linear in runs and edges, but for the sorting.
    """
    above = {name: [each for each in dict.fromkeys(given) if each in parents] for name, given in parents.items()}
    below: dict[str, list[str]] = defaultdict(list)
    for name, given in above.items():
        for each in given:
            below[each].append(name)
    columns = _columns(above, below)
    places: dict[str, tuple[int, int]] = {}
    top = 0
    for component in _components(above, below):
        rows = _rows(component, columns, above, below)
        places |= {name: (columns[name], top + row) for name, row in rows.items()}
        top += max(rows.values()) + 1
    return places


def _columns(above: Mapping[str, Sequence[str]], below: Mapping[str, Sequence[str]]) -> dict[str, int]:
    columns = dict.fromkeys(above, 0)
    waiting = {name: len(given) for name, given in above.items()}
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:
        for each in below.get(name, ()):
            columns[each] = max(columns[each], columns[name] + 1)
            waiting[each] -= 1
            if waiting[each] == 0:
                ready.append(each)
    return columns


def _components(above: Mapping[str, Sequence[str]], below: Mapping[str, Sequence[str]]) -> list[list[str]]:
    seen: set[str] = set()
    found = []
    for name in above:
        if name in seen:
            continue
        seen.add(name)
        members = [name]
        for each in members:
            for near in (*above[each], *below.get(each, ())):
                if near not in seen:
                    seen.add(near)
                    members.append(near)
        found.append([each for each in above if each in set(members)] if len(members) < len(above) else list(above))
    return found


def _rows(
    component: Sequence[str], columns: Mapping[str, int], above: Mapping[str, Sequence[str]], below: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    ranks: dict[int, list[str]] = defaultdict(list)
    for name in component:
        ranks[columns[name]].append(name)
    rows = {name: row for members in ranks.values() for row, name in enumerate(members)}
    for sweep in range(SWEEPS):
        near = above if sweep % 2 == 0 else below
        for rank in sorted(ranks, reverse=sweep % 2 == 1):
            wanted = {name: _mean([rows[each] for each in near.get(name, ())], rows[name]) for name in ranks[rank]}
            ranks[rank].sort(key=lambda name: (wanted[name], rows[name]))
            rows |= {name: row for row, name in enumerate(ranks[rank])}
    return rows


def _mean(values: Sequence[int], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
