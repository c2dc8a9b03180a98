"""The steps of the field's textbook workflow (Jiménez-Moreno et al. 2021), from picks to a sharpened map, by forms, a gallery and viewers alone."""

import re

import pytest
from playwright.sync_api import expect

DIAMETER = "150"


@pytest.fixture
def carry_out(page):
    """Return a function that finds a protocol, fills its form, executes it and waits until its box is green; it gives the run's id."""

    def done(protocol: str, **values: str) -> str:
        page.keyboard.press("Control+f")
        page.keyboard.type(protocol)
        page.get_by_role("navigation", name="Protocols").get_by_role("treeitem", name=re.compile(f"^{re.escape(protocol)}")).first.click()
        form = page.get_by_role("form", name=protocol)
        for name, value in values.items():
            field = form.locator(f'[data-field="{name}"]').locator("input, select").first
            if field.evaluate("each => each.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        form.get_by_role("button", name="Execute").click()
        page.wait_for_url(re.compile(r"/run/r\d+"))
        run = re.search(r"/run/(r\d+)", page.url)[1]
        box = page.locator(f'.react-flow__node[data-id="{run}"] .state')
        expect(box).to_contain_text("finished", timeout=400_000)
        return run

    return done


def test_from_picks_to_a_map(page, carry_out, shoot):
    page.goto("/p/tiny")
    expect(page.locator(".react-flow__node")).to_have_count(3)
    carry_out("pick.blob", diameter=DIAMETER)
    shoot("picked")
    carry_out("particles.extract", box_size="64", bin="1.4")
    classes = carry_out("classify2d.em", classes="4", mask_diameter="190")

    # The good classes are chosen by hand in the gallery, and become a set of their particles.
    page.get_by_role("button", name="Analyze results").click()
    page.get_by_role("tab", name="classes").click()
    averages = page.get_by_role("listbox", name=re.compile("^Images")).get_by_role("option")
    expect(averages).to_have_count(4)
    for place in range(4):  # all of them: with fewer of these few particles no first volume is made
        averages.nth(place).click(modifiers=["Control"] if place else [])
    shoot("classes")
    page.get_by_label("Make a subset of").select_option("particles")
    page.get_by_role("button", name="Make a subset").click()
    page.wait_for_url(re.compile(r"/run/r\d+"))
    chosen = re.search(r"/run/(r\d+)", page.url)[1]
    assert chosen != classes
    expect(page.locator(f'.react-flow__node[data-id="{chosen}"] .state')).to_contain_text("finished")

    first = carry_out("initial.sgd", particles=f"{chosen}.particles", mask_diameter="190")
    refined = carry_out("refine.auto", particles=f"{chosen}.particles", reference=f"{first}.volume", mask_diameter="190")
    carry_out("postprocess.mask", volume=f"{refined}.volume")
    carry_out("postprocess.sharpen", volume=f"{refined}.volume")

    page.get_by_role("button", name="Analyze results").click()
    page.get_by_role("tab", name="volume").click()
    surface = page.locator("canvas[data-triangles]")
    expect(surface).not_to_have_attribute("data-triangles", "0", timeout=200_000)
    shoot("map")
    page.get_by_role("tab", name="fsc").click()
    expect(page.get_by_text(re.compile(r"Resolution"))).to_be_visible()
    shoot("fsc")
