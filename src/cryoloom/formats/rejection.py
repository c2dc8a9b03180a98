"""Which of the files that a pattern matches are not to be taken, by lists and by date."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

from cryoloom.spec import WrongUse


def moment(text: str) -> datetime:
    """Return the time that a text means, ``2026-03-01`` or ``2026-03-01 14:30:00``, where the program runs; raises ValueError."""
    return datetime.fromisoformat(text.strip())


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


def read_list(path: str) -> tuple[str, ...]:
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
