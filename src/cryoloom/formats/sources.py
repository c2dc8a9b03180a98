"""Files that lie outside the project: found by pattern, named, and linked into a run's folder."""

import glob
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from cryoloom.files import writing
from cryoloom.spec import Failure, WrongUse

IMAGE_SUFFIXES = (".mrc", ".mrcs", ".st", ".tif", ".tiff", ".eer")
_TABLE_SUFFIXES = (".star", ".box", ".cbox", ".json", ".cs", ".csg", ".xmd", ".pos", ".txt")
_COMPRESSED = (".gz", ".bz2")
_TAILS = re.compile(r"_fractions$", re.IGNORECASE)


def only_match(path: str) -> str:
    """Return the file that a path with wildcards means, the path itself when there is not just one."""
    found = sorted(_matches(path)) if path and not os.path.exists(path) else []
    return str(found[0]) if len(found) == 1 else path


def not_a_file(path: str) -> str:
    """Return why `path` cannot be read as a file, nothing if it can."""
    if os.path.isfile(path):
        return ""
    if os.path.isdir(path):
        return f"{path} is a folder, not a file"
    found = _matches(path)
    return f"{path} matches {len(found)} files, one is wanted" if len(found) > 1 else f"{path}: there is no such file"


def matching_files(patterns: Sequence[str], *, leave_out: Sequence[str] = (), suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the files that `patterns` match, in order of file name, then of folder.

    Parameters
    ----------
    patterns
        Absolute paths with the shell's wildcards, ``**`` for any folders, ``#`` for one digit, and ``%`` as ``*``. A folder stands for the
        files in it.
    leave_out
        Patterns of files not to take, whole paths or file names.
    suffixes
        What file names may end in, before ``.gz`` and ``.bz2``; others are taken only if nothing else matches.

    Raises
    ------
    WrongUse
        ``no-files`` when nothing matches, saying what lies in the folder.
    """
    found = {path for pattern in patterns for path in _matches(pattern)}
    out = {path for pattern in leave_out if pattern for path in _matches(pattern)}
    names = {pattern for pattern in leave_out if pattern and "/" not in pattern}
    kept = {path for path in found - out if not any(path.match(name) for name in names)}
    images = {path for path in kept if image_suffix(path).lower() in suffixes}
    chosen = images or kept
    if not chosen:
        raise _nothing(patterns, len(found))
    return sorted(chosen, key=lambda path: (path.name, path.as_posix()))


def patterns_of(files: Sequence[Path]) -> list[str]:
    """Return patterns that match `files` and nothing else: one for a folder whose files of that ending they all are, else the files."""
    groups: dict[str, set[Path]] = {}
    for file in files:
        groups.setdefault(f"{glob.escape(str(file.parent))}/*{file.suffix}", set()).add(file)
    found: list[str] = []
    for pattern, group in groups.items():
        found += [pattern] if len(group) > 1 and _matches(pattern) == group else sorted(map(str, group))
    return found


def _matches(pattern: str) -> set[Path]:
    path = Path(pattern)
    if path.is_file():
        return {path}
    if path.is_dir():
        return {entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")}
    found = (Path(match) for match in glob.iglob(re.sub("%+", "*", pattern.replace("#", "[0-9]")), recursive=True))
    return {path for path in found if path.is_file() or path.is_symlink()}


def _nothing(patterns: Sequence[str], left_out: int) -> WrongUse:
    pattern = patterns[0] if patterns else ""
    if left_out:
        return WrongUse("no-files", f"{pattern}: all {left_out} files that match are left out.", "Leave out fewer.")
    folder = Path(pattern)
    while glob.has_magic(folder.as_posix()) or set("#%") & set(folder.name) or not folder.is_dir():
        folder = folder.parent
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    there = f"{', '.join(names[:5])}{' …' if len(names) > 5 else ''} ({len(names)} in all)" if names else "nothing"
    return WrongUse(
        "no-files",
        f"no file matches {pattern}. Looked in {folder}, which holds {there}.",
        "Correct the pattern; quote it so that the shell does not expand it.",
    )


_SIGNS = re.compile(r"(#+|%+|\*\*/|\*+|\?|\[[^\]/]+\])")
_MOST_DIGITS = 12
"""An id has room for as many: those of its particles are a million times larger."""


def said_by_names(patterns: Sequence[str], files: Sequence[Path]) -> tuple[list[int] | None, dict[Path, str]]:
    """Return the ids that the ``#`` of patterns stand for, None unless all files have one, and the names that their ``%`` stand for.

    Several runs of ``#`` in a pattern are read as one number, several of ``%`` are joined by ``_``.

    Raises
    ------
    WrongUse
        ``ids-repeated`` when two files have one id, ``ids-long`` when one has more digits than there is room for.
    """
    expressions = [_expression(pattern) for pattern in patterns if "#" in pattern or "%" in pattern]
    ids: list[int] = []
    names: dict[Path, str] = {}
    for file in files if expressions else ():
        match = next((found for each in expressions if (found := each.fullmatch(file.as_posix()))), None)
        parts = {} if match is None else match.groupdict()
        digits = "".join(text for key, text in parts.items() if key.startswith("id"))
        if len(digits.lstrip("0")) > _MOST_DIGITS:
            raise WrongUse("ids-long", f"{file.name}: {digits} is too long for an id.", "Write * instead of # for some of the digits.")
        ids += [int(digits)] if digits else []
        if name := "_".join(text for key, text in parts.items() if key.startswith("name")):
            names[file] = _clean(name.replace("/", "_"))
    if len(ids) < len(files) or not ids:
        return None, names
    if len(set(ids)) < len(ids):
        twice = next(number for number, count in Counter(ids).items() if count > 1)
        first, second = (file.name for file, number in zip(files, ids, strict=True) if number == twice)
        raise WrongUse(
            "ids-repeated", f"{first} and {second} both have the id {twice}.", "Write * instead of #: files are then numbered in order."
        )
    return ids, names


def _expression(pattern: str) -> re.Pattern[str]:
    """Return a regular expression that matches what the pattern does, with a group for each run of ``#`` and ``%``."""
    words = {"**/": "(?:.*/)?", "?": "[^/]"}
    parts = []
    for number, part in enumerate(_SIGNS.split(pattern)):
        if not number % 2:
            parts.append(re.escape(part))
        elif part[0] == "#":
            parts.append(f"(?P<id{number}>[0-9]{{{len(part)}}})")
        elif part[0] == "%":
            parts.append(f"(?P<name{number}>[^/]*)")
        else:
            parts.append(words.get(part, part.replace("[!", "[^") if part[0] == "[" else "[^/]*"))
    return re.compile("".join(parts))


def image_suffix(path: Path) -> str:
    """Return the ending that tells the format, ``.mrc`` for ``a.mrc.bz2``."""
    suffixes = [suffix for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    return suffixes[-1] if suffixes else ""


def item_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file that joins it to everything made from it.

    The file name without its endings (``.mrc``, ``.mrc.bz2``, ``_fractions.tiff``), white space replaced. Two files of one folder that
    differ in their ending only keep it; files of several folders that agree get their folder's name before it, as many as it takes.
    """
    names = [_stem(path) for path in paths]
    here = Counter(zip([path.parent for path in paths], names, strict=True))
    names = [
        f"{name}_{'_'.join(path.suffixes).replace('.', '')}" if here[path.parent, name] > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
    for level in range(2, max((len(path.parts) for path in paths), default=0)):
        count = Counter(names)
        if len(count) == len(names):
            break
        names = [
            f"{_clean(path.parts[-level])}_{name}" if count[name] > 1 and len(path.parts) > level else name
            for path, name in zip(paths, names, strict=True)
        ]
    return names


def matching_names(files: Sequence[str], names: Sequence[str]) -> dict[str, str | None]:
    """Return which of `names` each file is about, None if none.

    A name matches a file of that name, then one that only adds an ending to it (``mic_DW.mrc``, ``mic_autopick.star`` are about
    ``mic``; the longest such name counts), then the one name that adds an ending to the file's.
    """
    known = set(names)
    ending = re.compile(r"[_.\-]")
    longer: dict[str, list[str]] = {}
    for name in names:
        for cut in ending.finditer(name):
            longer.setdefault(name[: cut.start()], []).append(name)
    found: dict[str, str | None] = {}
    for file in files:
        stem = _stem(Path(file))
        cuts = [stem, *(stem[: cut.start()] for cut in reversed(list(ending.finditer(stem))))]
        match = next((cut for cut in cuts if cut in known), None)
        only = longer.get(stem, [])
        found[file] = match if match is not None else only[0] if len(only) == 1 else None
    return found


def micrograph_names(files: pl.Series, names: pl.Series, what: str) -> dict[str, str]:
    """Return the micrograph, one of `names`, of each file that is about one; see `matching_names`.

    Raises
    ------
    Failure
        ``no-micrograph`` when none is; `what` is what the files tell of micrographs.
    """
    distinct = files.unique().sort().to_list()
    found = {file: name for file, name in matching_names(distinct, names.to_list()).items() if name is not None}
    if not found:
        raise Failure(
            "no-micrograph",
            f"No {what} belongs to a micrograph of the input: {distinct[0]} matches none of {names[0]} …",
            f"Micrographs are matched by file name: import the ones that the {what}s were made on.",
        )
    return found


def listing(files: Sequence[Path], name: str, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Return ``id`` (from 1), ``source`` (absolute path) and the item's name in a column called `name`, one row a file.

    The names are those of `item_names` unless given.
    """
    columns = {"id": range(1, len(files) + 1), "source": [path.as_posix() for path in files], name: names or item_names(files)}
    return pl.DataFrame(columns, schema={"id": pl.Int64, "source": pl.String, name: pl.String})


def _stem(path: Path) -> str:
    name = path.name
    for suffix in reversed(path.suffixes):
        if suffix.lower() in _COMPRESSED:
            name = name[: -len(suffix)]
        elif suffix.lower() in (*IMAGE_SUFFIXES, *_TABLE_SUFFIXES):
            name = name[: -len(suffix)]
            break
        else:
            break
    return _clean(_TAILS.sub("", name))


def _clean(name: str) -> str:
    return re.sub(r"\s+", "_", name)


def resolved(file: str, table: Path, folder: str = "") -> Path | None:
    """Return where a file named in a table lies, None if nowhere.

    Looked for, in this order: as it is; from `folder`; from the table's folder and each folder above it (project paths of RELION and
    cryoSPARC start there); and by its bare name beside the table.
    """
    places = [Path(folder)] if folder else []
    candidates = [place / file for place in (*places, *table.absolute().parents)]
    bare = [place / Path(file).name for place in (*places, table.absolute().parent)]
    return next((path for path in (*candidates, *bare) if path.is_file()), None)


@contextmanager
def named_only(source: Path) -> Iterator[None]:
    """Keep the folder of `source` out of failures raised inside: reasons stand in tables, which must not say where a user's data lie."""
    try:
        yield
    except Failure as error:
        raise Failure(error.code, error.message.replace(source.as_posix(), source.name), error.cure) from error


def fingerprint(paths: Sequence[Path]) -> list[list[str | int]]:
    """Return name, size and time of last change (ns) of every file: enough to notice that one was replaced."""
    entries: list[list[str | int]] = []
    for path in paths:
        try:
            status = path.stat()
            entries.append([path.name, status.st_size, status.st_mtime_ns])
        except OSError:
            entries.append([path.name, -1, -1])
    return entries


def bring_in(source: Path, target: Path, root: Path, *, copy: bool = False) -> Path:
    """Make `target`, a path of the project `root`, stand for the file `source`, and return it.

    A symbolic link (relative where the source lies in the project too, so that the project can be moved), or a copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        with writing(target) as temporary:
            shutil.copyfile(source, temporary)
        return target
    place = os.path.relpath(source, target.parent) if source.resolve().is_relative_to(root.resolve()) else source
    target.unlink(missing_ok=True)
    target.symlink_to(place)
    return target
