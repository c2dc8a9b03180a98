"""Picking in the browser by mouse and keyboard: what is clicked on is what the server has, and saving lets the run finish."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

import cryoloom
from cryoloom.spec import Failure

SIZE = 512  # px a side of the micrographs of `projects`


@pytest.fixture(scope="module")
def projects(projects, tmp_path_factory) -> Path:
    """Return projects of which ``tiny`` has a run r004 that waits for somebody who picks."""
    folder = tmp_path_factory.mktemp("picking") / "projects"
    shutil.copytree(projects, folder, symlinks=True)
    project = cryoloom.open_project(folder / "tiny")
    with pytest.raises(Failure, match="needs-you"):
        project.run("pick.manual", micrographs=project.output("r002.micrographs"), diameter=150.0, threads=1)
    return folder


@pytest.fixture
def server(projects, tmp_path, serve):
    """Serve a copy of the projects, for each test its own."""
    shutil.copytree(projects, tmp_path / "projects", symlinks=True)
    with serve(tmp_path / "projects", tmp_path) as served:
        yield served


@pytest.fixture
def picker(page):
    """Return the page of the picker, the whole micrograph shown and all of it there."""
    page.goto("/p/tiny/run/r004")
    page.get_by_role("button", name="Pick particles").click()
    expect(page.get_by_role("status", name="Picks on this micrograph")).to_have_text("0 picks")
    expect(page.locator(".image-canvas")).to_have_attribute("aria-busy", "false")
    return page


def surface(page):
    return page.get_by_role("application", name="Micrograph")


def place_of(page, x, y, scale=None):
    """Return where on the surface a place of the micrograph is, the micrograph's middle in the middle; without `scale`, as it fits."""
    box = surface(page).bounding_box()
    scale = scale or min(box["width"], box["height"]) / SIZE
    return {"x": (x - (SIZE - 1) / 2) * scale + box["width"] / 2, "y": (y - (SIZE - 1) / 2) * scale + box["height"] / 2}


def click(page, x, y, scale=None, **how):
    surface(page).click(position=place_of(page, x, y, scale), **how)


def counted(page, words):
    expect(page.get_by_role("status", name="Picks on this micrograph")).to_have_text(words)


def told(page):
    """Return what the server has of the first micrograph."""
    return page.context.request.get("/api/projects/tiny/runs/r004/picking/sheets/1").json()


def arrived(page, holds):
    """Wait until what the server has is as wanted: edits are drawn before they are made there."""
    for _ in range(100):
        if holds(told(page)):
            return
        page.wait_for_timeout(100)
    raise AssertionError(told(page))


def near(page, wanted, within=1.0):
    """Wait until the server has these picks and no others."""

    def holds(sheet):
        found = [pick[1:3] for pick in sheet["picks"]]
        return len(found) == len(wanted) and all(any(abs(x - a) <= within and abs(y - b) <= within for x, y in found) for a, b in wanted)

    arrived(page, holds)


def grey_levels(page):
    """Return how many different greys a picture of the micrograph has, from the screen as it is shown."""
    box = surface(page).bounding_box()
    shot = page.screenshot(clip={"x": box["x"] + 200, "y": box["y"] + 100, "width": 200, "height": 200})
    return len({pixel[0] for pixel in Image.open(io.BytesIO(shot)).convert("RGB").getdata()})


def test_the_micrograph_is_drawn_by_webgl(picker, shoot):
    assert not picker.get_by_text("This browser has no WebGL 2").is_visible()
    shoot("fitted")
    assert grey_levels(picker) > 50


def test_places_are_right_at_two_zooms_and_rows_run_down(picker):
    wanted = [(100.0, 50.0), (400.0, 450.0)]
    for x, y in wanted:
        click(picker, x, y)
    counted(picker, "2 picks")
    near(picker, wanted)
    surface(picker).press("1")
    close = [(250.0, 225.0), (280.0, 300.0)]
    for x, y in close:
        click(picker, x, y, scale=1)
    near(picker, [*wanted, *close])
    surface(picker).press("0")
    for _ in range(3):
        surface(picker).press("+")
    box = surface(picker).bounding_box()
    click(picker, 256.0, 200.0, scale=1.25**3 * min(box["width"], box["height"]) / SIZE)
    near(picker, [*wanted, *close, (256.0, 200.0)], 0.5)


