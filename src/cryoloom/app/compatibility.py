"""Which outputs of a project an input of a protocol can take."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from cryoloom.app import catalogue, references
from cryoloom.app.forms import kinds_of, names_of
from cryoloom.app.outputs import OutputRef
from cryoloom.app.runs import all_runs
from cryoloom.app.suggest import did_you_mean, folded
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import WrongUse
from cryoloom.tables.dataset import dataset_kind, known_kind

GIVES = {State.DRAFT, *ACTIVE}
"""States of runs whose outputs can be taken later."""


def compatible(project: ProjectFolder, protocol: str, name: str) -> list[OutputRef]:
    """Return the outputs that the input `name` of a protocol takes, last made first.

    Of runs that have not finished, those are named that they may come to give. Columns that an input demands are looked for when the
    run is made, not here.

    Raises
    ------
    WrongUse
        ``unknown-protocol`` or ``unknown-parameter``.
    """
    declared = catalogue.protocol(protocol)
    field = names_of(declared).get(folded(name))
    if field not in declared.inputs():
        cure = did_you_mean(name, declared.inputs()) or f"`cryoloom protocols show {declared.id}` lists them."
        raise WrongUse("unknown-parameter", f"{declared.id} has no input {name!r}.", cure)
    kinds = kinds_of(declared.model_fields[field])
    may_give = cache(lambda protocol: references.may_give(protocol, kinds))
    found: list[OutputRef] = []
    for run in reversed(all_runs(project)):
        if not may_give(run.protocol):
            continue
        heads = run.folder.heads()
        if heads is not None and not run.hollow:
            found.extend(OutputRef(run, each) for each, head in heads.items() if issubclass(dataset_kind(head["kind"]), kinds))
        elif heads is None and run.state in GIVES:
            found.extend(output for output in run.outputs if issubclass(references.kind_of(output), kinds))
    return found


def takers(kinds: Iterable[str]) -> list[tuple[str, str, list[str]]]:
    """Return what may come next: each protocol that demands a set of one of these kinds, the first input that does, and which kinds it takes."""
    given = [dataset_kind(kind) for kind in kinds if known_kind(kind)]
    found: list[tuple[str, str, list[str]]] = []
    for declared in (entry.protocol for entry in catalogue.entries() if entry.protocol):
        fields = declared.model_fields
        for name in (name for name in declared.inputs() if fields[name].is_required()):
            if fitting := [kind.kind for kind in given if issubclass(kind, kinds_of(fields[name]))]:
                found.append((declared.id, name, fitting))
                break
    return found


def describe(output: OutputRef) -> dict[str, Any]:
    """Return an output as plain data: ``output``, ``label``, ``kind``, ``state`` and, once it is there, ``count``; ``aside`` if its maps are not density."""
    run = output.run
    head = (run.folder.heads() or {}).get(output.name) or {"kind": references.kind_of(output).kind, "count": None}
    aside = head["kind"] == "volume" and head["count"] is not None and not output.meta.get("density", True)
    return {
        "output": str(output),
        "label": run.label,
        "kind": head["kind"],
        "state": str(run.state),
        "count": head["count"],
        "aside": aside,
    }
