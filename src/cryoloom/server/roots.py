"""Folders in which files to import are looked for: what lies in them, and what a pattern matches there. Hidden ones are not shown."""

import glob
import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from cryoloom.server.access import confined
from cryoloom.server.form_models import Entry, Listing, Matches
from cryoloom.spec import WrongUse

MOST = 2000
"""Entries of a folder that are listed."""
COUNTED = 20_000
"""Files up to which matches are counted."""
SHOWN = 5
KNOWN = frozenset(
    (
        *(".mrc", ".mrcs", ".st", ".map", ".ccp4", ".tif", ".tiff", ".eer", ".gain", ".raw", ".dm3", ".dm4", ".gz", ".bz2"),
        *(".star", ".cs", ".csg", ".csv", ".xmd", ".box", ".cbox", ".pos", ".json", ".txt", ".xml", ".mdoc", ".defects"),
    )
)
"""Endings of files that some import reads; others are not shown."""


class Roots:
    """The folders that may be looked into; links that lead out of them are not followed.

    Parameters
    ----------
    folders
        Absolute paths; those that are not there are left out.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = list(dict.fromkeys(path.resolve() for path in folders if path.is_dir()))

    def inside(self, path: str) -> Path:
        """Return a path that lies in one of the roots.

        Raises
        ------
        WrongUse
            ``path-outside``, ``not-a-file``.
        """
        refused: WrongUse | None = None
        for root in self.folders:
            if Path(path).is_relative_to(root) and not any(part.startswith(".") for part in Path(path).relative_to(root).parts):
                try:
                    return confined(root, str(Path(path).relative_to(root)))
                except WrongUse as error:
                    refused = error
        if refused is not None and refused.code != "path-outside":
            raise refused
        raise self._outside(path)

    def _outside(self, path: str) -> WrongUse:
        there = ", ".join(map(str, self.folders)) or "nothing"
        return WrongUse(
            "path-outside", f"{path!r} lies outside of what may be looked into: {there}.", "Start `cryoloom serve` with --root."
        )

    def holds(self, path: Path) -> bool:
        """Return whether a path, links followed, lies in one of the roots."""
        there = path.resolve()
        return any(there.is_relative_to(root) for root in self.folders)

    def listing(self, folder: str) -> Listing:
        """Return the folders and known files of a folder by name; of an empty one the roots.

        Raises
        ------
        WrongUse
            ``path-outside``; ``no-folder``; ``not-readable``.
        """
        if not folder:
            return Listing(folder="", parent="", folders=[str(root) for root in self.folders], files=[], left_out=0)
        path = self.inside(folder)
        if not path.is_dir():
            raise WrongUse("no-folder", f"{folder} is no folder.", "Choose one of those that are listed.")
        try:
            with os.scandir(path) as entries:
                seen = [entry for entry in entries if not entry.name.startswith(".")]
        except PermissionError as error:
            raise WrongUse("not-readable", f"{folder} cannot be read: {error.strerror}.", "Ask for the right to read it.") from error
        folders = sorted(entry.name for entry in seen if entry.is_dir() and (not entry.is_symlink() or self.holds(Path(entry.path))))
        files = sorted(
            entry.name for entry in seen if Path(entry.name).suffix.lower() in KNOWN and entry.is_file() and self.holds(Path(entry.path))
        )
        shown = files[: max(0, MOST - len(folders))]
        return Listing(
            folder=str(path),
            parent=str(path.parent) if path not in self.folders else "",
            folders=folders[:MOST],
            files=[_entry(path / name) for name in shown],
            left_out=len(folders) + len(files) - len(folders[:MOST]) - len(shown),
        )

    def matches(self, pattern: str) -> Matches:
        """Return how many files of the roots a pattern matches, as imports understand it, and the first of them.

        Raises
        ------
        WrongUse
            ``path-outside``.
        """
        if ".." in Path(pattern).parts or "\0" in pattern:
            raise self._outside(pattern)
        fixed = Path(pattern)
        while set("*?[#%") & set(str(fixed)):
            fixed = fixed.parent
        start = self.inside(str(fixed))
        if start.is_dir() and str(fixed) == pattern.rstrip("/"):
            pattern = f"{glob.escape(str(fixed))}/*"
        found = glob.iglob(re.sub("%+", "*", pattern.replace("#", "[0-9]")), recursive=True)
        counted = sorted(islice((path for path in found if os.path.isfile(path) and self.holds(Path(path))), COUNTED + 1))
        return Matches(count=min(len(counted), COUNTED), more=len(counted) > COUNTED, first=counted[:SHOWN])


def _entry(path: Path) -> Entry:
    status = path.stat()
    return Entry(name=path.name, size=status.st_size, changed=status.st_mtime)
