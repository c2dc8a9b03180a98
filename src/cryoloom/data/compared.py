"""Whether sets of particles can be compared one by one: the same particles, seen by several methods."""

from collections.abc import Iterator, Sequence

from cryoloom.data.identity import on_trust, other_items
from cryoloom.data.kinds import Particles
from cryoloom.spec import Hint


def not_classified(sets: Sequence[Particles]) -> Hint | None:
    """Return why sets are not those of two or more classifications; None if they are."""
    if len(sets) < 2:
        return Hint("particles", "are of one classification: give at least two, the flag repeated")
    without = [str(number) for number, each in enumerate(sets, 1) if "class_id" not in each.schema]
    if not without:
        return None
    return Hint("particles", f"(set {', '.join(without)}) have no column class_id: give those that a classification has put into classes")


def comparison_hints(sets: Sequence[Particles], parameter: str = "particles") -> Iterator[Hint]:
    """Yield what is wrong with sets that are to be compared, given as one `parameter`; the first of them is compared with each other one."""
    tables = [each.stored for each in sets]
    if any(table is not None and table in tables[:number] for number, table in enumerate(tables)):
        yield Hint(parameter, "hold one set twice, which agrees with itself: give each once")
    for number, each in enumerate(sets, 1):
        ids = each.ids()
        if repeated := len(ids) - ids.n_unique():
            yield Hint(parameter, f"(set {number}{_made_by(each)}) name {repeated} ids more than once: import the set anew")
    first = sets[0]
    for number, each in enumerate(sets[1:], 2):
        both = f"sets 1{_made_by(first)} and {number}{_made_by(each)}"
        if first.scan([]).join(each.scan([]), on="id", how="semi").head(1).collect().is_empty():
            yield Hint(parameter, f"have no particle in common ({both}): give the same particles as two methods left them")
        elif why := other_items(first, each):
            yield Hint(parameter, f"are not the same ones ({both}): {why}")
        elif on_trust(first, each):
            yield Hint(parameter, f"({both}) do not tell where they lie: equal ids are taken on trust", error=False)


def _made_by(particles: Particles) -> str:
    """Return which run made the set, as far as its table tells."""
    table = particles.table
    if table is None:
        return ""
    parts = (table.ids or (*table.base, *table.sidecars)[-1]).path.split("/")
    return f" of {parts[1]}" if parts[0] == "runs" and len(parts) > 2 else ""
