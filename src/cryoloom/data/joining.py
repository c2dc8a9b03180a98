"""Sets of one kind as one: each item once, optics groups matched by what they say, numbers given anew where they mean other items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data.identity import family, name_column, on_trust, other_items
from cryoloom.data.selections import OF_A_PART
from cryoloom.tables import Dataset, union

MICROGRAPHS = 1 << 20
"""Ids that one block of micrographs, and the items of one micrograph, have to themselves: ``id = micrograph_id << 20 | number``."""

Optics = list[dict[str, Any]]


def mixed_kinds(sets: Sequence[Dataset]) -> str:
    """Return what the kinds of sets are where there are several, nothing where there is one."""
    kinds = list(dict.fromkeys(each.kind for each in sets))
    return f"they are of different kinds, {' and '.join(kinds)}" if len(kinds) > 1 else ""


@dataclass(frozen=True)
class Joined:
    """A set of several, and what is in them.

    Attributes
    ----------
    dataset
        Each item once.
    repeated
        Items of later sets that an earlier one has.
    halves_lost
        Whether the sets' half sets say nothing of all of them together, and are gone.
    """

    dataset: Dataset
    repeated: int
    halves_lost: bool


def joined(sets: Sequence[Dataset], *, apart: bool = False) -> Joined:
    """Return the items of all sets, whose equal ids name the same: each once, with the row of the first set that has it.

    Parameters
    ----------
    apart
        Keep the optics groups of different sets apart even if they say the same.
    """
    parts, seen, halves_lost = [sets[0]], _ids_and_halves(sets[0]), False
    for each in sets[1:]:
        rows = _ids_and_halves(each)
        both = rows.join(seen, on="id")
        halves_lost |= not both.filter(pl.col("half_set") != pl.col("half_set_right")).is_empty()
        new = rows.join(seen, on="id", how="anti", maintain_order="left")
        if new.height:
            parts.append(each if new.height == rows.height else each.select(new["id"]))
            seen = pl.concat([seen, new])
    optics, numbers = merged_optics([part.optics for part in parts], apart=apart)
    whole = union(parts, optics=optics, meta=common_meta(parts))
    moved = [_with_groups(part, mapping) for part, mapping in zip(parts, numbers, strict=True) if any(a != b for a, b in mapping.items())]
    whole = whole.with_columns(pl.concat(moved)) if moved else whole
    halves_lost |= seen["half_set"].null_count() not in (0, seen.height)
    if halves_lost:
        whole = whole.with_columns(seen.select("id", half_set=pl.lit(None, pl.Int64)))
    return Joined(whole, sum(map(len, sets)) - len(whole), halves_lost)


def _ids_and_halves(dataset: Dataset) -> pl.DataFrame:
    rows = dataset.scan(["half_set"])
    half = pl.col("half_set") if "half_set" in dataset.schema else pl.lit(None)
    return rows.select("id", half_set=half.cast(pl.Int64)).collect()


def merged_optics(groups: Sequence[Optics], *, apart: bool = False) -> tuple[Optics, list[dict[int, int]]]:
    """Return the optics groups of several sets as one list, and for each set which number each of its groups has there.

    Groups that say the same but for their number and name are one (unless kept `apart`); others get the next free number, and a name that
    no other has.
    """
    merged: Optics = []
    numbers: list[dict[int, int]] = []
    for of_set in groups:
        mapping: dict[int, int] = {}
        taken = len(merged)
        for group in of_set:
            same = [] if apart else [each for each in merged[:taken] if _values(each) == _values(group)]
            if same:
                mapping[group["optics_group"]] = same[0]["optics_group"]
                continue
            number = _free(group["optics_group"], {each["optics_group"] for each in merged})
            mapping[group["optics_group"]] = number
            merged.append({**group, "optics_group": number, **_named(group, number, merged)})
        numbers.append(mapping)
    return merged, numbers


def _values(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("optics_group", "optics_group_name") and value is not None}


def _free(number: int, taken: set[int]) -> int:
    return number if number not in taken else max(taken) + 1


def _named(group: Mapping[str, Any], number: int, others: Optics) -> dict[str, str]:
    name = str(group.get("optics_group_name") or "")
    if not name or name not in {each.get("optics_group_name") for each in others}:
        return {}
    return {"optics_group_name": f"opticsGroup{number}" if name.startswith("opticsGroup") else f"{name}_{number}"}


def _with_groups(part: Dataset, mapping: Mapping[int, int]) -> pl.DataFrame:
    group = pl.col("optics_group").cast(pl.Int64).replace_strict(dict(mapping), return_dtype=pl.Int64)
    return part.scan(["optics_group"]).with_columns(group).collect()


def common_meta(sets: Sequence[Dataset]) -> dict[str, Any]:
    """Return what is said of all sets alike and holds of them together."""
    first, *rest = (each.meta for each in sets)
    return {name: value for name, value in first.items() if name in OF_A_PART and all(meta.get(name) == value for meta in rest)}


def unequal_sizes(sets: Sequence[Dataset]) -> str:
    """Return the boxes and pixel sizes of the sets in words where they are not all the same, nothing where they are."""
    sizes = [sorted(_sizes(each), key=str) for each in sets]
    if len({size for of_set in sizes for size in of_set}) < 2:
        return ""
    return "; ".join(f"set {number} {', '.join(map(_size, of_set))}" for number, of_set in enumerate(sizes, 1))


def _sizes(dataset: Dataset) -> set[tuple[int | None, float | None]]:
    """Return boxes (px) and pixel sizes (Å) of a set's images: its optics groups tell them, or (classes, maps) what is said of the whole."""
    if dataset.optics:
        return {(group.get("box_size"), group.get("pixel_size")) for group in dataset.optics}
    boxes = dataset.items["box_size"].unique().to_list() if "box_size" in dataset.schema else [dataset.meta.get("box_size")]
    return {(box, dataset.meta.get("pixel_size")) for box in boxes}


