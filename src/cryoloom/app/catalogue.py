"""Every protocol there is: our own files and those of installed plugins, found in the same way. No list to edit."""

import importlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

from cryoloom.app.suggest import did_you_mean, folded
from cryoloom.spec import Protocol, WrongUse
from cryoloom.spec.param import extra_of
from cryoloom.spec.plugins import origins

OWN = "cryoloom.protocols"


@dataclass(frozen=True)
class Entry:
    """A protocol, or what should have been one.

    Attributes
    ----------
    id
        Of the protocol; of a broken one, what it was to be.
    origin
        Module it was looked for in.
    protocol
        None when it is broken.
    error
        Why, in one line.
    """

    id: str
    origin: str
    protocol: type[Protocol] | None = None
    error: str = ""

    @property
    def title(self) -> str:
        """Return the first line of the protocol's docstring."""
        return title_of(self.protocol) if self.protocol else ""


def title_of(protocol: type[Protocol]) -> str:
    """Return the first line of a protocol's docstring."""
    return (protocol.__doc__ or "").strip().partition("\n")[0]


def entries() -> list[Entry]:
    """Return all protocols by id, broken ones included."""
    found = [_entry_of(module, OWN) for module in _own_modules(OWN)]
    for origin in origins():
        found.extend(_entries_of(origin))
    first: dict[str, Entry] = {}
    for entry in found:
        if entry.id in first and entry.protocol is not first[entry.id].protocol:
            entry = Entry(f"{entry.id} ({entry.origin})", entry.origin, error=f"{first[entry.id].origin} has the id {entry.id} too")
        first.setdefault(entry.id, entry)
    return [first[name] for name in sorted(first)]


def protocol(name: str) -> type[Protocol]:
    """Return the protocol of an id, or of the name another program gives it.

    Raises
    ------
    WrongUse
        ``unknown-protocol``, or ``broken-protocol``: its file cannot be loaded.
    """
    entry = _by_id(name)
    if entry is None:
        everything = entries()
        entry = next((each for each in everything if folded(name) in _other_names(each)), None)
        if entry is None:
            cure = did_you_mean(name, [each.id for each in everything]) or "`cryoloom protocols` lists them."
            raise WrongUse("unknown-protocol", f"There is no protocol {name!r}.", cure)
    if entry.protocol is None:
        raise WrongUse("broken-protocol", f"{entry.id} cannot be loaded from {entry.origin}: {entry.error}.", "Repair or remove that file.")
    return entry.protocol


def _by_id(name: str) -> Entry | None:
    """Return the protocol of an id, loading no more of ours than its own file."""
    for module in _own_modules(OWN):
        if protocol_id(module, OWN) == name:
            return _entry_of(module, OWN)
    return next((each for origin in origins() for each in _entries_of(origin) if each.id == name), None)


def search(text: str) -> list[Entry]:
    """Return the protocols whose id, title, labels or names elsewhere hold every word of `text`."""
    words = text.lower().split()
    return [entry for entry in entries() if all(word in words_of(entry) for word in words)]


def words_of(entry: Entry) -> str:
    """Return what a search for a protocol looks in, in lower case."""
    if entry.protocol is None:
        return f"{entry.id} {entry.error}".lower()
    fields = entry.protocol.model_fields
    words = [entry.id, entry.protocol.__doc__ or "", *entry.protocol.aliases, *fields]
    for field in fields.values():
        extra = extra_of(field)
        words += [extra.get("label", ""), *extra.get("aliases", ())]
    return " ".join(words).lower()


def _other_names(entry: Entry) -> set[str]:
    return {folded(entry.id), *map(folded, entry.protocol.aliases)} if entry.protocol else {folded(entry.id)}


# -- discovery --------------------------------------------------------------------------------------------------


def protocol_id(module: str, package: str) -> str:
    """Return the id that a module's place gives it: ``<package>.import_.movies`` is ``import.movies``."""
    return ".".join(part.removesuffix("_") for part in module.removeprefix(package + ".").split("."))


@cache
def _entries_of(origin: EntryPoint) -> tuple[Entry, ...]:
    """Load a package, module or protocol class and return what is in it."""
    name, value = origin.name, origin.value
    try:
        loaded = origin.load()
        if isinstance(loaded, ModuleType):
            modules = [loaded, *map(importlib.import_module, _own_modules(loaded.__name__))] if hasattr(loaded, "__path__") else [loaded]
            return tuple(Entry(each.id, value, each) for module in modules for each in _declared(module))
        return (Entry(loaded.id, value, loaded),)
    except Exception as error:  # noqa: BLE001 (somebody else's plugin must not take the catalogue down; it is shown as broken)
        return (Entry(name, value, error=_line(error)),)


@cache
def _entry_of(module: str, package: str) -> Entry:
    """Load one of our files; it must declare one protocol, of the id its path says."""
    expected = protocol_id(module, package)
    try:
        declared = _declared(importlib.import_module(module))
    except Exception as error:  # noqa: BLE001 (one unfinished file must not hide the others; it is shown as broken)
        return Entry(expected, module, error=_line(error))
    if len(declared) != 1 or declared[0].id != expected:
        ids = ", ".join(each.id for each in declared) or "no protocol"
        return Entry(expected, module, error=f"the file declares {ids}; its place says {expected}")
    return Entry(expected, module, declared[0])


@cache
def _own_modules(package: str) -> tuple[str, ...]:
    """Return the modules below a package by their file names, loading none of them."""
    found = []
    for folder in importlib.import_module(package).__path__:
        for path in sorted(Path(folder).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if not any(part.startswith(("_", ".")) for part in parts):
                found.append(".".join((package, *parts)))
    return tuple(found)


def _declared(module: ModuleType) -> list[type[Protocol]]:
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Protocol) and each is not Protocol and each.__module__ == module.__name__
    ]


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
