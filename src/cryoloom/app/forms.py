"""From names and texts as people give them to the checked parameters of a protocol; errors in one paragraph."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cryoloom.app.suggest import did_you_mean, folded
from cryoloom.spec import Protocol, WrongUse
from cryoloom.spec.param import extra_of
from cryoloom.tables import Dataset
from cryoloom.units import Unit


def unit_of(field: FieldInfo) -> str:
    """Return the symbol of a parameter's unit, or nothing."""
    found = [each.symbol for each in field.metadata if isinstance(each, Unit)]
    return (found or [each.symbol for each in _metadata(field.annotation) if isinstance(each, Unit)] or [""])[0]


def _metadata(annotation: Any) -> list[Any]:
    found = list(annotation.__metadata__) if get_origin(annotation) is Annotated else []
    return found + [each for part in get_args(annotation) for each in _metadata(part)]


def kinds_of(field: FieldInfo) -> tuple[type[Dataset], ...]:
    """Return the kinds of sets that an input, or a field of an outputs class, takes."""
    return _kinds(field.annotation)


def _kinds(annotation: Any) -> tuple[type[Dataset], ...]:
    if isinstance(annotation, type) and issubclass(annotation, Dataset):
        return (annotation,)
    return tuple(kind for part in get_args(annotation) for kind in _kinds(part))


def names_of(protocol: type[Protocol]) -> dict[str, str]:
    """Return every name that a parameter or input answers to, folded, with the field it means."""
    known: dict[str, str] = {}
    for name, field in protocol.model_fields.items():
        known[folded(name)] = name
        if extra_of(field).get("input"):
            known.setdefault(folded(f"input_{name}"), name)
    for name, field in protocol.model_fields.items():
        for alias in extra_of(field).get("aliases", ()):
            known.setdefault(folded(alias), name)
    return known


