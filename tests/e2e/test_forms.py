"""Forms in the browser: what is missing, wrong or advised, what hangs on what, wizards that write back, drafts, drops, and all of it by keyboard."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from cryoloom.formats.mrc import write_mrc


@pytest.fixture
def form(page):
    """Return a function that opens the form of a protocol in the project."""

    def opened(protocol: str, **given: str):
        query = "&".join(f"{name}={value}" for name, value in given.items())
        page.goto(f"/p/tiny/new/{protocol}{f'?{query}' if query else ''}")
        shown = page.get_by_role("form", name=protocol)
        expect(shown).to_be_visible()
        return shown

    return opened


def field(form, name: str):
    return form.locator(f'[data-field="{name}"]')


def control(form, name: str):
    return field(form, name).locator("input, select, textarea").first


def execute(form):
    return form.get_by_role("button", name="Execute")


def test_what_is_missing_is_named_and_leads_to_its_field(form):
    shown = form("pick.blob")
    expect(control(shown, "micrographs")).to_have_value("r002.micrographs")
    expect(field(shown, "micrographs")).to_contain_text("Chosen by the form")
    expect(execute(shown)).to_be_disabled()
    expect(shown.locator("#form-standing")).to_contain_text("Still to do")
    shown.locator("#form-standing").get_by_role("button", name="Particle diameter").click()
    expect(control(shown, "diameter")).to_be_focused()
    control(shown, "diameter").fill("-5")
    expect(control(shown, "diameter")).to_have_attribute("aria-invalid", "true")
    described = shown.page.locator(f"id={control(shown, 'diameter').get_attribute('aria-describedby')}")
    expect(described).to_contain_text("must be above 0")
    control(shown, "diameter").fill("100")
    expect(control(shown, "diameter")).not_to_have_attribute("aria-invalid", "true")
    expect(execute(shown)).to_be_enabled()


def test_values_that_contradict_each_other_and_the_one_that_would_do(form, shoot):
    shown = form("ctf.estimate", high_res="50")
    expect(field(shown, "high_res")).to_contain_text("must be finer")
    expect(execute(shown)).to_be_disabled()
    shoot("contradiction")
    field(shown, "high_res").get_by_role("button", name="Use 5").click()
    expect(control(shown, "high_res")).to_have_value("5")
    expect(execute(shown)).to_be_enabled()


def test_work_that_was_done_is_shown_instead(form):
    shown = form("ctf.estimate", micrographs="r002.micrographs")
    expect(shown.locator("#form-standing")).to_contain_text("r003 has done this work already")
    shown.get_by_role("button", name="Show r003").click()
    expect(shown.page).to_have_url(re.compile("/p/tiny/run/r003"))


def test_a_field_that_hangs_on_another_and_the_advanced_ones(form):
    shown = form("micrographs.preprocess")
    expect(field(shown, "bin_factor")).to_have_count(0)
    control(shown, "downsample").check()
    expect(field(shown, "bin_factor")).to_be_visible()
    expect(shown.get_by_label("What it would give")).to_contain_text("factor 2")
    control(shown, "high_pass").check()
    expect(field(shown, "high_cutoff")).to_be_visible()
    expect(field(shown, "high_width")).to_have_count(0)
    shown.get_by_role("button", name="Advanced").click()
    expect(field(shown, "high_width")).to_be_visible()


def test_a_choice_that_the_machine_lacks_says_why(form):
    shown = form("pick.deep")
    topaz = control(shown, "engine").locator("option", has_text="topaz")
    if topaz.get_attribute("disabled") is not None:
        expect(field(shown, "engine")).to_contain_text("topaz is not installed here")
    expect(shown.get_by_label("Threads")).to_have_attribute("placeholder", re.compile(r"all \d+"))


def test_a_circle_on_a_micrograph_becomes_the_diameter(form, shoot):
    shown = form("pick.blob")
    expect(control(shown, "micrographs")).to_have_value("r002.micrographs")
    field(shown, "diameter").get_by_role("button", name="Measure a particle").click()
    dialog = shown.page.get_by_role("dialog")
    picture = dialog.get_by_role("img", name=re.compile("with a circle of"))
    expect(picture).to_be_visible()
    dialog.get_by_role("slider", name="Diameter").press("ArrowRight")
    expect(dialog).to_contain_text("151 Å")
    # Drag the border of the circle outwards.
    box, circle = picture.bounding_box(), picture.locator("circle.first").bounding_box()
    middle = (circle["x"] + circle["width"] / 2, circle["y"] + circle["height"] / 2)
    mouse = shown.page.mouse
    mouse.move(middle[0] + circle["width"] / 2, middle[1])
    mouse.down()
    mouse.move(min(middle[0] + circle["width"], box["x"] + box["width"] - 2), middle[1], steps=5)
    mouse.up()
    shoot("circle")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_have_count(0)
    assert int(control(shown, "diameter").input_value()) > 160
    expect(field(shown, "diameter").get_by_role("button", name="Measure a particle")).to_be_focused()


def test_files_are_found_by_walking_to_one(form, server, shoot):
    folder = server.folder / "incoming/day 1"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(3):
        write_mrc(folder / f"sum_{number}.mrc", np.zeros((64, 64), dtype=np.float32), 1.0)
    shown = form("import.micrographs")
    field(shown, "pattern").get_by_role("button", name="Choose files").click()
    dialog = shown.page.get_by_role("dialog")
    dialog.get_by_role("button", name=f"{server.folder}/").click()
    dialog.get_by_role("button", name="incoming/").click()
    dialog.get_by_role("button", name="day 1/").click()
    dialog.get_by_role("button", name="sum_1.mrc").click()
    expect(dialog.locator(".matches")).to_contain_text("3 files")
    expect(dialog.locator(".matches")).to_contain_text("sum_0.mrc")
    shoot("files")
    dialog.get_by_role("button", name="Use it").click()
    expect(control(shown, "pattern")).to_have_value(f"{folder}/*.mrc")


def test_nothing_outside_of_the_roots_is_shown(form, complaints):
    complaints.expect("422")
    shown = form("import.micrographs")
    field(shown, "pattern").get_by_role("button", name="Choose files").click()
    dialog = shown.page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Pattern").fill("/etc/*")
    expect(dialog.get_by_role("alert")).to_contain_text("lies outside")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)


def test_what_was_typed_is_there_when_the_form_is_opened_again(form):
    shown = form("pick.template")
    control(shown, "diameter").fill("123")
    shown.get_by_label("Name").fill("my picks")
    shown.get_by_role("button", name="Close the form").click()
    expect(shown).to_have_count(0)
    shown = form("pick.template")
    expect(control(shown, "diameter")).to_have_value("123")
    expect(shown.get_by_label("Name")).to_have_value("my picks")
    shown.get_by_role("button", name="Start afresh").click()
    expect(control(shown, "diameter")).to_have_value("")


def test_a_copy_tells_what_differs_from_its_run(form):
    shown = form("ctf.estimate", like="r003")
    expect(control(shown, "micrographs")).to_have_value("r002.micrographs")
    control(shown, "low_res").fill("40")
    expect(shown).to_contain_text("Copy of r003: 1 value differs")
    expect(field(shown, "low_res")).to_contain_text("r003: 30")
    field(shown, "low_res").get_by_role("button", name="Take that").click()
    expect(control(shown, "low_res")).to_have_value("30")
    expect(field(shown, "low_res")).not_to_contain_text("Take that")


DROP = """(element, text) => {
    const carried = new DataTransfer();
    carried.setData('application/x-cryoloom-output', text);
    for (const kind of ['dragover', 'drop'])
        element.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: carried }));
}"""


def test_outputs_and_runs_are_dropped_onto_inputs(form):
    shown = form("ctf.estimate")
    control(shown, "micrographs").select_option("")
    shown.page.get_by_role("main").locator(".chip", has_text="micrographs").drag_to(field(shown, "micrographs"))
    expect(control(shown, "micrographs")).to_have_value("r002.micrographs")
    field(shown, "ctfs").evaluate(DROP, "r003")
    expect(control(shown, "ctfs")).to_have_value("r003.ctfs")
    field(shown, "ctfs").evaluate(DROP, "r001.movies")
    expect(shown.page.get_by_text("r001.movies does not fit Earlier CTFs")).to_be_visible()
    expect(control(shown, "ctfs")).to_have_value("r003.ctfs")


def test_several_sets_are_checked_in_a_list(form):
    shown = form("sets.join")
    sets = field(shown, "items").get_by_role("checkbox")
    expect(sets).to_have_count(3)
    field(shown, "items").get_by_label("r003.ctfs").check()
    expect(field(shown, "items")).to_contain_text("give at least two")
    expect(execute(shown)).to_be_disabled()


def test_a_form_is_filled_and_run_by_keyboard_alone(form):
    shown = form("sets.split")
    page = shown.page
    expect(field(shown, "items")).to_contain_text("Chosen by the form")

    def tab_to(target):
        for _ in range(80):
            if target.evaluate("element => element === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    shown.get_by_role("button", name="Close the form").focus()
    tab_to(control(shown, "items"))
    page.keyboard.type("r002")
    expect(control(shown, "items")).to_have_value("r002.micrographs")
    tab_to(control(shown, "parts"))
    page.keyboard.type("3")
    expect(shown.get_by_label("What it would give")).to_contain_text("part 3")
    expect(execute(shown)).to_be_enabled()
    tab_to(execute(shown))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/p/tiny/run/r\d+"))
    expect(page.get_by_role("complementary").get_by_text("finished").first).to_be_visible(timeout=400_000)
