"""How many items each step kept."""

from html import escape

from cryoloom.spec import Panel


class Funnel(Panel):
    """Bars from first to last step; each step is a label, a count and a unit."""

    title: str
    steps: list[tuple[str, int, str]]
    caption: str = ""

    def html(self) -> str:
        """Draw one bar a step, its length relative to the largest count of the same unit."""
        largest: dict[str, int] = {}
        for _, count, unit in self.steps:
            largest[unit] = max(largest.get(unit, 1), count)
        rows = [
            f'<tr><th>{escape(label)}</th><td class="bar"><span style="width:{100 * count / largest[unit]:.1f}%"></span></td>'
            f"<td>{count:,} {escape(unit)}</td></tr>"
            for label, count, unit in self.steps
        ]
        return f'<table class="funnel">{"".join(rows)}</table>'
