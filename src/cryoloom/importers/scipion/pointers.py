"""Pointers of a Scipion workflow: ``id.output``, ``id.output.item``, ``id.`` and, in lists, ``id``."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

_POINTER = re.compile(r"(\d+)\.((?:[A-Za-z_]\w*(?:\.\w+)*)?)", re.ASCII)
_MARKERS = re.compile(r"__(?:attribute|itemid)__")
_RUNS = re.compile(r"prot|run|pick|input", re.IGNORECASE)
"""Names of parameters whose bare number in a text is a run: others, such as gpuList, hold numbers as texts too."""


@dataclass(frozen=True)
class Pointer:
    """What a value points to.

    Attributes
    ----------
    run
        Id of the object.
    output
        Name of its output; empty for the whole run.
    item
        What follows, such as the number of one item of a set.
    """

    run: str
    output: str = ""
    item: str = ""


def pointers(name: str, value: Any, ids: Collection[str], *, declared: bool = False) -> list[Pointer]:
    """Return what the value of a parameter points to, nothing if it is no pointer.

    Parameters
    ----------
    ids
        Of the file. Only these are believed, because texts such as ``0.33`` look alike, unless the parameter is `declared` to hold pointers.
    """
    if name == "_prerequisites":
        return [Pointer(each.strip()) for each in str(value or "").split(",") if each.strip()]
    if isinstance(value, list):
        found = [_parsed(each, bare=True) for each in value]
        return [each for each in found if each] if value and all(found) else []
    found = _parsed(value, bare=declared or bool(_RUNS.search(name)))
    return [found] if found and (declared or found.run in ids) else []


def _parsed(value: Any, *, bare: bool) -> Pointer | None:
    if not isinstance(value, str):
        return None
    text = _MARKERS.sub("", value.strip())
    match = _POINTER.fullmatch(text)
    if match is None:
        return Pointer(text) if bare and text.isdecimal() and text.isascii() else None
    output, _, item = match[2].partition(".")
    return Pointer(match[1], output, item)
