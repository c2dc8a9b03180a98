"""A project in the browser: made, watched, acted upon, by mouse and by keyboard, without one reload."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from cryoloom.app.session import open_project

PROJECT = "/p/tiny"
EVIL = '<img src=x onerror="document.title=1">'


@pytest.fixture
def tiny(server, page):
    """Return the project that is served; the page shows it. Runs that a test made are gone afterwards."""
    project = open_project(server.folder / "tiny")
    page.goto(PROJECT)
    expect(box(page, "r001")).to_be_visible()
    expect(page.get_by_role("navigation", name="Protocols").get_by_role("treeitem").first).to_be_visible()
    yield project
    for run in reversed(project.runs()):
        if run.id > "r003":
            run.stop()
            project.delete(run, with_dependents=True)
    project.empty_trash()


@pytest.fixture
def cryoloom(server):
    """Return a function that runs the command line, as another terminal does."""

    def run(*words):
        done = subprocess.run([sys.executable, "-m", "cryoloom.cli.main", *map(str, words)], capture_output=True, text=True, check=False)
        return done.stdout

    return run


def box(page, run):
    return page.locator(f'.react-flow__node[data-id="{run}"]')


def panel(page):
    return page.get_by_role("complementary", name="Run")


def never_reloaded(page):
    """Mark the page, and return a function that says whether the mark is still there."""
    page.evaluate("() => { window.mark = 1 }")
    return lambda: page.evaluate("() => window.mark === 1")


def test_a_project_is_made_searched_and_deleted(page, shoot):
    page.get_by_role("button", name="New project").click()
    page.get_by_label("Name").fill("Night two")
    page.get_by_role("button", name="Make it").click()
    expect(page).to_have_url(re.compile("/p/Night%20two"))
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.get_by_role("link", name="cryoloom").click()
    page.get_by_label("Search projects").fill("night")
    expect(page.locator(".project-list li")).to_have_count(1)
    shoot("list")
    page.get_by_role("button", name="More for Night two").click()
    page.get_by_role("menuitem", name="Delete").click()
    delete = page.get_by_role("button", name="Delete for good")
    expect(delete).to_be_disabled()
    page.get_by_label("Name of the project").fill("Night two")
    delete.click()
    expect(page.get_by_text("No project is called")).to_be_visible()


def test_a_run_of_the_command_line_appears_and_turns_green(tiny, page, cryoloom, shoot):
    stayed = never_reloaded(page)
    cryoloom(
        "run", tiny.root, "ctf.estimate", "--micrographs", "r002.micrographs", "--high-res", "6", "--name", "seen live", "--threads", "1"
    )
    expect(box(page, "r004")).to_contain_text("seen live")
    expect(box(page, "r004")).to_contain_text("finished")
    expect(page.locator(".toast")).to_contain_text("has finished")
    shoot("green")
    assert stayed()


def test_boxes_stay_where_they_are_after_many_events(tiny, page):
    before = box(page, "r002").bounding_box()
    run = tiny.find("r003")
    for number in range(12):
        run.rename(f"ctf {number}")
        expect(box(page, "r003")).to_contain_text(f"ctf {number}")
    run.rename("ctf")
    assert all(box(page, name).is_visible() for name in ("r001", "r002", "r003"))
    assert box(page, "r002").bounding_box() == before


def test_a_failed_run_turns_red_and_its_log_opens_at_the_error(tiny, page, projects, tmp_path, shoot):
    movies = tmp_path / "movies"
    shutil.copytree(projects.parent / "data" / "movies", movies)
    told = json.loads((projects.parent / "data" / "acquisition.json").read_text())
    acquisition = {name: told[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame")}
    imported = tiny.run("import.movies", pattern=str(movies / "*.mrc"), name="soon gone", threads=1, **acquisition)
    shutil.rmtree(movies)
    run = tiny.run("motion.correlation", movies=imported.outputs.movies, threads=1, wait=False)
    expect(box(page, run.id)).to_contain_text("failed", timeout=400_000)
    expect(page.locator(".toast.bad")).to_contain_text(run.id)
    page.get_by_title("Go to the last failed run").click()
    expect(panel(page).get_by_role("tab", name="Output log")).to_have_attribute("aria-selected", "true")
    expect(panel(page).locator(".log .here")).to_be_in_viewport()
    assert panel(page).locator(".log .here.error").count() == 1
    shoot("log")


def test_stopped_resumed_copied_restarted_deleted_restored(tiny, page):
    run = tiny.prepare("ctf.estimate", micrographs=tiny.find("r002").outputs.micrographs, high_res=7.0)
    box(page, run.id).click()
    panel(page).get_by_role("button", name="Start").click()
    stop = panel(page).get_by_role("button", name="Stop")
    resume = panel(page).get_by_role("button", name="Resume")
    analyze = panel(page).get_by_role("button", name="Analyze results")
    expect(stop.or_(analyze)).to_be_visible()
    if stop.is_visible():
        stop.click()
        expect(resume.or_(analyze)).to_be_visible()
    if resume.is_visible():
        resume.click()
    expect(analyze).to_be_visible(timeout=400_000)
    panel(page).get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Restart").click()
    expect(panel(page).locator(".run-head")).to_contain_text("r005")
    expect(analyze).to_be_visible(timeout=400_000)
    panel(page).get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Copy the branch").click()
    page.get_by_role("button", name="Make the copies").click()
    expect(panel(page).locator(".run-head")).to_contain_text("r006")
    expect(panel(page).locator(".run-head")).to_contain_text("draft")
    panel(page).get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Delete 1 run").click()
    expect(box(page, "r006")).to_have_count(0)
    page.get_by_role("button", name="Project", exact=True).click()
    page.get_by_role("menuitem", name="Trash").click()
    page.get_by_role("button", name="Restore r006").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(box(page, "r006")).to_be_visible()


def test_deleting_names_what_goes_too(tiny, page):
    box(page, "r001").click()
    panel(page).get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("r002")
    expect(dialog).to_contain_text("r003")
    dialog.get_by_role("button", name="Keep").click()
    assert len(tiny.runs()) == 3


def test_the_palette_goes_anywhere(tiny, page, shoot):
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Projects, runs, protocols, actions").fill("r002")
    expect(page.get_by_role("listbox", name="Found").get_by_role("option").first).to_contain_text("r002")
    shoot("palette")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/run/r002"))
    page.keyboard.press("Control+k")
    page.keyboard.type("pick blob")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/new/pick\.blob"))
    page.keyboard.press("Control+k")
    page.keyboard.type("trash")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Trash")).to_be_visible()


def test_by_keyboard_alone(tiny, page):
    """Find a protocol, walk through the boxes, open one and its results, ask to delete it, and come back."""
    page.keyboard.press("Control+f")
    expect(page.get_by_label("Find a protocol")).to_be_focused()
    page.keyboard.type("blob")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/new/pick\.blob"))
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.classList.contains('react-flow__node')"):
            break
    expect(box(page, "r003")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(box(page, "r002")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(box(page, "r001")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(box(page, "r002")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/run/r002"))
    box(page, "r002").focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog", name="Delete r002?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    box(page, "r002").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Results of r002")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"/run/r002"))
    assert len(tiny.runs()) == 3


def test_list_cards_filters_and_several_at_once(tiny, page, shoot):
    page.get_by_role("button", name="List", exact=True).click()
    expect(page.locator(".run-list .item")).to_have_count(3)
    page.get_by_label("Filter runs").fill("ctf")
    expect(page.locator(".run-list .item")).to_have_count(1)
    assert "with-text=ctf" in page.url and "show-as=list" in page.url
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Choose r001").check()
    page.get_by_label("Choose r003").click(modifiers=["Shift"])
    expect(page.get_by_role("toolbar", name="Chosen runs")).to_contain_text("3 runs chosen")
    shoot("list")
    page.get_by_role("toolbar", name="Chosen runs").get_by_role("button", name="Tag").click()
    page.get_by_role("dialog").get_by_label("Tag", exact=True).fill("kept")
    page.get_by_role("dialog").get_by_role("button", name="Tag").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Tag")).to_be_visible()
    assert all(run.tags == ["kept"] for run in tiny.runs())
    page.get_by_role("button", name="Cards", exact=True).click()
    expect(page.locator(".run-list.cards .item")).to_have_count(3)
    shoot("cards")
    for run in tiny.runs():
        run.untag("kept")


def test_a_moved_box_stays_until_it_is_tidied(tiny, page):
    where = box(page, "r002").bounding_box()
    page.mouse.move(where["x"] + 60, where["y"] + 30)
    page.mouse.down()
    page.mouse.move(where["x"] + 220, where["y"] + 60, steps=6)
    page.mouse.up()
    expect(page.get_by_role("button", name="Tidy")).to_be_visible()
    moved = box(page, "r002").bounding_box()
    assert moved["x"] > where["x"] + 100
    page.reload()
    expect(page.get_by_role("button", name="Tidy")).to_be_visible()
    apart = box(page, "r002").bounding_box()["x"] - box(page, "r001").bounding_box()["x"]
    assert apart > 100
    page.get_by_role("button", name="Tidy").click()
    expect(page.get_by_role("button", name="Tidy")).to_have_count(0)
    assert abs(box(page, "r002").bounding_box()["x"] - box(page, "r001").bounding_box()["x"]) < 1


def test_an_output_is_opened_and_dragged(tiny, page):
    chip = box(page, "r002").locator(".chip").first
    data = page.evaluate_handle("() => new DataTransfer()")
    chip.dispatch_event("dragstart", {"dataTransfer": data})
    assert data.evaluate("data => data.getData('application/x-cryoloom-output')") == "r002.micrographs"
    chip.click()
    expect(page).to_have_url(re.compile(r"/analyze/r002/micrographs"))


def test_what_is_foreign_is_text(tiny, page):
    """In labels, tags, notes: shown as it was written, and nothing of it runs."""
    run = tiny.find("r003")
    run.rename(EVIL.replace("/", ""))
    run.note(f"{EVIL}\n\n[x](javascript:alert(1)) **bold**")
    box(page, "r003").click()
    expect(panel(page).locator(".run-head")).to_contain_text("<img src=x")
    panel(page).get_by_role("tab", name="Notes").click()
    notes = panel(page).locator(".notes")
    expect(notes).to_contain_text("<img src=x onerror")
    assert notes.locator("strong").inner_text() == "bold" and notes.locator("img, a").count() == 0
    tiny.note(EVIL)
    page.get_by_role("button", name="Project", exact=True).click()
    page.get_by_role("menuitem", name="Notes").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img src=x onerror")
    assert page.title() != "1"
    run.rename("ctf")


def test_a_name_and_a_note_are_written_in_place(tiny, page):
    box(page, "r001").click()
    panel(page).get_by_role("button", name="Change the name").click()
    panel(page).get_by_label("Name of the run").fill("first night")
    page.keyboard.press("Enter")
    expect(box(page, "r001")).to_contain_text("first night")
    panel(page).get_by_role("tab", name="Notes").click()
    panel(page).get_by_label("New note").fill("- one\n- two")
    panel(page).get_by_role("button", name="Add the note").click()
    expect(panel(page).locator(".notes article li")).to_have_count(2)
    tiny.find("r001").rename("movies")


def test_dark(tiny, page, shoot):
    page.emulate_media(color_scheme="dark")
    box(page, "r002").click()
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    shoot("dark")
    page.emulate_media(color_scheme="light")


def test_a_workflow_is_saved_and_brought_back(tiny, page, tmp_path):
    page.get_by_role("button", name="Project", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export the workflow").click()
    path = tmp_path / "workflow.json"
    download.value.save_as(path)
    assert len(json.loads(path.read_text())["nodes"]) == len(tiny.runs())
    page.get_by_role("button", name="Project", exact=True).click()
    page.get_by_role("menuitem", name="Import a workflow").click()
    page.get_by_label("Workflow file").set_input_files(path)
    expect(page.get_by_role("dialog")).to_contain_text("made or found")


def test_a_viewer_is_shown_no_actions(browser, server, page):
    context = browser.new_context(base_url=server.origin)
    looking = context.new_page()
    (token,) = set(re.findall(r"token=(\S+)", (server.folder.parent / "serve.out").read_text())) - {server.token}
    looking.goto(f"/login?token={token}")
    looking.goto(PROJECT + "/run/r002")
    expect(looking.get_by_role("button", name="Analyze results")).to_be_visible()
    for name in ("Copy", "Change the name", "Tag"):
        assert looking.get_by_role("button", name=name, exact=True).count() == 0
    assert looking.get_by_role("navigation", name="Protocols").count() == 0
    context.close()


def test_the_page_outlives_the_server(browser, serve, projects, tmp_path):
    """It says that it is alone, finds the server again, and shows what has happened meanwhile."""
    folder = tmp_path / "projects"
    shutil.copytree(projects, folder, symlinks=True)
    context = browser.new_context()
    page = context.new_page()
    with serve(folder, tmp_path) as first:
        page.goto(first.address)
        page.goto(f"{first.origin}{PROJECT}")
        expect(box(page, "r001")).to_be_visible()
        stayed = never_reloaded(page)
    expect(page.get_by_text("no connection to the server")).to_be_visible()
    open_project(folder / "tiny").find("r003").rename("while you were away")
    port = int(first.origin.rpartition(":")[2])
    with serve(folder, tmp_path, port=port):
        expect(page.get_by_text("no connection to the server")).to_have_count(0)
        expect(box(page, "r003")).to_contain_text("while you were away")
        assert stayed()
    context.close()
