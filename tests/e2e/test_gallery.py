"""Class averages looked at and chosen, and curves of resolution read."""

import re

import numpy as np
import planted_tables as planted
import polars as pl
import pytest
from planted import publish
from playwright.sync_api import expect

from cryoloom.app.session import create_project, open_project
from cryoloom.data import FSC

CLASSES = 12


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Return a folder with a project of classes (r001) and curves of two grids of frequencies (r002, r003)."""
    folder = tmp_path_factory.mktemp("gallery") / "projects"
    project = create_project(folder / "classes", "Classes")
    planted.classes(project, CLASSES)
    for extent, resolution in ((150.0, 150 / 33), (140.0, 140 / 33)):
        shells = np.arange(51)
        rows = {"id": shells, "shell": shells, "frequency": shells / extent, "fsc": 1 / (1 + np.exp((shells - 30) / 2))}
        rows["fsc_unmasked"] = 1 / (1 + np.exp((shells - 20) / 2))
        publish(project, FSC(pl.DataFrame(rows), project.root, meta={"resolution": resolution}), "postprocess.sharpen")
    return folder


@pytest.fixture
def gallery(page):
    """Return the page with the gallery of classes."""
    page.goto("/p/classes/analyze/r001/classes/gallery")
    expect(images(page)).to_have_count(CLASSES)
    return page


def images(page, **which):
    return page.get_by_role("listbox", name=re.compile("^Images")).get_by_role("option", **which)


def said(page):
    return page.get_by_role("region", name="Selection").get_by_role("status")


def test_classes_stand_by_size_with_their_resolution(gallery, shoot):
    captions = images(gallery).all_inner_texts()
    assert captions[0] == "12 · 20.0 Å" and captions[-1] == "1 · 9.0 Å"
    gallery.get_by_label("Sort by").select_option("resolution")
    expect(images(gallery).first).to_have_text("1 · 9.0 Å")
    before = images(gallery).first.bounding_box()["width"]
    gallery.get_by_role("slider", name="Zoom").fill("200")
    assert images(gallery).first.bounding_box()["width"] > before + 50
    shoot("zoomed")


def test_three_chosen_inverted_and_made_particles_are_the_members_of_the_rest(gallery, server, shoot):
    shown = images(gallery)
    for place in (0, 2, 4):  # classes 12, 10 and 8
        shown.nth(place).click()
        expect(shown.nth(place)).to_have_attribute("aria-selected", "true")
    expect(said(gallery)).to_have_text("3 of 12 classes selected")
    gallery.get_by_role("button", name="Invert", exact=True).click()
    expect(said(gallery)).to_have_text("9 of 12 classes selected")
    rest = sum(range(1, CLASSES + 1)) - 12 - 10 - 8
    choose = gallery.get_by_label("Make a subset of")
    choose.select_option("particles")
    expect(choose.locator("option:checked")).to_have_text(f"{rest} particles of these classes")
    shoot("chosen")
    gallery.get_by_role("button", name="Make a subset").click()
    gallery.wait_for_url(re.compile(r"/run/r\d+$"))
    expect(gallery.get_by_role("complementary", name="Run").get_by_text("finished")).to_be_visible()
    made = gallery.url.rpartition("/")[2]
    assert open_project(server.folder / "classes").find(made).outputs["particles"].count == rest


def test_the_keyboard_chooses_too(gallery):
    gallery.get_by_role("listbox").focus()
    gallery.keyboard.press("Space")
    for _ in range(3):
        gallery.keyboard.press("Shift+ArrowRight")
    expect(said(gallery)).to_have_text("4 of 12 classes selected")
    gallery.keyboard.press("Control+a")
    expect(said(gallery)).to_have_text("12 of 12 classes selected")
    gallery.get_by_role("button", name="Clear", exact=True).click()


def test_what_the_program_suggests_is_said_to_be_a_suggestion(gallery):
    expect(images(gallery, name=re.compile("suggested"))).to_have_count(6)
    gallery.get_by_role("button", name="Select what is suggested").click()
    expect(said(gallery)).to_have_text("6 of 12 classes selected")
    expect(gallery.locator('[role="option"][aria-selected="true"]')).to_have_count(6)
    images(gallery).first.click(modifiers=["Shift"])  # a stretch from the first takes it in addition
    expect(said(gallery)).to_have_text("7 of 12 classes selected")
    gallery.get_by_role("button", name="Clear", exact=True).click()


def test_particles_are_paged_and_sorted(page):
    page.goto("/p/classes/analyze/r001/particles/gallery?sort=class_id&descending=1")
    expect(images(page)).to_have_count(78)
    expect(images(page).first).to_have_text("12")


def test_curves_read_as_the_server_says(page, shoot):
    page.goto("/p/classes/analyze/r002/fsc")
    expect(page.get_by_text("Resolution 4.55 Å")).to_be_visible()
    line = page.get_by_role("row").filter(has_text="of the half maps")
    expect(line.get_by_role("cell").nth(0)).to_have_text("4.55 Å")
    expect(line.get_by_role("cell").nth(1)).to_have_text("5.00 Å")
    box = page.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50)
    expect(page.get_by_role("columnheader", name="at 5 Å")).to_be_visible()
    expect(line.get_by_role("cell").nth(2)).to_have_text("0.500")
    shoot("curves")


def test_curves_of_compared_runs_have_their_own_numbers(page, shoot):
    page.goto("/p/classes/compare/r002/r003")
    told = ["r002, of the half maps: below 0.143 at 4.55 Å, 0.5 at 5.00 Å", "r003, of the half maps: below 0.143 at 4.24 Å, 0.5 at 4.67 Å"]
    expect(page.get_by_role("figure").get_by_role("listitem")).to_have_text(told)
    expect(page.get_by_role("img", name="; ".join(told))).to_be_visible()
    shoot("compared")
