"""The text inside STAR loops: blanks brought to one form at the speed of the memory, quotes and comments where they occur."""

import re

import numpy as np

_TOKEN = re.compile(r"""(?<!\S)"((?:[^"]|"(?=\S))*)"(?!\S)|(?<!\S)'((?:[^']|'(?=\S))*)'(?!\S)|(?<!\S)(#).*|(\S+)""")
_CHUNK = 1 << 25


def split_line(line: str) -> list[str]:
    """Return the values of one line; a quote opens a value only after a blank and closes it only before one."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(line):
        double, single, comment, plain = match.groups()
        if comment:
            break
        tokens.append(next(value for value in (double, single, plain) if value is not None))
    return tokens


def rows_as_tokens(rows: bytes) -> list[list[str]]:
    """Return the values of every line that has any: the careful way, for text with quotes, comments or mistakes."""
    tokens = (split_line(line) for line in rows.decode().splitlines())
    return [row for row in tokens if row]


def normalised(rows: bytes, columns: int) -> bytes | None:
    """Return `rows` with one space between values and one line feed after each row.

    Returns None when the text needs the careful way: single quotes or comments that could be marks, double quotes that do not enclose
    whole values, or a line whose values are not as many as `columns`. About 100 MB of working memory beside input and output.
    """
    rows = _without_tail(rows)
    if rows[:1] in b"#'" or any(blank + mark in rows for blank in (b" ", b"\t", b"\n") for mark in (b"#", b"'")):
        return None
    parts = []
    start = 0
    while start < len(rows):
        stop = len(rows) if len(rows) - start <= _CHUNK else rows.rfind(b"\n", start, start + _CHUNK) + 1
        if stop <= start:
            stop = rows.find(b"\n", start) + 1
        part = _normalised_part(np.frombuffer(rows, dtype=np.uint8, count=stop - start, offset=start), columns)
        if part is None:
            return None
        parts.append(part)
        start = stop
    return b"".join(parts)


def _without_tail(rows: bytes) -> bytes:
    """Cut the blank and comment lines after the last row; a comment before the next block belongs to nobody's rows."""
    end = len(rows)
    while end:
        start = rows.rfind(b"\n", 0, end - 1) + 1
        line = rows[start:end].strip()
        if line and not line.startswith(b"#"):
            break
        end = start
    return rows[:end]


def _normalised_part(text: np.ndarray, columns: int) -> bytes | None:
    newline = text == 10
    blank = (text == 32) | (text == 9)
    quotes = text == 34
    quoted = None
    if quotes.any():
        quoted = (np.cumsum(quotes, dtype=np.int32) & 1).astype(bool)
        before = np.concatenate(([True], (blank | newline)[:-1]))
        after = np.concatenate(((blank | newline)[1:], [True]))
        opening, closing = quotes & quoted, quotes & ~quoted
        if (opening & ~before).any() or (closing & ~after).any() or (quoted & newline).any():
            return None
        blank &= ~quoted
    gap = blank | newline
    value = ~gap
    starts = np.flatnonzero(value & np.concatenate(([True], gap[:-1])))
    ends = np.flatnonzero(newline)
    before_end = np.searchsorted(starts, ends)
    counts = np.diff(before_end, prepend=0)
    filled = counts > 0
    if not (counts[filled] == columns).all():
        return None
    # The last blank before a value stays as the separator, unless that value is the first of its line.
    keep = value
    keep[:-1] |= blank[:-1] & ~gap[1:]
    indents = starts[before_end[filled] - columns] - 1
    indents = indents[indents >= 0]
    keep[indents[blank[indents]]] = False
    keep[ends[filled]] = True
    out = text[keep]
    tabs = out == 9
    if tabs.any():
        out[tabs & ~quoted[keep] if quoted is not None else tabs] = 32
    return out.tobytes()
