"""What somebody does who has read the README only, by mouse and keyboard, without one reload: a project, movies, motion, results, a subset, what follows."""

import json
import re
import shutil

from playwright.sync_api import expect


def field(form, name: str):
    return form.locator(f'[data-field="{name}"]').locator("input, select").first


def box(page, name: str):
    return page.locator(f'.react-flow__node[data-id="{name}"]')


def test_from_movies_to_a_subset_and_on(page, projects, server, shoot):
    shutil.copytree(projects.parent / "data", server.folder / "microscope")
    told = json.loads((server.folder / "microscope/acquisition.json").read_text())
    page.evaluate("() => { window.neverReloaded = true }")

    page.get_by_role("button", name="New project").click()
    page.get_by_role("dialog").get_by_label("Name").fill("first look")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/p/first%20look$"))
    expect(page.get_by_text("Nothing here yet")).to_be_visible()

    # A protocol found by search, by keyboard alone.
    page.keyboard.press("Control+f")
    page.keyboard.type("import movies")
    expect(page.get_by_role("button", name=re.compile("^import.movies"))).to_be_visible()
    page.keyboard.press("Enter")
    form = page.get_by_role("form", name="import.movies")
    form.locator('[data-field="pattern"]').get_by_role("button", name="Choose files").click()
    dialog = page.get_by_role("dialog")
    for name in (f"{server.folder}/", "microscope/", "movies/"):
        dialog.get_by_role("button", name=name).click()
    dialog.get_by_role("button", name=re.compile(r"\.mrc")).first.click()
    expect(dialog.locator(".matches")).to_contain_text("3 files")
    shoot("wizard")
    dialog.get_by_role("button", name=re.compile("^Use")).click()
    for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame"):
        if field(form, name).input_value() in ("", "choose …"):
            field(form, name).fill(str(told[name]))
    shoot("form")
    form.get_by_role("button", name="Execute").click()
    expect(box(page, "r001").locator(".state")).to_contain_text("finished")

    # What comes next is offered; its input is chosen already.
    page.get_by_role("button", name=re.compile("^motion.correlation")).first.click()
    form = page.get_by_role("form", name="motion.correlation")
    expect(field(form, "movies")).to_have_value("r001.movies")
    form.get_by_role("button", name="Execute").click()
    state = box(page, "r002").locator(".state")
    expect(state).to_contain_text(re.compile("running|finished"))
    expect(state).to_contain_text("finished", timeout=120_000)

    # Analyze, select, make a subset.
    page.get_by_role("button", name="Analyze results").click()
    expect(page.locator(".report .panel").first).to_be_visible()
    shoot("report")
    page.get_by_role("tab", name="micrographs").click()
    page.get_by_role("tab", name="Table").click()
    for name in ("movie_0001", "movie_0003"):
        page.get_by_role("row").filter(has_text=name).click(modifiers=["Control"])
    shoot("selected")
    page.get_by_role("button", name="Make a subset").click()
    expect(box(page, "r003").locator(".state")).to_contain_text("finished", timeout=60_000)

    # And on with it.
    page.get_by_role("button", name=re.compile("^ctf.estimate")).first.click()
    form = page.get_by_role("form", name="ctf.estimate")
    expect(field(form, "micrographs")).to_have_value("r003.micrographs")
    form.get_by_role("button", name="Execute").click()
    expect(box(page, "r004").locator(".state")).to_contain_text("finished", timeout=120_000)
    shoot("end")
    assert page.evaluate("() => window.neverReloaded")
