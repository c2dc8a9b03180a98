"""The page stands alone: every panel draws, no script, nothing loaded from elsewhere, text escaped."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from cryoloom.numerics.masks.soft import radius_from_centre
from cryoloom.report import panels
from cryoloom.report.html import Section, render
from cryoloom.report.panels import (
    AngularDistribution,
    Bars,
    Dendrogram,
    FlowArrows,
    Funnel,
    HeatMap,
    Histogram,
    ImageGrid,
    LinePlot,
    MapSlices,
    MapSurface,
    MarkedImage,
    MaskedImages,
    Notice,
    Series,
    TableView,
    Trajectory,
)
from cryoloom.report.panels.map_surface import shaded_surface
from cryoloom.report.raster import shrink, to_grey

RNG = np.random.default_rng(0)
BALL = np.clip(12 - radius_from_centre(32), 0, None).astype(np.float32)
PANELS = [
    AngularDistribution(title="Views", rot=RNG.uniform(-180, 180, 200).tolist(), tilt=RNG.uniform(0, 180, 200).tolist()),
    Funnel(title="Funnel", steps=[("picked", 100, "particles"), ("kept <80 %", 70, "particles")]),
    Histogram(title="Defocus", values=[1.0, 2.0, float("nan"), 2.5], label="defocus (Å)", marks={"median": 2.0}),
    ImageGrid(title="Classes", images=[RNG.normal(size=(20, 20)) for _ in range(3)], captions=["a", "b", "c"], good=[True, False, True]),
    LinePlot(
        title="FSC", series=[Series("a", [0.0, 0.1, 0.2], [1.0, 0.5, 0.0])], x_label="Å", y_label="FSC", resolution_axis=True,
        levels={"0.143": 0.143}, marks={"7 Å": 1 / 7},
    ),
    MapSlices(title="Slices", volume=BALL),
    MapSurface(title="Surface", volume=BALL, level=2.0),
    FlowArrows(title="Flow", image=RNG.normal(size=(60, 90)), dx=[[1.0, 0.5], [0.0, -1.0]], dy=[[0.0, 0.2], [0.3, 0.0]]),
    MarkedImage(title="Picks", image=RNG.normal(size=(60, 90)), x=[10.0, 80.0], y=[20.0, 40.0], radius=8.0),
    MarkedImage(title="Scores", image=RNG.normal(size=(60, 90)), x=[10.0, 80.0], y=[20.0, 40.0], radius=8.0, scores=[0.2, 1.0]),
    MaskedImages(
        title="Masked", images=[RNG.normal(size=(30, 40))], masks=[np.eye(30, 40) > 0], kept=[[(3.0, 4.0)]], dropped=[[(9.0, 2.0)]], captions=["m1"]
    ),
    Bars(title="Counts", values=[40.0, 41.0, 3.0], names=["m1", "m2", "m3"], label="picks"),
    Bars(title="Sizes", values=[40.0, 9.0], names=["1∩1", "1∩2"], label="particles", item="intersection", bands=[(20.0, 30.0), (8.0, 12.0)]),
    Dendrogram(title="Tree", links=[[0, 1, 0.2, 2], [2, 3, 0.9, 3]], names=["1∩1", "1∩2", "2∩2"], label="distance", cut=0.5),
    HeatMap(
        title="Table", values=[[1.0, 9.0], [8.0, 2.0]], label="z", x_label="second", y_label="first", rows=["1", "2"], columns=["1", "2"],
        texts=[["10", "90"], ["80", "20"]],
    ),  # fmt: skip
    Notice(level="warning", text="mind the <gap>"),
    TableView(title="Rows", columns={"name": ["a", "b"], "value": [1.23456, None]}, limit=1),
    Trajectory(title="Motion", x=[0.0, 1.0, 1.5], y=[0.0, 0.5, 0.2]),
]  # fmt: skip


EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)></svg></style>--><a href=javascript:alert(1)>$\\evil$ x$y_{"


class _Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.ok, self.inert, self.text = True, True, ""

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.inert &= tag not in {"script", "iframe", "object", "embed", "base", "form"}
        self.inert &= not any(name.startswith("on") or name == "srcdoc" or "javascript:" in (value or "")[:11] for name, value in attrs)
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.ok &= bool(self.open) and self.open.pop() == tag


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: type(panel).__name__)
def test_every_panel_draws_closed_markup(panel):
    markup = panel.html()
    checker = _Checker()
    checker.feed(markup)
    assert checker.ok and not checker.open and len(markup) > 40
    assert "<style" not in markup  # it would mean the whole page
    assert panel.html() == markup


def test_the_page_is_self_contained_and_escapes_text():
    page = render(
        "Project <x>", "7.1 Å", "about", PANELS[:2], [Section("s", "Step & more", panels=PANELS, summary={"n": 1200, "Å": 2.34567})]
    )
    assert "<script" not in page and "Project &lt;x&gt;" in page and "mind the &lt;gap&gt;" in page and "1,200" in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", re.sub(r"xlink:href=\"#[^\"]*\"", "", page))


def hostile(value):
    """Return a panel's field with every text in it replaced by one that would do harm if it were taken for markup."""
    if isinstance(value, str):
        return EVIL
    if isinstance(value, Series):
        return Series(EVIL, value.x, value.y)
    if isinstance(value, dict):
        return {hostile(key): hostile(each) for key, each in value.items()}
    return type(value)(hostile(each) for each in value) if isinstance(value, list | tuple) else value


