"""STAR tables (Hall 1991, doi:10.1021/ci00002a020) as RELION, Xmipp, crYOLO and cryoSPARC's exports write them, read and written on Polars.

Understood: loops and single-record blocks, blank and repeated block names, quoted values, comments, tabs, CRLF. One row stands on one
line. Text is never reinterpreted: a column becomes numeric only when every value is a plain number, and names stay text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.files import writing
from cryoloom.formats.star_text import normalised, rows_as_tokens, split_line
from cryoloom.spec import Failure

Block = pl.DataFrame | Mapping[str, Any]

_BLOCK = re.compile(rb"(data_\S*)[ \t]*(?:#[^\n]*)?\n")
_LOOP = re.compile(rb"(loop_)[ \t]*(?:#[^\n]*)?\n")
_LABEL = re.compile(rb"[ \t]*_(\S+)[ \t]*([^\n]*)\n")
_SKIPPED = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\n)*")
_INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf)$"
_SAMPLE = 1000
_LINES = 1 << 16
_HEADING = "# version 30001\n"
"""What RELION 3.1 and later write and expect above tables with optics groups."""


def read_star(path: Path | str) -> dict[str, pl.DataFrame]:
    """Read every block of `path`.

    Returns
    -------
    dict
        Block name (without ``data_``; ``""`` where blank) to its rows; labels are without their underscore. A block that is not a loop
        has one row. A repeated name, or a second loop in one block, gets ``.2``, ``.3`` ...
        Columns are Int64, Float64 or String; those whose name ends in ``Name`` are always String.

    Raises
    ------
    Failure
        ``star-missing``, ``star-invalid`` (no ``data_`` block), or ``star-ragged`` naming the row whose values do not match the labels.
    """
    path = Path(path)
    if not path.is_file():
        raise Failure("star-missing", f"{path}: there is no such file.", "Check the path.")
    content = _clean(path.read_bytes())
    starts = _lines_of(_BLOCK, b"data_", content)
    if not starts:
        raise Failure("star-invalid", f"{path}: no data_ block; this is not a STAR file.", "Check the format of the file.")
    blocks: dict[str, pl.DataFrame] = {}
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(content)
        name = start.group(1).removeprefix(b"data_").decode()
        body = content[start.end() : end]
        loops = _lines_of(_LOOP, b"loop_", body)
        pairs = body[: loops[0].start()] if loops else body
        if b"_" in pairs or not loops:
            frame = _pairs(pairs, path)
            if frame.width or not loops:
                blocks[_free(name, blocks)] = frame
        for index, loop in enumerate(loops):
            stop = loops[index + 1].start() if index + 1 < len(loops) else len(body)
            blocks[_free(name, blocks)] = _loop(body[loop.end() : stop], name, path)
    return blocks


def demand_numbers(rows: pl.DataFrame, labels: Iterable[str], path: Path) -> None:
    """Refuse a table in which one of `labels`, where it is there, holds something that is not a number.

    Raises
    ------
    Failure
        ``star-number``, naming the row and its value.
    """
    for label in labels:
        if label in rows.columns and rows.height and rows[label].dtype == pl.String:
            row = (~rows[label].str.to_lowercase().str.contains(_NUMBER)).arg_true()[0]
            message = f"{path}: {label} of row {row + 1} is {rows[label][row]!r}; it must be a number."
            raise Failure("star-number", message, "Correct that row, or leave it out.")


def write_star(path: Path | str, blocks: Mapping[str, Block], *, heading: str = _HEADING, first: str = "", numbered: bool = True) -> None:
    """Write `blocks` in their order, aligned; the same tables give the same bytes.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    blocks
        Block name to a frame (written as a loop) or a mapping (written as single values). Floats are written with as many digits as
        bring back the same number; null text as ``""``, null numbers as ``nan``; booleans as 1 and 0.
    heading, first
        Lines to write above every block, and above the first one.
    numbered
        Whether labels carry the number of their column.
    """
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(first)
        for name, block in blocks.items():
            stream.write(f"\n{heading}\ndata_{name}\n\n" if heading else f"\ndata_{name}\n\n")
            if isinstance(block, pl.DataFrame):
                stream.write("loop_\n")
                stream.writelines(f"_{label} #{number}\n" if numbered else f" _{label}\n" for number, label in enumerate(block.columns, 1))
                for lines in _lines(block):
                    stream.write("\n".join(lines.to_list()))
                    stream.write("\n")
            else:
                frame = _as_text(pl.DataFrame({label: [value] for label, value in block.items()}))
                width = max((len(label) for label in frame.columns), default=0) + 1
                stream.writelines(f"{'_' + label:<{width}} {frame[label][0]}\n" for label in frame.columns)
            stream.write("\n")


def _clean(content: bytes) -> bytes:
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        content = content.decode("latin-1").encode("utf-8")
    return content if content.endswith(b"\n") else content + b"\n"


def _lines_of(pattern: re.Pattern[bytes], word: bytes, content: bytes) -> list[re.Match[bytes]]:
    """Return the lines that are `word` and nothing but its name: a search for the plain word is many times faster than one by line."""
    found = []
    position = content.find(word)
    while position >= 0:
        line = content.rfind(b"\n", 0, position) + 1
        match = pattern.match(content, position) if not content[line:position].strip(b" \t") else None
        if match:
            found.append(match)
        position = content.find(word, match.end() if match else position + len(word))
    return found


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number}"
    return candidate


def _pairs(body: bytes, path: Path) -> pl.DataFrame:
    values: dict[str, str] = {}
    for line in body.decode().splitlines():
        tokens = split_line(line)
        if not tokens:
            continue
        if not tokens[0].startswith("_") or len(tokens) != 2:
            raise Failure("star-ragged", f"{path}: expected a label and one value, found {line.strip()!r}.", "Correct the line.")
        values[tokens[0][1:]] = tokens[1]
    return _typed(pl.DataFrame({label: [value] for label, value in values.items()}))


def _loop(body: bytes, name: str, path: Path) -> pl.DataFrame:
    labels: list[str] = []
    position = _after_blank(body, 0)
    while match := _LABEL.match(body, position):
        labels.append(match.group(1).decode())
        position = _after_blank(body, match.end())
    rows = body[position:]
    if not labels:
        raise Failure("star-invalid", f"{path}: the loop of data_{name} has no labels.", "Check how the file was written.")
    if not rows:
        return pl.DataFrame(schema=dict.fromkeys(labels, pl.String))
    table = normalised(rows, len(labels))
    if table is not None:
        return _parsed(table, labels)
    tokens = rows_as_tokens(rows)
    for number, row in enumerate(tokens, 1):
        if len(row) != len(labels):
            raise Failure(
                "star-ragged",
                f"{path}: row {number} of data_{name} has {len(row)} values for {len(labels)} labels.",
                "Correct that line; one row stands on one line, and values with spaces are quoted.",
            )
    return _typed(pl.DataFrame(tokens, schema=dict.fromkeys(labels, pl.String), orient="row"))


def _after_blank(body: bytes, position: int) -> int:
    match = _SKIPPED.match(body, position)
    return match.end() if match else position


def _parsed(table: bytes, labels: list[str]) -> pl.DataFrame:
    """Parse one space between values, one line a row; columns whose first rows are floats are parsed as such at once."""
    text = dict.fromkeys(labels, pl.String)
    sample = _typed(_read(table, text, _SAMPLE))
    guess = {label: pl.Float64 if sample[label].dtype == pl.Float64 else pl.String for label in labels}
    try:
        frame = _read(table, guess)
    except pl.exceptions.ComputeError:
        return _typed(_read(table, text))
    if any(frame[label].has_nulls() for label in labels):
        return _typed(_read(table, text))
    return _typed(frame)


def _read(table: bytes, schema: Mapping[str, type[pl.DataType]], rows: int | None = None) -> pl.DataFrame:
    frame = pl.read_csv(table, schema=dict(schema), n_rows=rows, separator=" ", has_header=False, quote_char='"')
    return frame.with_columns(pl.col(pl.String).fill_null(""))


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    columns = []
    for series in frame:
        if series.dtype != pl.String or series.name.endswith("Name") or not len(series):
            columns.append(series)
        elif series.str.contains(_INTEGER).all():
            columns.append(series.cast(pl.Int64))
        else:
            plain = series.str.to_lowercase().str.replace("^-nan$", "nan")
            numeric = plain.str.contains(_NUMBER).all() and not series.str.contains(r"^[+-]?0[0-9]+$|^[+-]?[0-9]{16,}$").any()
            columns.append(plain.str.strip_prefix("+").cast(pl.Float64) if numeric else series)
    return pl.DataFrame(columns)


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return all columns as STAR tokens."""
    columns = []
    for series in frame:
        if series.dtype == pl.Boolean:
            series = series.cast(pl.Int8)
        if series.dtype.is_float():
            text = series.cast(pl.String).str.replace("^NaN$", "nan").fill_null("nan")
        elif series.dtype.is_integer():
            text = series.cast(pl.String).fill_null("nan")
        elif series.dtype in (pl.String, pl.Null):
            text = _quoted(series.cast(pl.String).fill_null(""))
        else:
            raise ValueError(f"column {series.name}: type {series.dtype} has no form in a STAR file")
        columns.append(text)
    return pl.DataFrame(columns)


