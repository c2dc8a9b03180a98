"""A form as it is being filled: what is wrong with which field, what is advised, and what a run of it would be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cryoloom.app import catalogue, forms, preparation, references
from cryoloom.engine.project import ProjectFolder
from cryoloom.spec import CryoloomError, Protocol, WrongUse
from cryoloom.spec.param import extra_of


@dataclass(frozen=True)
class Finding:
    """What is wrong with a field, or advised.

    Attributes
    ----------
    field
        Its name; empty means the form as a whole.
    message, cure
        As a sentence each.
    fix
        The value that would do; an empty text means to leave the field empty, None that nothing is proposed.
    missing
        Whether it only has to be filled still.
    """

    field: str
    message: str
    cure: str = ""
    fix: Any = None
    missing: bool = False


@dataclass
class FormCheck:
    """What a form with some values would do.

    Attributes
    ----------
    errors
        What keeps it from running, one a field.
    advice
        What does not.
    why
        Why a run of it would be computed, or which run has done it; empty while there are errors.
    same
        The run that has done it; empty when there is none.
    preview
        What it would give, as far as that can be told before it has run.
    automatic
        What fields that are left empty stand for, by name, where the inputs tell.
    """

    errors: list[Finding] = field(default_factory=list)
    advice: list[Finding] = field(default_factory=list)
    why: str = ""
    same: str = ""
    preview: dict[str, Any] = field(default_factory=dict)
    automatic: dict[str, Any] = field(default_factory=dict)


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
            _look(forms.build(protocol, given, references.open_inputs(project, taken)), found)
        if not found.errors:
            found.why = preparation.why(project, protocol_id, values, seed=seed)
            found.same = preparation.same(project, protocol_id, values, seed=seed)
    except CryoloomError as error:
        found.errors.append(Finding("", error.message, error.cure))
    return found


def _look(built: Protocol, found: FormCheck) -> None:
    """Add what the protocol itself says of its values and inputs."""
    for hint in built.check():
        cure = "" if hint.fix is None else "Leave it empty." if hint.fix == "" else f"{hint.fix} would do."
        wrong = Finding(hint.parameter, f"{_label(built, hint.parameter)} {hint.message}", cure, hint.fix)
        if not hint.error:
            found.advice.append(wrong)
        elif all(hint.parameter != known.field for known in found.errors):
            found.errors.append(wrong)
    found.automatic = {name: value for name, value in built.automatic().items() if value is not None}
    if not found.errors:
        found.preview = dict(built.preview())


def _label(protocol: Protocol, name: str) -> str:
    declared = type(protocol).model_fields.get(name)
    return extra_of(declared)["label"] if declared else name


def _inputs(project: ProjectFolder, protocol: type[Protocol], given: Mapping[str, Any], found: FormCheck) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for name, declared in protocol.inputs().items():
        if name not in given:
            if declared.is_required():
                found.errors.append(Finding(name, f"{extra_of(declared)['label']} has to be given.", "Choose a set.", missing=True))
            continue
        try:
            taken |= references.resolve_inputs(project, protocol, {name: given[name]})
        except WrongUse as error:
            found.errors.append(Finding(name, error.message, error.cure))
    return taken


def _parameters(protocol: type[Protocol], given: Mapping[str, Any], found: FormCheck) -> None:
    try:
        known, _ = forms.sort_values(protocol, {**given, **dict.fromkeys(protocol.inputs(), "-")})
        forms.demand(protocol, known)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            name = str(each["loc"][0]) if each["loc"] else ""
            declared = protocol.model_fields.get(name)
            missing = each["type"] == "missing"
            told = f"{extra_of(declared)['label']} has to be given." if missing and declared else f"{forms.problem(protocol, each)}."
            if declared:
                told = told.replace(f"{name} ", f"{extra_of(declared)['label']} ", 1) if told.startswith(f"{name} ") else told
            if all(name != known.field for known in found.errors):
                found.errors.append(Finding(name, told, missing=missing))
