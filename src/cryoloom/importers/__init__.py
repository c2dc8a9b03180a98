"""Workflows and projects of other programs, read as workflow documents: one module (or package) a program, found by its place.

A module has ``PROGRAM``, its name; ``recognises(path)``; ``read(path, given, find)``, which returns a `Reading`, takes from `given` the
settings it uses, and is told by `find` which protocol bears an id or another program's name for it; and, where the program's own files can
be given back, ``write(records)``, which returns their text.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def importers() -> tuple[ModuleType, ...]:
    """Return the modules of this room."""
    return tuple(importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
