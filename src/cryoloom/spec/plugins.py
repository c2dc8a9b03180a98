"""Where files of installed wheels, and of people who have no wheel yet, are named: protocols and file formats are found there."""

import os
from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "cryoloom.plugins"
"""Entry point group of third-party wheels; each names a module, a package, or a protocol class."""
EXTRA = "CRYOLOOM_PLUGINS"
"""Environment variable with more of them, separated by commas: for a file that has no wheel yet."""


def origins() -> list[EntryPoint]:
    """Return what installed wheels and the environment name."""
    extra = (name.strip() for name in os.environ.get(EXTRA, "").split(","))
    return [*_installed(), *(EntryPoint(name, name, GROUP) for name in extra if name)]


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))