def sort_values(protocol: type[Protocol], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters and inputs under their own names, texts made values.

    Raises
    ------
    WrongUse
        ``unknown-parameter``, with the names that come near; ``given-twice``; ``missing-input``.
    """
    known = names_of(protocol)
    found: dict[str, Any] = {}
    for given, value in values.items():
        name = known.get(folded(given))
        if name is None:
            cure = did_you_mean(given, protocol.model_fields) or f"`cryoloom protocols show {protocol.id}` lists them."
            raise WrongUse("unknown-parameter", f"{protocol.id} has no parameter or input {given!r}.", cure)
        if name in found:
            raise WrongUse("given-twice", f"{protocol.id}: {name} is given twice, once as {given}.", "Give it once.")
        found[name] = value
    inputs = {name: found.pop(name) for name in protocol.inputs() if name in found}
    inputs = {name: value for name, value in inputs.items() if value is not None}
    for name, field in protocol.inputs().items():
        if name not in inputs and field.is_required():
            kinds = " or ".join(kind.kind for kind in kinds_of(field))
            raise WrongUse(
                "missing-input", f"{protocol.id} needs the input {name} ({kinds}).", f"Add --input-{name.replace('_', '-')} RUN.OUTPUT."
            )
    for name, value in found.items():
        if isinstance(value, list | tuple) and not _takes_several(protocol.model_fields[name]):
            raise WrongUse(
                "given-twice", f"{protocol.id}: {name} takes one value, not {len(value)}: {', '.join(map(str, value))}.", "Give one."
            )
    return {name: parsed(protocol.model_fields[name], value) for name, value in found.items()}, inputs


def _takes_several(field: FieldInfo) -> bool:
    return any(get_origin(each) in (list, tuple, set) for each in _alternatives(field.annotation))


def parsed(field: FieldInfo, value: Any) -> Any:
    """Return what a text, or a path, means for a parameter; everything else as it is.

    Lists are separated by commas or written as JSON; choices are compared without case; ``none`` or nothing is None where that is
    allowed; a relative path is taken from the working directory, as the one who typed it meant. Numbers and yes/no are left to the
    parameter's own type.
    """
    types = _alternatives(field.annotation)
    if Path in types and isinstance(value, str | Path) and str(value):
        return Path(value).expanduser().absolute()
    if isinstance(value, list | tuple):
        return [str(each) if isinstance(each, Path) else each for each in value]
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if NoneType in types and (text == "" or text.lower() == "none"):
        return None
    if str in types:
        return value
    choices = [choice for each in types if get_origin(each) is Literal for choice in get_args(each)]
    if same := [choice for choice in choices if folded(str(choice)) == folded(text)]:
        return same[0]
    if any(get_origin(each) in (list, tuple, set, dict) for each in types):
        if text[:1] in "[{":
            try:
                return json.loads(text)
            except ValueError:
                return value
        if extra_of(field).get("wizard", "").startswith("file"):
            return [text]  # file names may hold commas
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(each for part in get_args(annotation) for each in _alternatives(part))
    return (annotation,)


def build(protocol: type[Protocol], parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> Protocol:
    """Return the protocol with these values.

    Raises
    ------
    WrongUse
        ``bad-parameter``: what is wrong with which, its value and its bound.
    """
    try:
        return protocol(**parameters, **inputs)
    except ValidationError as error:
        problems = [problem(protocol, each) for each in error.errors(include_url=False)]
        raise WrongUse("bad-parameter", f"{protocol.id}: {'; '.join(dict.fromkeys(problems))}.", _cure(protocol)) from error


def check_parameters(protocol: type[Protocol], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as JSON, defaults included, checked without the inputs, which do not exist yet.

    Raises
    ------
    WrongUse
        As `build`.
    """
    return without_inputs(protocol, parameters).parameter_values()


def without_inputs(protocol: type[Protocol], parameters: Mapping[str, Any]) -> Protocol:
    """Return the protocol with these parameters and empty sets in place of its inputs, which do not exist yet."""
    return build(protocol, parameters, _stand_ins(protocol))


def demand(protocol: type[Protocol], parameters: Mapping[str, Any]) -> None:
    """Check parameters as `without_inputs` does, and let pydantic tell of all that is wrong with them (`ValidationError`)."""
    protocol(**parameters, **_stand_ins(protocol))


def _stand_ins(protocol: type[Protocol]) -> dict[str, Any]:
    return {
        name: (Dataset.__new__(kinds_of(field)[0]),) if extra_of(field).get("many") else Dataset.__new__(kinds_of(field)[0])
        for name, field in protocol.inputs().items()
        if field.is_required()
    }


def refuse_hints(protocol: Protocol) -> list[str]:
    """Return the advice of `Protocol.check`.

    Raises
    ------
    WrongUse
        ``bad-parameter``, when one of its findings is an error.
    """
    advice = []
    for hint in protocol.check():
        text = f"{hint.parameter} {hint.message}"
        fix = "" if hint.fix is None else "Leave it empty." if hint.fix == "" else f"{hint.fix} would do."
        if hint.error:
            raise WrongUse("bad-parameter", f"{protocol.id}: {_sentence(text)}", fix or _cure(type(protocol)))
        advice.append(f"{_sentence(text)} {fix}".strip())
    return advice


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _cure(protocol: type[Protocol]) -> str:
    return f"`cryoloom protocols show {protocol.id}` explains every parameter."


_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be above"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be below"),
    "multiple_of": ("multiple_of", "must be a multiple of"),
}

_TYPES = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be yes or no",
    "string": "must be a text",
    "path": "must be a path",
    "list": "must be a list, such as 1,2,3",
    "tuple": "must be a list, such as 1,2,3",
}


def problem(protocol: type[Protocol], error: ErrorDetails) -> str:
    """Return one finding of pydantic in our words: ``window is 10 px, but must be at least 64 px``."""
    name = str(error["loc"][0]) if error["loc"] else ""
    field = protocol.model_fields.get(name)
    unit = f" {unit_of(field)}" if field and unit_of(field) else ""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return f"{name} has to be given ({field.description if field else ''})".replace(".)", ")")
    value = f"{name} is {error['input']!r}{unit}"
    if kind in _BOUNDS:
        key, phrase = _BOUNDS[kind]
        return f"{value}, but {phrase} {context[key]:g}{unit}"
    if kind in ("literal_error", "enum"):
        return f"{value}, but must be {context['expected']}"
    if kind == "is_instance_of":
        return f"{name} must be {context['class']}"
    return f"{value}, but {_TYPES.get(kind.partition('_')[0], error['msg'])}"