def _quoted(text: pl.Series) -> pl.Series:
    """Quote what a reader would otherwise split, drop or take for a label, block or comment."""
    if text.str.contains("\n").any():
        raise ValueError(f"column {text.name}: a STAR value cannot hold a line break")
    needs = (text == "") | text.str.contains(r"[ \t]|^[_#\"';$]|^data_|^loop_|^save_|^global_|^stop_")
    if not needs.any():
        return text
    mark = pl.when(text.str.contains('"')).then(pl.lit("'")).otherwise(pl.lit('"'))
    frame = pl.DataFrame({"text": text, "needs": needs})
    return frame.select(pl.when("needs").then(pl.concat_str(mark, "text", mark)).otherwise("text")).to_series().alias(text.name)


def _lines(block: pl.DataFrame) -> Iterator[pl.Series]:
    """Yield the aligned lines of the rows, some ten thousand at a time."""
    text = _as_text(block)
    padded = []
    for series in text:
        width = int(series.str.len_chars().max() or 0)  # type: ignore[arg-type]
        numeric = block[series.name].dtype.is_numeric()
        padded.append(pl.col(series.name).str.pad_start(width) if numeric else pl.col(series.name).str.pad_end(width))
    for part in text.iter_slices(_LINES):
        yield part.select(pl.concat_str(padded, separator=" ").str.strip_chars_end(" ")).to_series()
