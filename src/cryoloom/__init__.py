"""cryoloom: movies to map in one ``pip install``.

>>> import cryoloom
>>> project = cryoloom.open_project("my-project")  # doctest: +SKIP
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryoloom.app.session import Project

__version__ = "0.1.0"
__all__ = ["__version__", "create_project", "open_project"]


def open_project(path: "str | Path") -> "Project":
    """Open the project in a folder."""
    from cryoloom.app.session import open_project

    return open_project(path)


def create_project(path: "str | Path", name: str = "") -> "Project":
    """Make a project in a new or empty folder."""
    from cryoloom.app.session import create_project

    return create_project(path, name)
