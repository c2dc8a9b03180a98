"""Maps in a real browser: surfaces, slices, two maps beside one another, views of particles, and all that without WebGL."""

import os
import re

import imagecodecs
import numpy as np
import polars as pl
import pytest
from planted import publish, written
from playwright.sync_api import expect

from cryoloom.app.map_agreement import map_agreement
from cryoloom.app.session import create_project
from cryoloom.data import AtomicModel, Mask, Particles, Volume
from cryoloom.formats.atomic_model import traced_model

CHROMIUM = os.environ.get("CRYOLOOM_CHROMIUM", "/usr/bin/chromium")
BOX, PIXEL = 64, 2.0
WITHOUT_3D = ["--no-sandbox", "--disable-gpu", "--disable-3d-apis", "--disable-dev-shm-usage", "--no-first-run"]


def density(seed: int = 0) -> np.ndarray:
    """Return three soft balls of different sizes in noise."""
    z, y, x = np.indices((BOX, BOX, BOX)) - BOX // 2
    noise = np.random.default_rng(seed).normal(0, 0.02, (BOX,) * 3)
    balls = [((-8, 0, 0), 10), ((9, 6, 0), 7), ((4, -9, 8), 5)]
    parts = [1 / (1 + np.exp(np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) - radius)) for (a, b, c), radius in balls]
    return (np.maximum.reduce(parts) + noise).astype(np.float32)


def height() -> np.ndarray:
    """Return a map whose values are z, as a map of local resolution might vary."""
    return np.broadcast_to(np.arange(BOX, dtype=np.float32)[:, None, None], (BOX,) * 3).copy()


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Return a project with a map and its halves (r001), a map to colour by (r002), a mask (r003), particles with views (r004) and without (r005),
    a model (r006)."""
    folder = tmp_path_factory.mktemp("workplace") / "projects"
    project = create_project(folder / "maps", "Maps")
    paths = {
        name: written(project, f"{name}.mrc", density(seed), volume=True, pixel_size=PIXEL) for seed, name in enumerate(("map", "h1", "h2"))
    }
    row = {"id": [1], "volume_path": [paths["map"]], "half_map1_path": [paths["h1"]], "half_map2_path": [paths["h2"]], "box_size": [BOX]}
    publish(project, Volume(pl.DataFrame(row), project.root, meta={"pixel_size": PIXEL}), "refine.auto")
    row = {"id": [1], "volume_path": [written(project, "z.mrc", height(), volume=True, pixel_size=PIXEL)], "box_size": [BOX]}
    publish(project, Volume(pl.DataFrame(row), project.root, meta={"pixel_size": PIXEL}), "import.volume")
    inside = written(project, "mask.mrc", (density() > 0.3).astype(np.float32), volume=True, pixel_size=PIXEL)
    publish(project, Mask(pl.DataFrame({"id": [1], "mask_path": [inside], "box_size": [BOX]}), project.root), "postprocess.mask")
    bare = {
        "id": range(1, 11),
        "micrograph_id": [1] * 10,
        "stack_path": ["p.mrcs"] * 10,
        "stack_index": range(10),
        "optics_group": [1] * 10,
    }
    angles = {"rot": [90.0] * 8 + [3.0] * 2, "tilt": [45.0] * 8 + [87.0] * 2, "half_set": [1, 2] * 5}
    for rows, protocol in ((bare | angles, "refine.auto"), (bare, "particles.extract")):
        frame = pl.DataFrame({name: list(values) for name, values in rows.items()})
        publish(project, Particles(frame, project.root, optics=[{"optics_group": 1, "pixel_size": PIXEL}]), protocol)
    path = "runs/model.cif"
    chain = np.linspace([40.0, 50.0, 60.0], [90.0, 70.0, 66.0], 16)
    traced_model(chain, np.zeros(16, np.int64), np.full(16, 30.0)).write(project.root / path)
    publish(
        project,
        AtomicModel(pl.DataFrame({"id": [1], "model_path": [path], "atoms": [16], "residues": [16], "chains": [1]}), project.root),
        "import.model",
        name="model",
    )
    return folder


@pytest.fixture
def analyze(page):
    """Return a function that opens a viewer of an output."""

    def open_(run: str, rest: str):
        page.goto(f"/p/maps/analyze/{run}/{rest}")
        return page

    return open_


def surface(page):
    """Return the picture of the surface once there is one."""
    canvas = page.locator(".stage canvas[data-triangles]").first
    expect(canvas).to_have_attribute("data-triangles", re.compile("[1-9]"))
    return canvas


def pixels(canvas) -> np.ndarray:
    """Return what is seen of an element, r, g, b."""
    return imagecodecs.png_decode(canvas.screenshot())[..., :3].astype(float)


def object_of(canvas, page) -> np.ndarray:
    """Return the middle of a picture after it has been drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    seen = pixels(canvas)
    rows, columns = seen.shape[:2]
    return seen[rows // 4 : -rows // 4, columns // 3 : -columns // 3]


def test_a_surface_is_seen_and_follows_its_level(analyze, shoot):
    page = analyze("r001", "volume/surface")
    canvas = surface(page)
    assert object_of(canvas, page).std() > 15
    before = int(canvas.get_attribute("data-triangles"))
    page.get_by_role("spinbutton", name="Level").fill("0.9")
    expect(canvas).not_to_have_attribute("data-triangles", str(before))
    assert 0 < int(canvas.get_attribute("data-triangles")) < before
    shoot("surface")


def test_a_surface_is_turned_by_keys_and_comes_back(analyze):
    page = analyze("r001", "volume/surface")
    canvas = surface(page)
    first = object_of(canvas, page)
    canvas.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    turned = object_of(canvas, page)
    assert np.abs(turned - first).mean() > 2
    page.keyboard.press("0")
    assert np.abs(object_of(canvas, page) - first).mean() < 0.5


def test_a_lost_context_is_recovered(analyze):
    page = analyze("r001", "volume/surface")
    canvas = surface(page)
    before = object_of(canvas, page)
    canvas.evaluate(
        """canvas => new Promise(done => {
            const lost = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');
            canvas.addEventListener('webglcontextrestored', () => done(), { once: true });
            canvas.addEventListener('webglcontextlost', () => setTimeout(() => lost.restoreContext(), 100), { once: true });
            lost.loseContext();
        })"""
    )
    assert np.abs(object_of(canvas, page) - before).mean() < 0.5


def test_a_model_is_seen_in_the_surface(analyze, shoot):
    page = analyze("r001", "volume/surface")
    canvas = surface(page)
    plain = object_of(canvas, page)
    page.get_by_role("combobox", name="Model").select_option("r006.model")
    expect(canvas).to_have_attribute("data-residues", "16")
    assert np.abs(object_of(canvas, page) - plain).mean() > 1
    shoot("surface-model")


def test_a_surface_is_coloured_by_another_map(analyze, shoot):
    page = analyze("r001", "volume/surface")
    canvas = surface(page)
    plain = object_of(canvas, page)
    page.get_by_label("Colour by").select_option("r002.volume/1/map")
    legend = page.get_by_role("group", name="Colours of the surface")
    expect(legend).to_be_visible()
    low, high = (float(legend.get_by_label(each).input_value()) for each in ("Lowest value in colour", "Highest value in colour"))
    on_surface = np.flatnonzero((density() > 0.5).any(axis=(1, 2)))
    assert on_surface[0] - 1 <= low < high <= on_surface[-1] + 1
    assert np.abs(object_of(canvas, page) - plain).mean() > 5
    page.get_by_label("Outline").select_option("r003.mask/1/mask")
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 0.47 * box["width"], box["y"] + 0.5 * box["height"])
    told = page.locator(".picked")
    expect(told).to_have_text(re.compile(r"x \d+, y \d+, z \d+: [\d.]+, coloured by [\d.]+"))
    x, y, z, value, colour = (float(each) for each in re.findall(r"[\d.]+", told.inner_text()))
    assert value == pytest.approx(float(density()[int(z), int(y), int(x)]), rel=1e-3) and colour == z
    shoot("coloured")


