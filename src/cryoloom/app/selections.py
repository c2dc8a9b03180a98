"""Rows chosen in a table or a gallery: how many they are, what can be made of them, and the runs that make it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cryoloom.app import catalogue, forms, preparation, references
from cryoloom.app.outputs import OutputRef
from cryoloom.app.pages import columns_of
from cryoloom.app.runs import Run, all_runs
from cryoloom.data.selections import output_name
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.provenance import ancestry
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import CryoloomError, Protocol, WrongUse

MOST_LISTED = 200_000
"""Ids that a selection made by hand may list in a run's parameters."""
_MICROGRAPHS = ("movies", "micrographs", "ctfs")
_CLASSES = ("classes2d", "classes3d")
_CHOSEN_FROM = (*_MICROGRAPHS, *_CLASSES, "coordinates", "particles", "volume")


@dataclass(frozen=True)
class Selection:
    """Rows of a set.

    Attributes
    ----------
    where
        A rule that they follow; empty for all rows, None for none.
    flipped
        Ids of rows for which it is the other way round: chosen, or left out, by hand.
    """

    where: str | None = None
    flipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Offer:
    """A set that can be made of chosen rows.

    Attributes
    ----------
    id
        ``same``; ``particles`` (of classes or micrographs), ``micrographs``, ``coordinates``; ``ctf``: micrographs whose CTF is to be found anew.
    title
        What it is called.
    source
        The set that it is taken from.
    match
        How that is compared with the rows (see `sets.subset`); empty where the rows are taken from it directly.
    then
        A protocol whose input the new set is to be.
    """

    id: str
    title: str
    source: OutputRef
    match: str = ""
    then: str = ""

    @property
    def kind(self) -> str:
        """Return what kind of set it is."""
        return self.source.kind


def chosen(output: OutputRef, selection: Selection) -> pl.Series:
    """Return the ids of chosen rows, in the set's order.

    Raises
    ------
    WrongUse
        ``unknown-rows``: one that is listed is not there; or what is wrong with the rule.
    """
    (ids,), order = columns_of(output, ["id"], where=selection.where or "")
    taken = np.full(len(ids), selection.where == "" if order is None else False)
    if order is not None and selection.where:
        taken[order.to_numpy()] = True
    if selection.flipped:
        turned = ids.is_in(pl.Series(selection.flipped, dtype=ids.dtype).implode()).to_numpy()
        if turned.sum() != len(set(selection.flipped)):
            raise WrongUse("unknown-rows", f"Some of {len(selection.flipped)} rows chosen by hand are not in {output}.", "Choose again.")
        taken ^= turned
    return ids.filter(pl.Series(taken))


def offers(project: ProjectFolder, output: OutputRef) -> list[Offer]:
    """Return what can be made of rows of an output: a part of it, and what belongs to these rows in sets before and after it."""
    if output.kind not in _CHOSEN_FROM:
        return []
    return [Offer("same", _words(output.kind), output), *_related(project, output)]


def _related(project: ProjectFolder, output: OutputRef) -> Iterator[Offer]:
    above = [found for folder in reversed(ancestry(project, output.run.id)) for found in Run(folder).outputs]
    if output.kind in _CLASSES and (members := _first(above, lambda each: each.kind == "particles" and "class_id" in each.dataset.schema)):
        yield Offer("particles", "particles of these classes", members)
    if output.kind == "particles" and (picks := _first(above, lambda each: each.kind == "coordinates")):
        yield Offer("coordinates", "coordinates of these particles", picks, "id")
    if output.kind not in _MICROGRAPHS:
        return
    micrographs = output if output.kind == "micrographs" else _first(above, lambda each: each.kind == "micrographs")
    if micrographs and micrographs is not output:
        yield Offer("micrographs", "micrographs of these CTFs", micrographs, "micrograph")
    under = {folder.id for folder in project.below([each.run.id for each in (output, micrographs) if each])}
    below = [found for run in reversed(all_runs(project)) if run.id in under and run.state is State.FINISHED for found in run.outputs]
    for kind in ("coordinates", "particles"):
        if found := _first(below, lambda each, kind=kind: each.kind == kind):
            yield Offer(kind, f"{kind} of these micrographs", found, "micrograph")
    if micrographs:
        yield Offer("ctf", "CTF of these micrographs anew", micrographs, "" if micrographs is output else "micrograph", "ctf.estimate")


def _first(found: list[OutputRef], fits: Callable[[OutputRef], bool]) -> OutputRef | None:
    return next((each for each in found if each.run.state is State.FINISHED and fits(each)), None)


def _words(kind: str) -> str:
    return {"classes2d": "classes", "classes3d": "classes", "ctfs": "CTFs", "volume": "maps"}.get(kind, kind)


