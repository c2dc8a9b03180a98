"""The self-contained report page, one HTML file, and its sections as fragments for a notebook: no script, nothing loaded from elsewhere."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any

from cryoloom.report.panels import Notice
from cryoloom.spec import Panel


@dataclass(frozen=True)
class Section:
    """One run in the report."""

    anchor: str
    title: str
    subtitle: str = ""
    about: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    panels: Sequence[Panel] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def render(title: str, headline: str, about: str, findings: Sequence[Panel], sections: Sequence[Section]) -> str:
    """Return the page: `headline` and `findings` first, then one section a run."""
    style = _style("page.css") + _style("panels.css")
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    overview = f"<section>{''.join(_panel(panel) for panel in findings)}</section>" if findings else ""
    body = "".join(_section(section) for section in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{style}</style></head><body><main class="cryoloom">'
        f'<header><h1>{escape(title)}</h1><p class="headline">{escape(headline)}</p><p class="about">{escape(about)}</p></header>'
        f"<nav>{links}</nav>{overview}{body}</main></body></html>\n"
    )


def fragment(section: Section) -> str:
    """Return one section as a light card that stands in any page, a dark one too; its style reaches nothing outside it."""
    return f'<div class="cryoloom"><style>{_style("panels.css")}</style>{_section(section)}</div>'


def _style(name: str) -> str:
    return files("cryoloom.report").joinpath(name).read_text(encoding="utf-8")


def _section(section: Section) -> str:
    numbers = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(_number(value))}</dd></div>" for label, value in section.summary.items())
    warnings = "".join(Notice(level="advice", text=text).html() for text in section.warnings)
    panels = "".join(_panel(panel) for panel in section.panels)
    rows = "".join(f"<tr><td>{escape(str(name))}</td><td>{escape(_number(value))}</td></tr>" for name, value in section.details.items())
    details = (
        f'<details><summary>Parameters and inputs</summary><table class="rows"><tbody>{rows}</tbody></table></details>' if rows else ""
    )
    anchor = f' id="{section.anchor}"' if section.anchor else ""
    about = f'<p class="about">{_prose(section.about)}</p>' if section.about else ""
    return (
        f"<section{anchor}><h2>{escape(section.title)}<small>{escape(section.subtitle)}</small></h2>"
        f'{about}<dl class="numbers">{numbers}</dl>{warnings}<div class="panels">{panels}</div>{details}</section>'
    )


def _prose(text: str) -> str:
    """Return a docstring's words; what stands in backquotes there is code."""
    return re.sub(r"(``?)(.+?)\1", r"<code>\2</code>", escape(text))


def _panel(panel: Panel) -> str:
    title, caption = getattr(panel, "title", ""), getattr(panel, "caption", "")
    head = f"<h3>{escape(title)}</h3>" if title else ""
    tail = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return f'<div class="panel">{head}{panel.html()}{tail}</div>'


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