def test_the_value_under_the_cursor_is_that_of_numpy(analyze, shoot):
    page = analyze("r001", "volume/slices")
    told, middle = page.get_by_label("Voxel"), BOX // 2
    step = float(density().max() - density().min()) / 255
    for number, place in enumerate(("z", "y", "x")):
        picture = page.get_by_role("group", name=f"across {place}")
        expect(picture.get_by_role("img")).to_have_attribute("width", str(BOX))
        box = picture.bounding_box()
        page.mouse.move(box["x"] + (20.5 / BOX) * box["width"], box["y"] + (36.5 / BOX) * box["height"])
        expect(told).to_have_text(re.compile(r"x \d+, y \d+, z \d+: "))
        value = float(told.inner_text().split(": ")[1])
        voxel = [(middle, 36, 20), (36, middle, 20), (36, 20, middle)][number]
        assert told.inner_text().startswith(f"x {voxel[2]}, y {voxel[1]}, z {voxel[0]}:")
        assert value == pytest.approx(float(density()[voxel]), abs=step)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(2, 2)
    expect(told).to_have_text(re.compile("exactly"))
    assert float(told.inner_text().split("exactly ")[1]) == pytest.approx(float(density()[36, 20, middle]), rel=1e-3)
    shoot("slices")


def test_slices_by_keys_and_as_a_montage(analyze, shoot):
    page = analyze("r001", "volume/slices")
    across = page.get_by_role("group", name="across z")
    expect(across.get_by_role("img")).to_have_attribute("width", str(BOX))
    across.focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("Shift+PageDown")
    expect(page.get_by_text(f"slice {BOX // 2 + 11} of {BOX}")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(f"slice {BOX // 2 + 1} of {BOX}")).to_be_visible()
    page.get_by_role("combobox", name=re.compile("^View")).select_option("y")
    shown = page.get_by_role("button", name=re.compile(r"Slice \d+ across y"))
    expect(shown).to_have_count(24)
    shoot("montage")
    chosen = re.search(r"\d+", shown.nth(5).get_attribute("aria-label"))[0]
    shown.nth(5).click()
    expect(page.get_by_text(f"slice {chosen} of {BOX}, x to the right, z down")).to_be_visible()


