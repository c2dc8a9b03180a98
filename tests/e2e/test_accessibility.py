"""What axe finds wrong with every kind of page, light and dark: nothing serious."""

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import ball, publish, written
from playwright.sync_api import expect

from cryoloom.app.session import open_project
from cryoloom.data import FSC, Classes2D, Particles, Volume
from cryoloom.formats.stack import write_stack
from cryoloom.spec import Failure

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
RUN = """async () => {
    const found = await axe.run(document, { resultTypes: ['violations'], preload: false });
    const told = node => `    ${node.target.join(' ')}  ${node.html.slice(0, 160)}\\n      ${node.failureSummary}`;
    return found.violations.filter(each => ['serious', 'critical'].includes(each.impact)).map(each =>
        `${each.id}: ${each.help}\\n${each.nodes.map(told).join('\\n')}`);
}"""
PAGES = {
    "projects": ("/", "link:Tiny"),
    "canvas": ("/p/tiny", "text:r001"),
    "list": ("/p/tiny?show-as=list", "text:r001"),
    "run": ("/p/tiny/run/r003", "tab:Summary"),
    "log": ("/p/tiny/run/r003/log", "tab:Output log"),
    "parameters": ("/p/tiny/run/r003/parameters", "tab:Parameters"),
    "methods": ("/p/tiny/run/r003/methods", "tab:Methods"),
    "form": ("/p/tiny/new/ctf.estimate", "button:Compute again"),  # r003 has done it already
    "empty form": ("/p/tiny/new/pick.blob", "button:Execute"),
    "report": ("/p/tiny/analyze/r003", "css:.panel"),
    "table": ("/p/tiny/analyze/r003/ctfs/table", "css:[role=grid], table"),
    "plots": ("/p/tiny/analyze/r003/ctfs/plots", "tab:Plots"),
    "ctf": ("/p/tiny/analyze/r003/ctfs/ctf", "css:img, canvas"),
    "micrographs": ("/p/tiny/analyze/r002/micrographs/micrographs", "css:canvas"),
    "surface": ("/p/tiny/analyze/r004/volume/surface", "css:canvas"),
    "slices": ("/p/tiny/analyze/r004/volume/slices", "css:canvas, img"),
    "gallery": ("/p/tiny/analyze/r005/classes2d/gallery", "tab:Gallery"),
    "two maps": ("/p/tiny/analyze/r004/volume/compare?with=r004.volume", "css:canvas, img"),
    "curves": ("/p/tiny/analyze/r006/fsc/fsc", "css:canvas"),
    "views": ("/p/tiny/analyze/r007/particles/orientations", "css:canvas"),
    "picker": ("/p/tiny/pick/r008?m=1", "css:.image-canvas[data-binning]"),
    "compare": ("/p/tiny/compare/r002/r003", "css:h1"),
}
"""Address of each page, and what is there once it shows itself."""


@pytest.fixture(scope="module")
def projects(projects, tmp_path_factory):
    """Return the projects of all tests with a map and class averages beside the rest."""
    folder = tmp_path_factory.mktemp("accessible") / "projects"
    shutil.copytree(projects, folder, symlinks=True)
    project = open_project(folder / "tiny")
    rows = {"id": [1], "volume_path": [written(project, "map.mrc", ball(), volume=True)], "box_size": [48]}
    publish(project, Volume(pl.DataFrame(rows), project.root, meta={"pixel_size": 1.5}), "import.volume")
    write_stack(project.root / "data/averages.mrcs", np.random.default_rng(0).normal(size=(12, 32, 32)).astype(np.float32), 3.0)
    rows = pl.DataFrame({"id": range(1, 13), "stack_index": range(12), "count": range(12)})
    rows = rows.with_columns(class_id="id", stack_path=pl.lit("data/averages.mrcs"), estimated_resolution=pl.lit(10.0))
    publish(project, Classes2D(rows, project.root), "classify2d.em")
    curve = pl.DataFrame({"id": range(20), "shell": range(20), "frequency": np.arange(20) / 60, "fsc": np.linspace(1, -0.05, 20)})
    publish(project, FSC(curve, project.root, meta={"resolution": 3.5}), "postprocess.sharpen")
    rows = pl.DataFrame({"id": range(1, 41), "stack_index": range(40), "rot": np.linspace(-180, 180, 40), "tilt": np.linspace(5, 175, 40)})
    rows = rows.with_columns(micrograph_id=1, optics_group=1, stack_path=pl.lit("p.mrcs"))
    publish(project, Particles(rows, project.root, optics=[{"optics_group": 1, "pixel_size": 1.5}]), "refine.auto")
    with pytest.raises(Failure, match="needs-you"):
        project.run("pick.manual", micrographs=project.output("r002.micrographs"), diameter=150.0, threads=1)
    return folder


@pytest.fixture
def audit(page):
    """Return a function that says what is wrong with the page."""

    def found() -> list[str]:
        page.evaluate(AXE.read_text())  # through the browser's own protocol: its policy forbids a page such scripts
        return page.evaluate(RUN)

    return found


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is absent: npm ci in web/")
@pytest.mark.parametrize("name", PAGES)
def test_no_page_keeps_anybody_out(page, audit, shoot, name):
    address, there = PAGES[name]
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    kind, _, what = there.partition(":")
    shown = (
        page.locator(what) if kind == "css" else page.get_by_text(what) if kind == "text" else page.get_by_role(kind, name=re.compile(what))
    )
    expect(shown.first).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Loading"))).to_have_count(0)
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {each}" for each in audit()]
        shoot(scheme)
    assert not found, "\n".join(found)


OVERLAYS = {
    "palette": ("/p/tiny", "Control+k"),
    "new project": ("/", "button:New project"),
    "notes": ("/p/tiny#notes", ""),
    "disk use": ("/p/tiny#room", ""),
    "trash": ("/p/tiny#trash", ""),
    "import of a workflow": ("/p/tiny#bring", ""),
}


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is absent: npm ci in web/")
@pytest.mark.parametrize("name", OVERLAYS)
def test_no_dialog_keeps_anybody_out(page, audit, name):
    address, way = OVERLAYS[name]
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    expect(page.get_by_text("r001" if "tiny" in address else "Tiny").first).to_be_visible()
    if way.startswith("button:"):
        page.get_by_role("button", name=way.removeprefix("button:")).first.click()
    elif way:
        page.keyboard.press(way)
    expect(page.get_by_role("dialog").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Loading"))).to_have_count(0)
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {each}" for each in audit()]
    assert not found, "\n".join(found)
