"""Which of the files that a pattern matches are not to be taken, by lists and by date."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cryoloom.formats.sources import item_names
from cryoloom.spec import WrongUse


@dataclass(frozen=True)
class Rejection:
    """Rules for files not to take; one that fits is enough.

    Attributes
    ----------
    lines
        Names, whole paths or patterns, of which any may fit; regular expressions with `regexps`, which may fit any part of a path.
    names
        Names without endings, as items bear them.
    since, until
        The span of times of last change, either end open.
    """

    lines: tuple[str, ...] = ()
    regexps: bool = False
    names: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, protocol: Any, names: Iterable[str] = ()) -> "Rejection":
        """Return the rules that the parameters of an import make (see `acquisition`), and `names` not to take."""
        lines = _read_list(protocol.exclude_list) if protocol.exclude_list else ()
        span = (datetime.fromisoformat(text.strip()) if text else None for text in (protocol.exclude_from, protocol.exclude_to))
        return cls(lines, protocol.exclude_regexps, frozenset(names), *span)

    def wanted(self, files: list[Path]) -> list[Path]:
        """Return the files that are to be taken.

        Raises
        ------
        WrongUse
            ``no-files`` when none is left.
        """
        if not (self.lines or self.names or self.since or self.until):
            return files
        keep = self.kept(files, item_names(files))
        if not any(keep):
            raise WrongUse("no-files", f"all {len(files)} files that match are left out.", "Leave out fewer.")
        return [file for file, taken in zip(files, keep, strict=True) if taken]

    def kept(self, files: Sequence[Path], names: Sequence[str]) -> list[bool]:
        """Return for each file, and the name that it would bear, whether it is to be taken."""
        expressions = [_expression(line) for line in self.lines] if self.regexps else []
        exact = {line for line in self.lines if not self.regexps} | set(self.names)
        wild = [line for line in exact if any(sign in line for sign in "*?[")]

        def fits(file: Path, name: str) -> bool:
            words = {name, file.name, file.stem, str(file)}
            if words & exact or any(fnmatch(word, line) for line in wild for word in (file.name, str(file))):
                return True
            return any(expression.search(str(file)) for expression in expressions) or self._in_span(file)

        return [not fits(file, name) for file, name in zip(files, names, strict=True)]

    def _in_span(self, file: Path) -> bool:
        if self.since is None and self.until is None:
            return False
        try:
            changed = datetime.fromtimestamp(file.stat().st_mtime)
        except OSError:
            return False  # it is told when it is read
        return (self.since is None or changed >= self.since) and (self.until is None or changed <= self.until)


def _read_list(path: str) -> tuple[str, ...]:
    """Return the lines of a text without empty ones and comments (``#`` at their beginning)."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _expression(line: str) -> re.Pattern[str]:
    try:
        return re.compile(line)
    except re.error as error:
        raise WrongUse(
            "bad-expression", f"{line!r} is no regular expression: {error}.", "Correct it, or switch exclude_regexps off."
        ) from error