def test_two_maps_beside_one_another(analyze, shoot):
    page = analyze("r001", "volume/surface")
    page.get_by_role("button", name="Compare with").click()
    expect(page.get_by_text("Choose the map to compare with")).to_be_visible()
    page.get_by_role("combobox", name=re.compile("^Compare with")).select_option("r001.volume/1/half2")
    agreement = map_agreement(density(0), density(2), PIXEL)
    expect(page.get_by_label("Agreement")).to_contain_text(f"correlation {agreement.correlation:.4g}")
    expect(page.get_by_label("Agreement")).to_contain_text(f"0.143 at {agreement.resolutions[0.143]:.3g} Å")
    expect(page.get_by_role("group", name="difference").get_by_role("img")).to_have_attribute("width", str(BOX))
    shoot("slices")
    page.get_by_role("tab", name="Surfaces").click()
    left, right = (page.locator(".stage canvas").nth(number) for number in (0, 1))
    for canvas in (left, right):
        expect(canvas).to_have_attribute("data-triangles", re.compile("[1-9]"))
    before = object_of(right, page)
    left.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert np.abs(object_of(right, page) - before).mean() > 2  # the other camera follows
    shoot("surfaces")
    page.get_by_role("tab", name="Shell correlation").click()
    expect(page.get_by_role("img", name=re.compile("Fourier shell correlation"))).to_be_visible()
    expect(page.get_by_role("figure")).to_contain_text(f"below 0.143 at {agreement.resolutions[0.143]:.2f} Å")
    shoot("correlation")


def test_the_address_of_a_comparison(analyze):
    page = analyze("r001", "volume/compare?with=r002.volume")
    expect(page.get_by_role("combobox", name=re.compile("^Compare with"))).to_have_value("r002.volume/1/map")
    page = analyze("r001", "volume/compare?with=r009.volume")
    expect(page.get_by_text("r009.volume has no map of the same box")).to_be_visible()


def test_views_of_particles(analyze, complaints, shoot):
    page = analyze("r004", "particles/orientations")
    summary = page.get_by_label("Summary")
    expect(summary).to_contain_text("10 particles, C1")
    expect(summary).to_contain_text("at most 8")
    flat = page.get_by_role("group", name=re.compile("Flat map"))
    box = flat.bounding_box()  # rot 3, tilt 87 lies right of the middle, and above it
    page.mouse.move(box["x"] + 0.508 * box["width"], box["y"] + 0.485 * box["height"])
    expect(page.get_by_role("status", name="Direction")).to_contain_text("2 views")
    page.get_by_role("combobox", name=re.compile("^Of")).select_option("half_set == 1")
    expect(summary).to_contain_text("5 particles")
    page.get_by_label("Symmetry").fill("C9000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("no such point group")).to_be_visible()
    complaints.expect("422")
    page.get_by_label("Symmetry").fill("C2")
    page.keyboard.press("Enter")
    expect(summary).to_contain_text("5 particles, C2")
    globe = page.locator(".globe canvas")
    assert pixels(globe).std() > 10
    shoot("views")
    page = analyze("r005", "particles/orientations")
    expect(page.get_by_text("no angles yet")).to_be_visible()


def test_without_webgl_there_are_slices_and_a_message(browser, server):
    plain = browser.browser_type.launch(executable_path=CHROMIUM, headless=True, args=WITHOUT_3D)
    try:
        page = plain.new_page(base_url=server.origin)
        errors = []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(server.address)
        assert page.evaluate("() => document.createElement('canvas').getContext('webgl2') === null")
        page.goto("/p/maps/analyze/r001/volume/surface")
        expect(page.get_by_text("no WebGL2")).to_be_visible()
        sheet = page.get_by_role("img", name="Slices of r001.volume")
        expect(sheet).to_be_visible()
        assert sheet.evaluate("async image => { await image.decode(); return image.naturalWidth }") > BOX
        assert pixels(sheet).std() > 5
        page.goto("/p/maps/analyze/r004/particles/orientations")
        expect(page.get_by_text("the flat map shows the same")).to_be_visible()
        page.goto("/p/maps/analyze/r001/volume/compare?with=r002.volume")
        page.get_by_role("tab", name="Surfaces").click()
        expect(page.get_by_text("compare slices instead")).to_be_visible()
        assert not errors
    finally:
        plain.close()