def _size(size: tuple[int | None, float | None]) -> str:
    box, pixel = size
    return " of ".join(part for part in (f"{box} px" if box else "", f"{pixel:.4g} Å" if pixel else "") if part) or "unknown"


def renumbered(sets: Sequence[Dataset]) -> list[Dataset]:
    """Return the sets with new ids where an id of a set before them names another item; ``original_id`` is the one it had.

    Micrographs of other spaces are moved by whole blocks of 2²⁰ numbers, and their items with them, so that sets of movies, CTFs and
    particles that are joined in one order fit each other as before. Classes and maps are numbered on.
    """
    found = [sets[0]]
    for each in sets[1:]:
        foreign = next((before for before in found if clashes(before, each)), None)
        found.append(each if foreign is None else _moved(each, found))
    return found


def clashes(one: Dataset, two: Dataset) -> bool:
    """Return whether numbers of items or micrographs mean one thing in one set and something else in the other, or may do so.

    Sets that are joined lose the rows of an item they share but for one: that they do share it must be known.
    """
    common = not one.scan([]).join(two.scan([]), on="id", how="semi").head(1).collect().is_empty()
    return (common and (bool(other_items(one, two)) or on_trust(one, two))) or (family(one) == "particle" and _micrographs_differ(one, two))


def _micrographs_differ(one: Dataset, two: Dataset) -> bool:
    """Return whether one number of a micrograph means different ones in two sets of particles or coordinates."""
    frames = []
    for each in (one, two):
        name = name_column(each)
        if name is None:
            return False
        frames.append(each.scan(["micrograph_id", name]).select("micrograph_id", name=pl.col(name)).unique())
    other = frames[0].join(frames[1], on="micrograph_id").filter(pl.col("name") != pl.col("name_right")).head(1)
    return not other.collect().is_empty()


def _moved(dataset: Dataset, before: Sequence[Dataset]) -> Dataset:
    """Return a set with ids beyond those of the sets before it."""
    rows = dataset.items
    last = max(_largest(each, "id") for each in before)
    new: dict[str, pl.Expr] = {"id": pl.col("id") + last}
    if family(dataset) == "micrograph":
        new = {"id": pl.col("id") + _block(last, MICROGRAPHS)}
        new |= {"micrograph_id": pl.col("micrograph_id") + _block(last, MICROGRAPHS)} if "micrograph_id" in rows.columns else {}
    elif family(dataset) == "particle":
        new = {"id": pl.col("id") + _block(last, MICROGRAPHS**2)}
        if any(_micrographs_differ(each, dataset) for each in before):
            micrographs = max(_largest(each, "micrograph_id") for each in before)
            new["micrograph_id"] = pl.col("micrograph_id") + _block(micrographs, MICROGRAPHS)
    elif "class_id" in rows.columns:
        new["class_id"] = pl.col("class_id") + max(_largest(each, "class_id") for each in before)
    original = pl.col("original_id").fill_null(pl.col("id")) if "original_id" in rows.columns else pl.col("id")
    rows = rows.with_columns(original_id=original, **new)
    meta = {name: value for name, value in dataset.meta.items() if name != "id_space"}
    return type(dataset)(rows, dataset.root, optics=dataset.optics, meta=meta)


def _largest(dataset: Dataset, column: str) -> int:
    return dataset.scan([column]).select(pl.col(column).max()).collect().item() or 0


def _block(last: int, size: int) -> int:
    """Return the first multiple of `size` beyond `last`."""
    return (last // size + 1) * size
