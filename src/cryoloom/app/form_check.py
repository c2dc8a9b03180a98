"""A form as it is being filled: what is wrong with which field, what is advised, and what a run of it would be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cryoloom.app import catalogue, forms, preparation, references, sets
from cryoloom.engine.project import ProjectFolder
from cryoloom.spec import CryoloomError, Protocol, WrongUse
from cryoloom.spec.param import extra_of


@dataclass
class FormCheck:
    """What a form with some values would do.

    Attributes
    ----------
    errors
        ``(field, message, cure)`` of what keeps it from running, one a field; an empty field means the form as a whole.
    advice
        What does not.
    why
        Why a run of it would be computed, or which run has done it; empty while there are errors.
    preview
        What it would give, as far as that can be told before it has run.
    """

    errors: list[tuple[str, str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    why: str = ""
    preview: dict[str, Any] = field(default_factory=dict)


def check_form(project: ProjectFolder, protocol_id: str, values: Mapping[str, Any], *, seed: int = 0) -> FormCheck:
    """Return what a form with these values would do; no run is made.

    Raises
    ------
    WrongUse
        ``unknown-protocol`` or ``unknown-parameter``.
    """
    protocol = catalogue.protocol(protocol_id)
    found = FormCheck()
    values = {name: value for name, value in values.items() if value not in (None, "", [])}
    inputs = {name: value for name, value in values.items() if name in protocol.inputs()}
    parameters = {name: value for name, value in values.items() if name not in inputs}
    taken = _inputs(project, protocol, inputs, found)
    _parameters(protocol, parameters, found)
    if found.errors:
        return found
    try:
        if all(each["hash"] for given in taken.values() for each in (given if isinstance(given, list) else [given])):
            given, _ = forms.sort_values(protocol, values)
            for hint in forms.build(protocol, given, references.open_inputs(project, taken)).check():
                cure = "" if hint.fix is None else "Leave it empty." if hint.fix == "" else f"{hint.fix} would do."
                if hint.error:
                    found.errors.append((hint.parameter, hint.message, cure))
                else:
                    found.advice.append(f"{hint.parameter} {hint.message} {cure}".strip())
            if not found.errors:
                found.preview = sets.preview(project, protocol_id, values)
        if not found.errors:
            found.why = preparation.why(project, protocol_id, values, seed=seed)
    except CryoloomError as error:
        found.errors.append(("", error.message, error.cure))
    return found


def _inputs(project: ProjectFolder, protocol: type[Protocol], given: Mapping[str, Any], found: FormCheck) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for name, declared in protocol.inputs().items():
        if name not in given:
            if declared.is_required():
                found.errors.append((name, f"{extra_of(declared)['label']} has to be given.", "Choose a set."))
            continue
        try:
            taken |= references.resolve_inputs(project, protocol, {name: given[name]})
        except WrongUse as error:
            found.errors.append((name, error.message, error.cure))
    return taken


def _parameters(protocol: type[Protocol], given: Mapping[str, Any], found: FormCheck) -> None:
    try:
        known, _ = forms.sort_values(protocol, {**given, **dict.fromkeys(protocol.inputs(), "-")})
        forms.demand(protocol, known)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            name = str(each["loc"][0]) if each["loc"] else ""
            if all(name != known for known, _, _ in found.errors):
                found.errors.append((name, forms.problem(protocol, each), ""))
