"""What an archive takes in a field: kinds, words, ranges and patterns, held against values; each fault is told in words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What one field may hold.

    Attributes
    ----------
    kind
        ``text``, ``whole``, ``number``, ``yes-no``, ``object`` or ``list``.
    empty
        Whether nothing (None) will do.
    needed
        Whether the field must be there.
    among
        The only values there are; empty: any.
    pattern
        That a text matches as a whole.
    least, most
        Of a number; of a text or list, its length.
    fields
        Of an object, or of each object of a list.
    """

    kind: str
    empty: bool = False
    needed: bool = False
    among: tuple[Any, ...] = ()
    pattern: str = ""
    least: float | None = None
    most: float | None = None
    fields: Mapping[str, "Rule"] = field(default_factory=dict)


_KINDS: dict[str, Any] = {"text": str, "whole": int, "number": (int, float), "yes-no": bool, "object": Mapping, "list": list}


def faults(value: Any, rule: Rule, name: str = "") -> Iterator[str]:
    """Yield in words what is wrong with a value; what is needed and not there is told by `missing`."""
    at = name or "it"
    if value is None and rule.empty:
        return
    if value is None or not _is(value, rule.kind):
        yield f"{at} is {value!r}, not {rule.kind}"
        return
    size = value if rule.kind in ("whole", "number") else len(value) if rule.kind in ("text", "list") else 0
    if (rule.least is not None and size < rule.least) or (rule.most is not None and size > rule.most):
        yield f"{at} ({size:g}) is not from {rule.least or 0:g} to {'any' if rule.most is None else f'{rule.most:g}'}"
    if rule.among and value not in rule.among:
        yield f"{at} is {value!r}, not one of {', '.join(map(str, rule.among))}"
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        yield f"{at} is {value!r}, which does not look like {rule.pattern}"
    if rule.kind == "list":
        yield from (f"{at}.{number} is {each!r}, not object" for number, each in enumerate(value, 1) if not isinstance(each, Mapping))
    for inside, each in _objects(value, rule, name):
        for key, held in each.items():
            if key not in rule.fields:
                yield f"{inside}{key} is not known"
            else:
                yield from faults(held, rule.fields[key], f"{inside}{key}")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "yes-no" or not isinstance(value, bool))


def missing(value: Any, rule: Rule, name: str = "") -> Iterator[str]:
    """Yield the names of the fields that are needed and not there, ``imagesets.1.directory``."""
    for inside, each in _objects(value, rule, name):
        for key, wanted in rule.fields.items():
            if wanted.needed and key not in each:
                yield f"{inside}{key}"
            elif key in each:
                yield from missing(each[key], wanted, f"{inside}{key}")


def _objects(value: Any, rule: Rule, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects of a value with what stands before the names of their fields."""
    before = f"{name}." if name else ""
    if not rule.fields:
        return
    if isinstance(value, Mapping):
        yield before, value
    elif isinstance(value, list):
        yield from ((f"{before}{number}.", each) for number, each in enumerate(value, 1) if isinstance(each, Mapping))
