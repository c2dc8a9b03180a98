"""A few rows of a table."""

from html import escape
from typing import Any

from cryoloom.spec import Panel


class TableView(Panel):
    """Columns by label; numbers are rounded for reading."""

    title: str
    columns: dict[str, list[Any]]
    caption: str = ""
    limit: int = 30

    def html(self) -> str:
        """Write the first `limit` rows, and how many there are."""
        rows = list(zip(*self.columns.values(), strict=True))
        head = "".join(f"<th>{escape(label)}</th>" for label in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>" for row in rows[: self.limit])
        more = f"<p class='more'>{self.limit} of {len(rows)} rows</p>" if len(rows) > self.limit else ""
        return f'<div class="wide"><table class="rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
