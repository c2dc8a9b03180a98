"""What somebody does who has read the README only, by mouse and keyboard, without one reload: a project, movies, motion, results, a subset, what follows."""

import json
import re
import shutil

import pytest
from hands import Keyboard, Mouse
from playwright.sync_api import expect


def field(form, name: str):
    return form.locator(f'[data-field="{name}"]').locator("input, select").first


def box(page, name: str):
    return page.locator(f'.react-flow__node[data-id="{name}"]')


@pytest.mark.parametrize("with_what", [Mouse, Keyboard])
def test_from_movies_to_a_subset_and_on(page, projects, server, shoot, with_what):
    hand = with_what(page)
    shutil.copytree(projects.parent / "data", server.folder / "microscope", dirs_exist_ok=True)
    told = json.loads((server.folder / "microscope/acquisition.json").read_text())
    page.evaluate("() => { window.neverReloaded = true }")

    hand.press(page.get_by_role("button", name="New project"))
    hand.fill(page.get_by_role("dialog").get_by_label("Name"), f"first look by {with_what.__name__}")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/p/first%20look%20by%20"))
    expect(page.get_by_text("Nothing here yet")).to_be_visible()

    # A protocol found by search, by keyboard alone.
    page.keyboard.press("Control+f")
    page.keyboard.type("import movies")
    expect(page.get_by_role("treeitem", name=re.compile("^import.movies"))).to_be_visible()
    page.keyboard.press("Enter")
    form = page.get_by_role("form", name="import.movies")
    hand.press(form.locator('[data-field="pattern"]').get_by_role("button", name="Choose files"))
    dialog = page.get_by_role("dialog")
    for name in (f"{server.folder}/", "microscope/", "movies/"):
        hand.press(dialog.get_by_role("button", name=name))
    hand.press(dialog.get_by_role("button", name=re.compile(r"\.mrc")).first)
    expect(dialog.locator(".matches")).to_contain_text("3 files")
    shoot("wizard")
    hand.press(dialog.get_by_role("button", name=re.compile("^Use")))
    for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame"):
        if field(form, name).input_value() in ("", "choose …"):
            hand.fill(field(form, name), str(told[name]))
    shoot("form")
    hand.press(form.get_by_role("button", name="Execute"))
    expect(box(page, "r001").locator(".state")).to_contain_text("finished")

    # What comes next is offered; its input is chosen already.
    hand.press(page.get_by_role("treeitem", name=re.compile("^motion.correlation")).first)
    form = page.get_by_role("form", name="motion.correlation")
    expect(field(form, "movies")).to_have_value("r001.movies")
    hand.press(form.get_by_role("button", name="Execute"))
    state = box(page, "r002").locator(".state")
    expect(state).to_contain_text(re.compile("running|finished"))
    expect(state).to_contain_text("finished", timeout=400_000)

    # Analyze, select, make a subset.
    hand.press(page.get_by_role("button", name="Analyze results"))
    expect(page.locator(".report .panel").first).to_be_visible()
    shoot("report")
    hand.open_tab(page.get_by_role("tab", name="micrographs", exact=True))
    hand.open_tab(page.get_by_role("tab", name="Table"))
    expect(page.get_by_role("row").filter(has_text="movie_0003")).to_be_visible()
    hand.choose_rows(page.get_by_role("grid"), (1, 3))
    shoot("selected")
    hand.press(page.get_by_role("button", name="Make a subset"))
    expect(box(page, "r003").locator(".state")).to_contain_text("finished", timeout=200_000)

    # And on with it.
    hand.press(page.get_by_role("treeitem", name=re.compile("^ctf.estimate")).first)
    form = page.get_by_role("form", name="ctf.estimate")
    expect(field(form, "micrographs")).to_have_value("r003.micrographs")
    hand.press(form.get_by_role("button", name="Execute"))
    expect(box(page, "r004").locator(".state")).to_contain_text("finished", timeout=400_000)
    shoot("end")
    assert page.evaluate("() => window.neverReloaded")


def test_the_demo_works_while_one_looks(page, server, shoot):
    """One press makes a project whose boxes turn yellow, then green; a second would only open it."""
    page.get_by_role("button", name="Demo project").click()
    expect(page.get_by_text("movies are being simulated")).to_be_visible()
    expect(page).to_have_url(re.compile("/p/demo$"), timeout=400_000)
    expect(box(page, "r001").locator(".state")).to_contain_text("finished", timeout=400_000)
    expect(box(page, "r002").locator(".state")).to_contain_text("running", timeout=200_000)
    shoot("demo")
    box(page, "r002").click()
    page.get_by_role("button", name="Stop").click()
    expect(box(page, "r002").locator(".state")).to_contain_text("stopped")
    page.goto("/")
    expect(page.get_by_role("link", name=re.compile("Demo"))).to_be_visible()
    expect(page.get_by_role("button", name="Demo project")).to_have_count(0)