def test_add_move_remove_the_nearest_and_undo(picker, shoot):
    click(picker, 150, 150)
    click(picker, 160, 150)
    click(picker, 350, 350)
    counted(picker, "3 picks")
    click(picker, 158, 150, modifiers=["Shift"])
    counted(picker, "2 picks")
    near(picker, [(150, 150), (350, 350)])
    box = surface(picker).bounding_box()
    start, end = place_of(picker, 350, 350), place_of(picker, 300, 200)
    picker.mouse.move(box["x"] + start["x"], box["y"] + start["y"])
    picker.mouse.down()
    picker.mouse.move(box["x"] + end["x"] - 5, box["y"] + end["y"], steps=4)
    picker.mouse.move(box["x"] + end["x"], box["y"] + end["y"])
    picker.mouse.up()
    near(picker, [(150, 150), (300, 200)])
    shoot("moved")
    picker.keyboard.press("Control+z")
    near(picker, [(150, 150), (350, 350)])
    picker.keyboard.press("z")
    counted(picker, "3 picks")
    picker.get_by_role("button", name="Undo").click()
    counted(picker, "2 picks")
    picker.keyboard.press("Control+Shift+z")
    counted(picker, "3 picks")
    picker.get_by_role("button", name="Undo").click()
    counted(picker, "2 picks")
    picker.reload()
    counted(picker, "2 picks")
    near(picker, [(150, 150), (160, 150)])


def test_brush_lasso_and_region(picker):
    for x in (150, 180, 210, 400):
        click(picker, x, 250)
    counted(picker, "4 picks")
    drag(picker, "Erase", [(150, 250), (200, 250)])
    counted(picker, "1 pick")
    picker.keyboard.press("Control+z")
    counted(picker, "4 picks")
    drag(picker, "Lasso", [(380, 235), (420, 235), (420, 265), (380, 265)])
    counted(picker, "3 picks")
    drag(picker, "Region", [(100, 150), (300, 400)])
    expect(picker.get_by_role("button", name="Whole micrograph again")).to_be_visible()
    wanted = (100, 150, 300, 400)
    arrived(picker, lambda sheet: sheet["region"] and all(abs(a - b) <= 2 for a, b in zip(sheet["region"], wanted, strict=True)))


def drag(page, tool, places):
    page.get_by_role("radio", name=tool).click()
    box = surface(page).bounding_box()
    points = [place_of(page, x, y) for x, y in places]
    page.mouse.move(box["x"] + points[0]["x"], box["y"] + points[0]["y"])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(box["x"] + point["x"], box["y"] + point["y"], steps=6)
    page.mouse.up()


def test_picking_by_keyboard_alone(picker):
    surface(picker).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowDown", "Enter"):
        picker.keyboard.press(key)
    counted(picker, "1 pick")
    scale = min(surface(picker).bounding_box()["width"], surface(picker).bounding_box()["height"]) / SIZE
    near(picker, [(256 + 20 / scale, 256 + 10 / scale + 1)])
    picker.keyboard.press("Delete")
    counted(picker, "0 picks")
    picker.keyboard.press("PageDown")
    expect(picker.get_by_role("application", name="movie_0002")).to_be_visible()


def test_two_tabs_stay_in_step(picker, complaints):
    complaints.expect("409")  # said of an edit that came second, and is made again
    other = picker.context.new_page()
    other.goto("/p/tiny/pick/r004")
    counted(other, "0 picks")
    click(picker, 150, 150)
    counted(other, "1 pick")
    click(other, 250, 250)
    click(picker, 350, 350)
    counted(picker, "3 picks")
    counted(other, "3 picks")


def test_train_autopick_correct_accept_and_save(picker, server, shoot):
    found = [(x, y) for x in range(60, 480, 90) for y in (90, 210, 330)][:14]
    for x, y in found:
        click(picker, x, y)
    counted(picker, f"{len(found)} picks")
    picker.get_by_role("button", name="Train", exact=True).click()
    expect(picker.get_by_text("Learned from 14 particles")).to_be_visible()
    picker.get_by_role("button", name="Accept, autopick the next").click()
    expect(picker.get_by_role("application", name="movie_0002")).to_be_visible()
    expect(picker.get_by_text("to correct").first).to_be_visible()
    shoot("autopicked")
    picker.get_by_role("button", name="Save and finish").click()
    expect(picker.get_by_role("complementary", name="Run").locator(".state.finished")).to_be_visible(timeout=400_000)
    run = cryoloom.open_project(server.folder / "tiny").find("r004")
    assert run.state == "finished" and len(run.outputs.coordinates) >= len(found)