@pytest.mark.filterwarnings("ignore:constrained_layout")  # the text is too long for any chart
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: type(panel).__name__)
def test_text_is_shown_as_text_in_every_panel(panel):
    """Browsers put what a panel draws into the page as it is."""
    fields = {name: getattr(panel, name) for name in type(panel).model_fields}
    evil = type(panel)(**{name: value if name == "level" and isinstance(value, str) else hostile(value) for name, value in fields.items()})
    checker = _Checker()
    checker.feed(
        render(EVIL, EVIL, EVIL, [evil], [Section("s", EVIL, EVIL, EVIL, {EVIL: EVIL}, [EVIL], [evil], {EVIL: EVIL})]).partition("</head>")[
            2
        ]
    )
    assert checker.inert and checker.text.count(EVIL) >= 5


def test_charts_take_the_colours_of_their_page():
    markup = PANELS[2].html() + PANELS[4].html()
    for name in ("blue", "ink", "soft", "line", "paper"):
        assert f"var(--{name}, #" in markup
    assert not re.search(r": #(1f6f8b|333f48|66717e|e3e7ea|ffffff)", markup)


def test_one_iteration_is_a_dot_and_words_of_marks_do_not_lie_on_each_other():
    def drawn(*x):
        curve = Series("a", x, [0.5] * len(x))
        return LinePlot(title="t", series=[curve], x_label="iteration", y_label="Å", marks={"near": 1.01, "nearer": 1.012}).html()

    one, dot = drawn(1.0), r'<g clip-path="[^"]*">\s*<use'
    assert re.search(dot, one) and not re.search(dot, drawn(1.0, 2.0))
    heights = [re.search(rf'y="([0-9.]+)"[^>]*>{name}<', one) for name in ("near", "nearer")]
    assert heights[0] and heights[1] and heights[0][1] != heights[1][1]
    assert ">1.5<" not in drawn(1.0, 2.0)


def test_verdicts_stand_out_in_tables():
    markup = TableView(title="Checks", columns={"check": ["one", "two"], "verdict": ["good", "warning"], "more": [[1], None]}).html()
    assert '<span class="verdict good">✓ good</span>' in markup and '<span class="verdict warning">✗ warning</span>' in markup


def test_every_kind_of_panel_is_tested():
    assert {type(panel).__name__ for panel in PANELS} == set(panels.__all__) - {"Series"}


def test_code_in_a_description_stands_as_code():
    page = render("", "", "", [], [Section("s", "Step", about="Reads ``.map`` with a<b, or `ids`; it's plain.")])
    assert "Reads <code>.map</code> with a&lt;b, or <code>ids</code>; it&#x27;s plain." in page


def test_surface_of_a_ball_is_a_disc_lit_from_the_upper_left():
    picture = shaded_surface(BALL, 2.0, 64)
    grey = picture.mean(axis=2)
    covered = (grey < 250).mean()
    assert covered == pytest.approx(np.pi * 10**2 / 24**2, rel=0.12)
    assert grey[20:28, 20:28].mean() > grey[42:48, 42:48].mean()


def test_grey_scale_ignores_what_is_not_a_number():
    image = np.arange(100.0).reshape(10, 10)
    image[0, 0] = np.nan
    assert to_grey(image).max() == 255 and to_grey(np.full((3, 3), np.nan)).max() == 0
    assert shrink(np.ones((100, 60)), 50).shape == (50, 30)


def test_large_numbers_in_tables_are_read_without_exponents():
    page = TableView(title="CTFs", columns={"defocus": [16941.5, 0.04231, 1e12, None]}).html()
    assert [">16942<" in page or ">16941<" in page, ">0.04231<" in page, ">1e+12<" in page, ">–<" in page] == [True] * 4
