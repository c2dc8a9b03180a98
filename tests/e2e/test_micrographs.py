"""Micrographs, their motion and their transfer functions in the browser; what is rejected becomes a form that leaves it out."""

import re

from playwright.sync_api import expect


def open_output(page, run, output, viewer=""):
    page.goto(f"/p/tiny/analyze/{run}/{output}{f'/{viewer}' if viewer else ''}")


def chosen(page):
    return page.locator(".mic-row[aria-selected=true]")


def test_micrographs_are_listed_sorted_and_walked_through(page, shoot):
    open_output(page, "r002", "micrographs")
    expect(page.get_by_role("application", name="Micrograph movie_0001")).to_be_visible()
    expect(page.locator(".image-canvas")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("grid", name="Micrographs")).to_have_attribute("aria-rowcount", "4")
    page.locator(".mic-rows").focus()
    page.keyboard.press("ArrowDown")
    expect(chosen(page)).to_contain_text("movie_0002")
    expect(page).to_have_url(re.compile(r"\?m=2$"))
    page.get_by_role("button", name="Motion", exact=True).click()
    expect(page.get_by_role("columnheader", name="Motion")).to_have_attribute("aria-sort", "ascending")
    motions = [float(text) for text in page.locator(".mic-rows .mic-row > :last-child").all_inner_texts()]
    assert motions == sorted(motions) and len(motions) == 3
    page.reload()
    expect(chosen(page)).to_contain_text("movie_0002")
    shoot("list")


def test_motion_is_shown_small_and_large(page, shoot):
    open_output(page, "r002", "micrographs")
    page.get_by_role("button", name="Motion of movie_0001").click()
    dialog = page.get_by_role("dialog", name="Motion of movie_0001")
    expect(dialog.get_by_role("img", name="Motion, Cartesian")).to_be_visible()
    expect(dialog.get_by_role("img", name="Motion, polar")).to_be_visible()
    shoot("motion")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("application", name="Micrograph movie_0001")).to_be_visible()


def test_a_lost_context_is_recovered(page):
    open_output(page, "r002", "micrographs")
    expect(page.locator(".image-canvas")).to_have_attribute("aria-busy", "false")
    drawn = """async () => {
        const canvas = document.querySelector('.image-surface canvas');
        const gl = canvas.getContext('webgl2');
        const lost = gl.getExtension('WEBGL_lose_context');
        const told = name => new Promise(done => canvas.addEventListener(name, done, {once: true}));
        const gone = told('webglcontextlost');
        lost.loseContext();
        await gone;
        const back = told('webglcontextrestored');
        await new Promise(done => setTimeout(done, 50));
        lost.restoreContext();
        await back;
        // within the frame in which it was drawn the pixels are still there
        return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
            const copy = document.createElement('canvas');
            copy.width = copy.height = 100;
            document.querySelector('[aria-label="Zoom in"]').click();
            requestAnimationFrame(() => {
                const context = copy.getContext('2d');
                context.drawImage(canvas, canvas.width / 2 - 50, canvas.height / 2 - 50, 100, 100, 0, 0, 100, 100);
                done(new Set(context.getImageData(0, 0, 100, 100).data).size);
            });
        })));
    }"""
    assert page.evaluate(drawn) > 30


def test_without_webgl_it_is_drawn_all_the_same(page):
    page.add_init_script(
        """const get = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) { return kind === 'webgl2' ? null : get.call(this, kind, ...rest) };"""
    )
    open_output(page, "r002", "micrographs")
    expect(page.get_by_text("This browser has no WebGL 2")).to_be_visible()
    expect(page.locator(".image-canvas")).to_have_attribute("aria-busy", "false")
    greys = page.evaluate(
        """() => { const canvas = document.querySelector('.image-surface canvas');
        return new Set(canvas.getContext('2d').getImageData(canvas.width / 2 - 50, canvas.height / 2 - 50, 100, 100).data).size }"""
    )
    assert greys > 50


def test_a_micrograph_whose_file_is_gone_is_told_by_name(page, server, complaints):
    complaints.expect("status of 409")
    (path,) = [
        each for each in (server.folder / "tiny/runs/r002").rglob("*0003*.mrc") if "psd" not in each.name and "weighted" not in each.name
    ][:1]
    path.rename(path.with_suffix(".away"))
    try:
        open_output(page, "r002", "micrographs")
        page.locator(".mic-row", has_text="movie_0003").click()
        expect(page.get_by_role("alert")).to_contain_text(path.name)
    finally:
        path.with_suffix(".away").rename(path)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_fits_are_shown_and_the_rejected_left_out(page, shoot):
    open_output(page, "r003", "ctfs")
    expect(page.get_by_role("img", name="Power spectrum of movie_0001")).to_be_visible()
    expect(page.get_by_role("img", name="Measured and fitted transfer function of movie_0001")).to_be_visible()
    expect(page.get_by_text("Defocus U")).to_be_visible()
    page.get_by_label("first zeros").check()
    expect(page.locator(".spectrum .zero").first).to_be_visible()
    shoot("fit")
    page.locator(".mic-rows").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("img", name="Power spectrum of movie_0002")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_text("1 micrograph rejected")).to_be_visible()
    page.get_by_role("button", name="CTFs without these").click()
    expect(page).to_have_url(re.compile(r"/new/sets\.select\?items=r003\.ctfs&mode=ids&ids=1%2C3$"))
    expect(page.get_by_role("complementary", name="New run")).to_be_visible()
