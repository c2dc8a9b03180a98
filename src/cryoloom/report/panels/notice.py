"""A sentence the reader must not miss."""

from html import escape
from typing import Literal

from cryoloom.spec import Panel


class Notice(Panel):
    """What is wrong or right, and what to try next."""

    level: Literal["good", "advice", "warning"]
    text: str
    title: str = ""
    caption: str = ""

    def html(self) -> str:
        """Write the sentence in a coloured frame."""
        return f'<p class="notice {self.level}">{escape(self.text)}</p>'
