"""sets.join: several sets of a kind as one."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from cryoloom.data import AnySet, OneSet, Volume
from cryoloom.data.joining import clashes, joined, mixed_kinds, renumbered, unequal_sizes
from cryoloom.formats.map_sets import rows_of, stored_map
from cryoloom.report.maps import map_panel
from cryoloom.spec import Hint, Input, Job, Panel, Param, Protocol

SameId = Annotated[
    Literal["same-item", "renumber"],
    BeforeValidator(lambda value: {"true": "renumber", "false": "same-item"}.get(str(value).lower(), value)),
]
"""What equal ids mean, also as Scipion's form says it: renumber or not."""

COMPARED = 6
"""Maps of which every pair is compared; of more each is compared with the first."""
LARGEST = 400
"""Voxels a side up to which maps are compared."""

_OF_ALL = {"gain_blake3": "gain references", "dark_blake3": "dark references", "defects_blake3": "maps of bad pixels"}


class Join(
    Protocol,
    id="sets.join",
    version=2,
    outputs=OneSet,
    aliases=("ProtUnionSet", "ProtJoinSets"),
):
    """Put several sets of a kind together. Images stay where they are; rows too, as far as their ids and columns allow.

    An item that is in several sets is kept once, with the row of the first. Columns that a set lacks are empty in its rows.
    """

    items: tuple[AnySet, ...] = Input(
        "Sets", help="At least two, of one kind; repeat the flag.", many=True, aliases=("sets", "inputSets", "set", "others")
    )
    same_id: SameId = Param(
        "Equal ids", "same-item", aliases=("renumber",),
        help="same-item: equal ids must name one item; sets numbered apart, as different pickings and imports are, are refused if their ids clash. "
        "renumber: the later set then gets ids and micrograph numbers of its own, and keeps the old ones as original_id. Maps are numbered anew.",
    )  # fmt: skip
    optics: Literal["merge", "apart"] = Param(
        "Optics groups", "merge",
        help="merge: groups that say the same are one, others get numbers of their own. apart: each set keeps its own groups, so that beam tilt or "
        "defocus errors of two sessions can differ.",
    )  # fmt: skip
    sizes: Literal["equal", "any"] = Param(
        "Boxes and pixels", "equal",
        help="equal: boxes and pixel sizes must be the same. any: each optics group keeps its own; alignment then resamples the smaller groups.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if len(self.items) < 2:
            yield Hint("items", "is one set: give at least two, the flag repeated")
        elif kinds := mixed_kinds(self.items):
            yield Hint("items", f"cannot be joined: {kinds}")
        elif repeated := self._repeated():
            yield Hint("items", f"has one set twice, {repeated}: give each once")
        else:
            yield from self._apart()

    def _repeated(self) -> str:
        tables = [each.stored for each in self.items]
        twice = next((number for number, table in enumerate(tables) if table is not None and table in tables[:number]), None)
        return "" if twice is None else f"as {tables.index(tables[twice]) + 1} and {twice + 1}"

    def _apart(self) -> Iterator[Hint]:
        """Yield what keeps sets of one kind from being one."""
        sizes = unequal_sizes(self.items)
        if sizes and self.items[0].kind in ("classes2d", "classes3d", "volume"):
            yield Hint("items", f"cannot be joined, their images differ: {sizes}. {self._cure}")
        elif sizes and self.sizes == "equal":
            yield Hint("sizes", f"of the sets differ: {sizes}. Extract again, or allow it", fix="any")
        for name, what in _OF_ALL.items():
            if len({each.meta.get(name) for each in self.items}) > 1:
                yield Hint("items", f"cannot be joined: their {what} differ. Align each set, then join the micrographs")
        if not self._renumbers:
            for number, each in enumerate(self.items[1:], 2):
                first = next((before for before, other in enumerate(self.items[: number - 1], 1) if clashes(other, each)), None)
                if first is not None:
                    yield Hint(
                        "same_id",
                        f"same-item does not hold: sets {first} and {number} use the same ids for other items, as different pickings and imports do, or do not "
                        "tell that they are the same",
                        fix="renumber",
                    )
                    return

    @property
    def _cure(self) -> str:
        return "Bring them to one by volumes.resize first" if self.items[0].kind == "volume" else "Resize them first"

    def preview(self) -> Mapping[str, int]:
        found = joined(self._sets(), apart=self.optics == "apart")
        return {"kept": len(found.dataset), "of": sum(map(len, self.items)), "in several sets": found.repeated}

    def run(self, job: Job) -> OneSet:
        found = joined(self._sets(), apart=self.optics == "apart")
        if found.halves_lost:
            job.warn("Not all sets have half sets, or they disagree: the joined set has none, and refinement divides it anew.")
        told = {"mode": "join", "by": f"{len(self.items)} sets", "by_hand": False, "of": sum(map(len, self.items))}
        whole = found.dataset.with_meta(selection=told, repeated=found.repeated)
        return OneSet.of(whole.with_meta(pairs=self._compared(job, whole)) if isinstance(whole, Volume) else whole)

    def _compared(self, job: Job, whole: Volume) -> list[dict[str, Any]]:
        """Return how alike the maps are once one is laid on the other, and say where only its mirror image fits: their mean would be no map."""
        import torch

        from cryoloom.numerics.align.maps import align_map

        torch.set_num_threads(1)
        rows = rows_of(whole)
        numbers = [(one, two) for one in range(len(rows)) for two in range(one + 1, len(rows)) if one == 0 or len(rows) <= COMPARED]
        found: list[dict[str, Any]] = []
        for done, (one, two) in enumerate(numbers):
            job.progress(done, len(numbers), f"maps {one + 1} and {two + 1}")
            first, second = stored_map(whole, rows[one]), stored_map(whole, rows[two])
            if max(len(first.data), len(second.data)) > LARGEST:
                job.warn(
                    f"Maps of more than {LARGEST} voxels a side are not compared; make them smaller by volumes.resize to have them compared."
                )
                return []
            place = align_map(second.data, first.data, first.pixel_size, try_hand=True)
            found.append(
                {
                    "one": one + 1,
                    "two": two + 1,
                    "correlation": place.correlation,
                    "mirrored": place.mirrored,
                    "other_hand": place.other_hand,
                }
            )
            if place.mirrored:
                job.warn(
                    f"The mirror image of map {two + 1} fits map {one + 1} better ({place.correlation:.2f}) than the map itself ({place.other_hand:.2f}): "
                    "they are of opposite hand, and no mean of them is a map. Flip one by volumes.flip_hand, or lay all on one by volumes.align."
                )
        return found

    @property
    def _renumbers(self) -> bool:
        return self.same_id == "renumber" or self.items[0].kind == "volume"

    def _sets(self) -> list[Any]:
        return renumbered(self.items) if self._renumbers else list(self.items)

    def summary(self, out: OneSet) -> Mapping[str, Any]:
        whole = out.only
        if whole is None:
            return {}
        told: dict[str, Any] = {"joined": len(whole), "from": " + ".join(str(len(each)) for each in self.items)}
        told["in several sets"] = whole.meta["repeated"]
        if whole.optics:
            told["optics groups"] = len(whole.optics)
        if pairs := whole.meta.get("pairs"):
            alike = [each["correlation"] for each in pairs]
            told["correlation of the maps"] = f"{min(alike):.2f} to {max(alike):.2f}" if len(alike) > 1 else f"{alike[0]:.2f}"
            told["opposite hands"] = ", ".join(f"{each['one']} and {each['two']}" for each in pairs if each["mirrored"]) or "none"
        return told

    def methods(self, out: OneSet) -> str:
        sizes = " and ".join(str(len(each)) for each in self.items)
        return f"Sets of {sizes} {self.items[0].kind} were joined to one of {0 if out.only is None else len(out.only)}."

    def report(self, out: OneSet) -> list[Panel]:
        from cryoloom.report.panels import Funnel

        kind = self.items[0].kind
        sets = [(f"Set {number}", len(each), kind) for number, each in enumerate(self.items, 1)]
        whole = 0 if out.only is None else len(out.only)
        panels: list[Panel] = [
            Funnel(title="Sets joined", steps=[*sets, ("Joined", whole, kind)], caption="An item of several sets counts once.")
        ]
        if isinstance(out.only, Volume):
            maps = [stored_map(out.only, row) for row in rows_of(out.only)]
            panels.append(
                map_panel("Maps", [each.data for each in maps], [f"map {each.row['id']}" for each in maps], "Slices through the centre.")
            )
            panels += self._likeness(out.only.meta.get("pairs", []))
        return panels

    def _likeness(self, pairs: list[dict[str, Any]]) -> list[Panel]:
        from cryoloom.report.panels import TableView

        if not pairs:
            return []
        columns: dict[str, list[Any]] = {
            "maps": [f"{each['one']} and {each['two']}" for each in pairs],
            "correlation": [each["correlation"] for each in pairs],
            "hands": ["opposite" if each["mirrored"] else "the same" for each in pairs],
            "of the other hand": [each["other_hand"] for each in pairs],
        }
        caption = "The second laid on the first, at 25 Å (finer for small particles). Maps of opposite hand must not be averaged."
        return [TableView(title="How alike the maps are", columns=columns, caption=caption)]
