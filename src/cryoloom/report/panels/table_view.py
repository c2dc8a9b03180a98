"""A few rows of a table."""

from html import escape
from typing import Any

from cryoloom.spec import Panel

VERDICTS = {"good": "✓", "advice": "!", "warning": "✗"}
"""What stands before these words, which are coloured as notices are."""


class TableView(Panel):
    """Columns by label; numbers are rounded for reading, and stand to the right."""

    title: str
    columns: dict[str, list[Any]]
    caption: str = ""
    limit: int = 30

    def html(self) -> str:
        """Write the first `limit` rows, and how many there are."""
        rows = list(zip(*self.columns.values(), strict=True))
        words = [' class="words"' if any(isinstance(value, str) for value in column) else "" for column in self.columns.values()]
        head = "".join(f"<th{how}>{escape(label)}</th>" for label, how in zip(self.columns, words, strict=True))
        lines = ("".join(f"<td{how}>{_cell(value)}</td>" for value, how in zip(row, words, strict=True)) for row in rows[: self.limit])
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        more = f"<p class='more'>{self.limit} of {len(rows)} rows</p>" if len(rows) > self.limit else ""
        return f'<div class="wide" tabindex="0"><table class="rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _cell(value: Any) -> str:
    if isinstance(value, str) and value in VERDICTS:
        return f'<span class="verdict {value}">{VERDICTS[value]} {value}</span>'
    return escape(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
