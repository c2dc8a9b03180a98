"""A set as a table and as plots: sorted, filtered, jumped through, and chosen from, by mouse and keyboard."""

import re

import planted_tables as planted
import pytest
from playwright.sync_api import expect

from cryoloom.app.session import create_project, open_project

PICKS = 100_000


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Return a folder with a project of picks."""
    folder = tmp_path_factory.mktemp("tables") / "projects"
    project = create_project(folder / "picks", "Picks")
    source = planted.micrographs(project)
    planted.ctfs(project, source)
    planted.coordinates(project, source, PICKS)
    return folder


@pytest.fixture
def table(page):
    """Return the page with the table of picks."""
    page.goto("/p/picks/analyze/r003/coordinates/table")
    expect(row(page, 1)).to_contain_text("m1")
    return page


def row(page, number):
    """Return a row of the table, from 1; the head is row 1 for screen readers."""
    return page.locator(f'[role="row"][aria-rowindex="{number + 1}"]')


def values(page, number):
    return row(page, number).get_by_role("gridcell").all_inner_texts()


def heading(page, name):
    return page.get_by_role("columnheader").filter(has=page.get_by_role("button", name=re.compile(f"^{name}")))


def test_sorting_has_three_states(table):
    for state, first in (("ascending", "1"), ("descending", "100\u2009000"), ("none", "1")):
        heading(table, "score").get_by_role("button").click()
        expect(heading(table, "score")).to_have_attribute("aria-sort", state)
        expect(row(table, 1).get_by_role("gridcell").nth(1)).to_have_text(first)
    heading(table, "score").get_by_role("button").click()
    assert "sort=score" in table.url


def test_the_end_of_the_table_is_one_jump_away(table, shoot):
    table.get_by_label("Go to row").fill(str(PICKS))
    table.keyboard.press("Enter")
    expect(row(table, PICKS)).to_contain_text("100\u2009000")
    assert table.get_by_role("grid").get_attribute("aria-rowcount") == str(PICKS + 1)
    assert table.get_by_role("row").count() < 100
    table.keyboard.press("Control+Home")
    expect(row(table, 1)).to_contain_text("m1")
    table.get_by_role("grid").hover()
    table.mouse.wheel(0, 28 * 50)
    expect(row(table, 52)).to_be_visible()
    shoot("scrolled")


def test_a_rule_filters_and_what_is_wrong_with_it_is_said_beside_it(table, complaints):
    complaints.expect("422")  # the browser tells its console of the refusal
    table.get_by_label("Go to row").fill("20000")
    table.keyboard.press("Enter")
    expect(row(table, 20_000)).to_be_visible()
    box = table.get_by_label("Filter", exact=True)
    box.fill("score > 0.75 and")
    expect(table.get_by_role("alert")).to_contain_text("not understood")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(row(table, 20_000)).to_be_visible()  # what was there stays
    box.fill("score > 0.75")
    expect(table.get_by_text("25\u2009000 of 100\u2009000 rows")).to_be_visible()
    expect(row(table, 1).get_by_role("gridcell").nth(1)).to_have_text("75\u2009001")
    table.reload()
    expect(table.get_by_text("25\u2009000 of 100\u2009000 rows")).to_be_visible()
    box.fill("score > 2")
    expect(table.get_by_text("No row follows this rule")).to_be_visible()


def test_a_threshold_becomes_a_subset(table, server):
    table.get_by_label("Filter", exact=True).fill("score > 0.75")
    table.get_by_role("button", name="Select all 25\u2009000 that follow the rule").click()
    bar = table.get_by_role("region", name="Selection")
    expect(bar.get_by_role("status")).to_have_text("25\u2009000 of 100\u2009000 rows selected")
    table.get_by_label("Filter", exact=True).fill("")
    expect(row(table, 1)).to_have_attribute("aria-selected", "false")
    table.reload()  # a draft outlives it
    expect(bar.get_by_role("status")).to_have_text("25\u2009000 of 100\u2009000 rows selected")
    bar.get_by_label("Name of the subset").fill("sure ones")
    bar.get_by_role("button", name="Make a subset").click()
    expect(table).to_have_url(re.compile(r"/run/r004$"))
    expect(table.get_by_role("complementary", name="Run").get_by_text("finished")).to_be_visible()
    made = open_project(server.folder / "picks").find("r004")
    assert made.label == "sure ones" and made.outputs["coordinates"].count == 25_000
    assert made.describe()["parameters"]["where"] == "score > 0.75"


def test_rows_are_chosen_by_hand(table):
    said = table.get_by_role("region", name="Selection").get_by_role("status")
    row(table, 2).get_by_role("gridcell").nth(2).click()
    expect(said).to_have_text("1 of 100\u2009000 rows selected")
    row(table, 5).click(modifiers=["Shift"])
    expect(said).to_have_text("4 of 100\u2009000 rows selected")
    row(table, 3).click(modifiers=["Control"])
    expect(said).to_have_text("3 of 100\u2009000 rows selected")
    assert [row(table, each).get_attribute("aria-selected") for each in range(1, 7)] == ["false", "true", "false", "true", "true", "false"]
    table.get_by_role("button", name="Invert", exact=True).click()
    expect(said).to_have_text("99\u2009997 of 100\u2009000 rows selected")
    table.get_by_role("button", name="Undo", exact=True).click()
    expect(said).to_have_text("3 of 100\u2009000 rows selected")
    table.get_by_role("grid").focus()
    table.keyboard.press("Control+a")
    expect(said).to_have_text("100\u2009000 of 100\u2009000 rows selected")
    table.get_by_role("button", name="Clear", exact=True).click()


def test_columns_are_chosen_and_say_what_they_mean(table):
    expect(heading(table, "x").get_by_role("button")).to_have_attribute("title", re.compile("particle centre"))
    table.get_by_role("button", name=re.compile("^Columns")).click()
    dialog = table.get_by_role("dialog", name="Columns")
    expect(dialog.get_by_text("how sure the method is")).to_be_visible()
    dialog.get_by_label("strength").uncheck()
    dialog.get_by_role("button", name="Done").click()
    expect(heading(table, "strength")).to_have_count(0)
    table.reload()
    expect(heading(table, "score")).to_have_count(1)
    expect(heading(table, "strength")).to_have_count(0)


def test_disabled_rows_say_why_and_foreign_words_are_words(page, shoot):
    """A name that holds a script is shown as it is; nothing of it is run, or the page would have complained."""
    page.goto("/p/picks/analyze/r001/micrographs/table")
    expect(row(page, 2)).to_contain_text(planted.HOSTILE)
    expect(row(page, 3).get_by_role("gridcell", name="no signal", exact=True)).to_be_visible()
    expect(page.locator('img[src="x"]')).to_have_count(0)
    shoot("hostile")


def test_a_brush_gives_a_rule_and_histograms_are_linked(page, shoot):
    page.goto("/p/picks/analyze/r003/coordinates/plots")
    score = page.get_by_role("figure", name="Histogram of score")
    over = score.locator(".u-over")
    expect(over).to_be_visible()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=5)
    page.mouse.up()
    keep = page.get_by_label("Keep")
    expect(keep).to_have_value(re.compile(r"^score between 0\.2\d* and 0\.[45]\d*$"))
    said = page.get_by_role("region", name="Selection").get_by_role("status")
    expect(said).to_contain_text("of 100\u2009000 rows selected")
    # by keyboard, and exactly
    score.get_by_label("Least score").fill("0.25")
    page.keyboard.press("Tab")
    score.get_by_label("Largest score").fill("0.5")
    page.keyboard.press("Enter")
    expect(keep).to_have_value("score between 0.25 and 0.5")
    expect(said).to_have_text("25\u2009001 of 100\u2009000 rows selected")
    strength = page.get_by_role("figure", name="Histogram of strength")
    expect(strength.get_by_role("img")).to_have_attribute("aria-label", re.compile("22\u2009500 follow the rule"))
    shoot("brushed")
    page.get_by_role("tab", name="Table").click()
    expect(page.get_by_text("25\u2009001 of 100\u2009000 rows", exact=True)).to_be_visible()


def test_points_are_thinned_out_and_brushed(page, shoot):
    page.goto("/p/picks/analyze/r003/coordinates/plots")
    page.get_by_role("tab", name="Scatter").click()
    page.get_by_label("y", exact=True).select_option("y")
    page.get_by_label("x", exact=True).select_option("x")
    expect(page.get_by_role("img", name=re.compile(r"\d points for 100\s000 rows: y over x"))).to_be_visible()
    box = page.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=5)
    page.mouse.up()
    expect(page.get_by_label("Keep")).to_have_value(re.compile(r"^x between \S+ and \S+ and y between \S+ and \S+$"))
    shoot("scatter")


def test_ctfs_below_a_threshold_go_on_to_another_estimate(page):
    page.goto("/p/picks/analyze/r002/ctfs/plots?where=ctf_resolution+%3C+6")
    bar = page.get_by_role("region", name="Selection")
    expect(bar.get_by_role("status")).to_have_text("3 of 10 rows selected")
    choose = bar.get_by_label("Make a subset of")
    choose.select_option("ctf")
    expect(choose.locator("option:checked")).to_have_text("3 CTF of these micrographs anew")
    bar.get_by_role("button", name="Make a subset").click()
    expect(page).to_have_url(re.compile(r"/new/ctf\.estimate\?micrographs=r\d+\.micrographs$"))