def check(project: ProjectFolder, output: OutputRef, selection: Selection) -> dict[str, Any]:
    """Return how many rows are chosen and what can be made of them.

    Returns
    -------
    dict
        ``of``, ``count``, ``by_hand`` and ``offers``: of each ``id``, ``title``, ``kind``, ``then``, ``count`` (rows that it would have, as its protocol tells
        before it runs; None if that cannot be told) and ``problem``: what is in the way of it.
    """
    ids = chosen(output, selection)
    found = [_described(output, selection, offer, ids) for offer in offers(project, output)]
    return {"of": output.count, "count": len(ids), "by_hand": bool(selection.flipped), "offers": found}


def _described(output: OutputRef, selection: Selection, offer: Offer, ids: pl.Series) -> dict[str, Any]:
    count, problem = len(ids), ""
    try:
        if ids.is_empty():
            raise WrongUse("nothing-chosen", "No row is chosen.")
        if offer.match:
            part = output.dataset.select(ids)
            count = _would_keep("sets.subset", {"match": offer.match}, {"items": offer.source.dataset, "others": (part,)})
        elif offer.source is not output:
            inputs = {"items": offer.source.dataset, "classes": output.dataset}
            count = _would_keep("sets.select", {"mode": "classes", "ids": _class_ids(output, ids)}, inputs)
        else:
            _parameters(output, selection, ids)
    except CryoloomError as error:
        count, problem = None, error.message
    return {"id": offer.id, "title": offer.title, "kind": offer.kind, "then": offer.then, "count": count, "problem": problem}


def _would_keep(protocol: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    declared: type[Protocol] = catalogue.protocol(protocol)
    built = forms.build(declared, parameters, inputs)
    forms.refuse_hints(built)
    return int(built.preview()["kept"])


def make(
    project: ProjectFolder, output: OutputRef, selection: Selection, *, offer: str = "same", name: str = "", threads: int | None = None
) -> dict[str, Any]:
    """Make and start the run, or the two runs, of what was offered; a rule stays a rule, what was chosen by hand is an id list.

    Returns
    -------
    dict
        ``run``, ``output`` (``RUN.OUTPUT`` of the new set), ``then`` and ``input``: the protocol to go on with, and which of its inputs
        the new set is.

    Raises
    ------
    WrongUse
        ``unknown-offer``, ``nothing-chosen``, ``all-chosen``, ``too-many-chosen``, and what is wrong with the rule.
    """
    wanted = next((each for each in offers(project, output) if each.id == offer), None)
    if wanted is None:
        raise WrongUse("unknown-offer", f"Nothing called {offer!r} can be made of {output}.", "")
    ids = chosen(output, selection)
    if ids.is_empty():
        raise WrongUse("nothing-chosen", "No row is chosen.", "Choose some rows, or give a rule.")
    first = "" if wanted.match else name
    part = ""
    if wanted.match and len(ids) == output.count:
        part = str(output)
    elif wanted.match or wanted.source is output:
        values = {"items": str(output), **_parameters(output, selection, ids)}
        part = _made(project, "sets.select", values, first, threads)
    if wanted.match:
        values = {"items": str(wanted.source), "others": [part], "match": wanted.match}
        part = _made(project, "sets.subset", values, name, threads)
    elif wanted.source is not output:
        values = {"items": str(wanted.source), "classes": str(output), "mode": "classes", "ids": _class_ids(output, ids)}
        part = _made(project, "sets.select", values, name, threads)
    return {"run": part.partition(".")[0], "output": part, "then": wanted.then, "input": "micrographs" if wanted.then else ""}


def _made(project: ProjectFolder, protocol: str, values: Mapping[str, Any], name: str, threads: int | None) -> str:
    """Return the output of a run of one of ``sets``, started unless the same has been done or is at work."""
    run = preparation.prepare(project, protocol, values, name=name)
    if run.state is not State.FINISHED and run.state not in ACTIVE:
        run.start(threads=threads)
    source = references.find_output(project, str(values["items"]))
    return f"{run.id}.{output_name(source.dataset)}"


def _parameters(output: OutputRef, selection: Selection, ids: pl.Series) -> dict[str, Any]:
    """Return what says which rows: the rule, or the ids where somebody chose by hand."""
    if len(ids) == output.count:
        raise WrongUse("all-chosen", f"All {output.count} rows are chosen: that is the set itself.", "Leave some out.")
    if selection.where and not selection.flipped:
        return {"mode": "rule", "where": selection.where.strip()}
    if len(ids) > MOST_LISTED:
        raise WrongUse(
            "too-many-chosen",
            f"{len(ids)} rows, some chosen by hand, would have to be listed; {MOST_LISTED} can be.",
            "Choose by a rule, and take out single rows afterwards.",
        )
    return {"mode": "ids", "ids": ids.to_list()}


def _class_ids(output: OutputRef, ids: pl.Series) -> list[int]:
    (all_ids, numbers), _ = columns_of(output, ["id", "class_id"])
    return numbers.filter(all_ids.is_in(ids.implode())).to_list()
