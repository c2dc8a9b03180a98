"""The text of a Scipion workflow: plain JSON, or a template whose placeholders are filled by hand and never by Python's ``%``."""

import json
import os
import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from cryoloom.spec import WrongUse
from cryoloom.spec.workflow import Asked

ENVIRONMENT = ("HOME", "SCIPION_HOME", "SCIPION_TESTS", "SCIPION_USER_DATA")
"""What a template may learn of the environment: a workflow is passed on, so nothing else may get into it."""
TYPES = {0: "text", 1: "boolean", 2: "path", 3: "integer", 4: "number", 5: "path", 6: "path"}
"""Of fields: the types of Scipion's templates and what they are to us."""

_PERCENT = re.compile(r"%(?:\((\w+)\)s|%)")
_FIELD = re.compile(r"~(?P<title>[^~|\n]*)\|(?P<default>[^~|\n]*)\|(?P<type>[0-6])(?:\|(?P<alias>[^~|\n]*))?~")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+|"')
_YES_NO = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


@dataclass
class Template:
    """What a file holds.

    Attributes
    ----------
    records
        The objects of the list, placeholders filled.
    description
        The lines before the list.
    inputs
        The fields, by alias.
    fields
        Their titles and defaults, as written.
    """

    records: list[dict[str, Any]]
    description: str = ""
    inputs: dict[str, Asked] = field(default_factory=dict)
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def looks_like_scipion(path: Path) -> bool:
    """Return whether a file is a Scipion workflow or template, by its beginning."""
    if not path.is_file() or not path.name.endswith((".json", ".json.template", ".template")):
        return False
    with path.open("rb") as handle:
        text = handle.read(1 << 16).decode("utf-8", "replace")
    start = re.search(r"^\s*\[", text, re.MULTILINE)
    return start is not None and '"object.className"' in text and not text.lstrip().startswith("{")


def read_text(path: Path, given: dict[str, str]) -> Template:
    """Read a workflow or a template; from `given` is taken what fills a field (by alias) or a ``%(NAME)s``.

    Raises
    ------
    WrongUse
        ``scipion-invalid``: not a list of objects, each with a class and an id of its own; ``scipion-field``: a value that its type excludes.
    """
    text = path.read_bytes().decode("utf-8-sig", "replace")
    template = Template([])
    if path.name.endswith(".template") or not text.lstrip().startswith("["):
        description, text = _without_description(text, path)
        template.description = description
        text = _environment(text, given, template)
        text = _fields(text, given, template)
        for name in template.inputs:
            given.pop(name, None)
    try:
        records = _loaded(text, template)
    except (ValueError, RecursionError) as error:
        raise WrongUse("scipion-invalid", f"{path}: not JSON: {error}.", "Export the workflow again.") from error
    template.records = _checked(records, path)
    return template


def _loaded(text: str, template: Template) -> Any:
    """Return what JSON says; templates written by hand have a comma too many or too few, which can mean one thing only."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        wrong = error
    mended = _with_commas(text)
    try:
        records = json.loads(mended, parse_constant=_refuse_constant)
    except ValueError:
        raise wrong from None  # what the mended text lacks would be told of a place that is not in the file
    template.messages.append(f"Its JSON has a comma too many or lacks one ({wrong}); it was read as if that were right.")
    return records


def _with_commas(text: str) -> str:
    """Return JSON with a comma between any two things that follow one another, and none before a closing bracket."""
    tokens = _TOKEN.findall(text)
    kept: list[str] = []
    for token in tokens:
        if token in "]}" and kept and kept[-1] == ",":
            kept.pop()
        elif token not in ",:]}" and kept and kept[-1] not in ",:[{":
            kept.append(",")
        kept.append(token)
    return " ".join(kept)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _without_description(text: str, path: Path) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if line.startswith("[")), None)
    if start is None:
        raise WrongUse(
            "scipion-invalid", f"{path}: no line starts with [, so there is no workflow in it.", "Give a workflow or a template."
        )
    return "".join(lines[:start]).strip(), "".join(lines[start:])


def _environment(text: str, given: dict[str, str], template: Template) -> str:
    unknown: dict[str, None] = {}
    used: set[str] = set()

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        value = given.get(name, os.environ.get(name) if name in ENVIRONMENT else None)
        if value is None:
            unknown[name] = None
            return match[0]
        used.update({name} & given.keys())
        return json.dumps(value)[1:-1]

    text = _PERCENT.sub(filled, text)
    for name in used:
        del given[name]
    template.messages.extend(f"%({name})s is not known here and left as it is; --set {name}=… fills it." for name in unknown)
    return text


def _fields(text: str, given: dict[str, str], template: Template) -> str:
    """Fill ``~title|default|type|alias~``; a field that is a whole quoted text becomes a value of its type."""
    pieces: list[str] = []
    end, quoted = 0, False
    for match in _FIELD.finditer(text):
        before = text[end : match.start()]
        quoted ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        alone = quoted and before.endswith('"') and text.startswith('"', match.end())
        value = _filled(match, quoted, given, template)
        if not quoted or (alone and not isinstance(value, str)):
            pieces.append((before[:-1] if alone else before) + json.dumps(value))
            end, quoted = match.end() + alone, False
        else:
            pieces.append(before + json.dumps(value if isinstance(value, str) else str(value))[1:-1])
            end = match.end()
    return "".join(pieces) + text[end:]


def _filled(match: re.Match[str], quoted: bool, given: dict[str, str], template: Template) -> Any:
    title, default, kind = match["title"], match["default"], int(match["type"])
    if quoted:
        title, default = _unescaped(title), _unescaped(default)
    name = _name_of(match["alias"] or re.sub(r"\W+", "_", title).strip("_"), (title, default), template)
    value = _typed(given.get(name, default), kind, name)
    asked = Asked(type=TYPES[kind], label=title, default=value)  # pyright: ignore[reportArgumentType] (one of its words)
    template.inputs.setdefault(name, asked)  # a field may stand in several places: what is given for it goes to all
    return value


def _name_of(alias: str, written: tuple[str, str], template: Template) -> str:
    """Return what a field is given by: its alias, numbered where a field of another title or default bears that already."""
    names = (alias if number == 1 else f"{alias}_{number}" for number in count(1))
    name = next(each for each in names if template.fields.get(each, written) == written)
    template.fields[name] = written
    return name


def _unescaped(text: str) -> str:
    try:
        return json.loads(f'"{text}"')
    except ValueError:
        return text


def _typed(text: str, kind: int, name: str) -> Any:
    try:
        if kind == 1:
            return _YES_NO[text.strip().lower()]
        if kind in (3, 4):
            return (int if kind == 3 else float)(text)
    except (ValueError, KeyError):
        message = f"The field {name} is {text!r}; it must be {'yes or no' if kind == 1 else 'a number'}."
        raise WrongUse("scipion-field", message, f"Give it: --set {name}=…") from None
    return text


def _checked(records: Any, path: Path) -> list[dict[str, Any]]:
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise WrongUse("scipion-invalid", f"{path}: not a list of objects.", "Export the workflow again.")
    seen: set[str] = set()
    for each in records:
        name, number = each.get("object.className"), str(each.get("object.id", ""))
        if not isinstance(name, str) or not re.fullmatch(r"\w+", name) or not re.fullmatch(r"\d+", number, re.ASCII) or number in seen:
            message = f"{path}: an object of class {name!r} and id {number!r}; each needs a class and an id of its own."
            raise WrongUse("scipion-invalid", message, "Export the workflow again.")
        seen.add(number)
    return records
