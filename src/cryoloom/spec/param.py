"""How a protocol declares its parameters and inputs: one line each, carried to form, command line, docs and importers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


@dataclass(frozen=True)
class Hint:
    """A finding of `Protocol.check`: what is wrong with `parameter`, and the value that would do.

    ``error=False`` is advice that does not stop the run.
    """

    parameter: str
    message: str
    fix: Any = None
    error: bool = True


def Param(  # noqa: N802 (reads as a declaration)
    label: str,
    default: Any = PydanticUndefined,
    *,
    help: str,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    multiple_of: int | None = None,
    group: str = "",
    advanced: bool = False,
    wizard: str = "",
    when: str = "",
    aliases: Sequence[str] = (),
) -> Any:
    """Declare a parameter of a protocol; its type, with its unit, is the annotation.

    Parameters
    ----------
    label
        What the form writes beside the field.
    default
        Left out: the parameter is required.
    help
        One or two sentences, ending with what goes wrong when the value is wrong.
    ge, gt, le, lt, multiple_of
        Bounds, checked before the run.
    group, advanced, wizard
        Where the form shows the field, whether only at expert level, and the wizard that can fill it.
    when
        Name of a yes/no parameter that must be on for this one to matter, or ``name=value`` of a choice.
    aliases
        Names that other programs' forms give this parameter; accepted everywhere.
    """
    extra = {"label": label, "group": group, "advanced": advanced, "wizard": wizard, "when": when, "aliases": list(aliases)}
    return Field(default, description=help, ge=ge, gt=gt, le=le, lt=lt, multiple_of=multiple_of, json_schema_extra=extra)


def Input(label: str, *, help: str, optional: bool = False, many: bool = False, columns: Sequence[str] = ()) -> Any:  # noqa: N802
    """Declare an input of a protocol: the annotation is the kind (or a union of kinds) it takes.

    Parameters
    ----------
    label, help
        As in `Param`.
    optional
        The annotation must then allow None.
    many
        The annotation is a tuple of the kind; the command line repeats the flag.
    columns
        Columns the set must have, such as ``("rot",)`` for particles with poses.
    """
    extra = {"label": label, "input": True, "many": many, "columns": list(columns)}
    return Field(None if optional else PydanticUndefined, description=help, json_schema_extra=extra)


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """Return what `Param` or `Input` recorded beside a field."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
