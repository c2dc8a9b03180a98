"""Outputs as arrays, and what a notebook shows: the page docs/notebook.md is carried out as one."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbclient
import nbformat
import numpy as np
import polars as pl
import psutil
import pytest

import cryoloom.app.notebook
from cryoloom.app.images import Images
from cryoloom.app.session import open_project
from cryoloom.data import Micrographs, Movies, Particles
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.spec import Failure, WrongUse

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
CELLS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
STACK = np.random.default_rng(0).normal(size=(5, 8, 10)).astype(np.float32)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Return the folder the page's notebook ran in, and what each cell showed."""
    folder = tmp_path_factory.mktemp("notebook")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(made, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    shown = [output["data"] for cell in made.cells for output in cell.outputs if output.output_type == "execute_result"]
    return SimpleNamespace(folder=folder, shown=shown, html=[data.get("text/html", "") for data in shown])


@pytest.fixture(scope="module")
def project(notebook):
    return open_project(notebook.folder / "trial")


@pytest.fixture
def particles(tmp_path):
    write_stack(tmp_path / "a.mrcs", STACK[:3], 1.5)
    write_stack(tmp_path / "b.mrcs", STACK[3:], 1.5)
    columns = {"stack_path": ["b.mrcs", "a.mrcs", "b.mrcs", "a.mrcs", "a.mrcs"], "stack_index": [1, 0, 0, 2, 1]}
    items = pl.DataFrame({"id": [14, 10, 13, 12, 11], "micrograph_id": [1] * 5, "optics_group": [1] * 5, **columns})
    return Particles(items, tmp_path, optics=[{"optics_group": 1, "pixel_size": 1.5, "box_size": 8}])


def micrographs(folder, sizes):
    names = [f"m{number}.mrc" for number in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        write_mrc(folder / name, np.ones((size, size), np.float32), 1.0)
    plain = {"width": 0, "height": 0, "optics_group": 1, "enabled": True, "fail_reason": ""}
    items = pl.DataFrame({"id": range(len(names)), "micrograph_name": names, "micrograph_path": names})
    return Micrographs(items.with_columns(**{name: pl.lit(value) for name, value in plain.items()}), folder)


# -- the notebook -----------------------------------------------------------------------------------------------


def test_everything_shows_itself_as_a_card_of_its_own(notebook):
    cards = [page for page in notebook.html if "cryoloom" in page]
    assert len(cards) == 4  # the project, a report, images, a map; the table is Polars' own
    for card in cards:
        assert card.startswith('<div class="cryoloom">') and "<script" not in card
        assert not re.search(r"(?:src|href)=\"(?!data:|#)", card)
    project, report, images, volume = cards
    assert [word in project for word in ("postprocess.mask", "finished", "particles (60)")] == [True] * 3
    assert "equivalent mass" in report and report.count("<img") == 3
    assert images.count("<img") == 8 and "20 images of particles" in images
    assert volume.count("<img") == 3 and "Å/px" in volume and "side of a particle box or a map" in volume


def test_its_style_reaches_nothing_outside(notebook):
    for page in notebook.html:
        for style in re.findall(r"<style>(.*?)</style>", page, re.DOTALL) if "cryoloom" in page else ():
            selectors = [each.strip() for rule in re.findall(r"([^{}]+)\{", style) for each in rule.split(",")]
            assert selectors and all(each.startswith(".cryoloom") for each in selectors), selectors


def test_text_front_ends_get_words(notebook):
    texts = [data["text/plain"] for data in notebook.shown if "cryoloom" in data.get("text/html", "")]
    assert texts[0].startswith("<project trial in ") and texts[0].endswith("3 runs>")
    assert texts[1].startswith("Report of r003 (postprocess.mask), finished\n") and "  [Mask]" in texts[1]
    assert texts[2:] == ["<20 images of particles, 32 × 32 px>", "<r002.volume: volume, 32 × 32 × 32 px, 8 Å/px>"]
    assert (notebook.folder / "mask.html").read_text().startswith("<!doctype html>")


def test_outputs_are_the_files_of_the_simulation(project, notebook):
    from cryoloom.formats.mrc import read_mrc

    volume = project.output("map.volume")
    truth = read_mrc(notebook.folder / "data/truth/volume.mrc").data
    assert np.array_equal(volume.to_numpy(), truth) and volume.pixel_size == 8.0
    assert np.array_equal(volume.to_torch().numpy(), truth)
    stack = read_mrc(notebook.folder / "data/particles.mrcs").data
    assert np.array_equal(project.output("particles.particles").to_numpy(), stack)
    with pytest.raises(WrongUse, match="no images in half_map1_path"):
        volume.half_maps()


def test_half_maps_and_curves(project, notebook):
    truth, path = project.output("map.volume").to_numpy(), notebook.folder
    for number in (1, 2):
        noise = np.random.default_rng(number).normal(scale=truth.std(), size=truth.shape).astype(np.float32)
        write_mrc(path / f"half{number}.mrc", truth + noise, 8.0, volume=True)
    halves = project.run(
        "import.volume", path=path / "half1.mrc", half_map1=path / "half1.mrc", half_map2=path / "half2.mrc", name="halves"
    )
    first, second = halves.outputs.volume.half_maps()
    assert first.shape == truth.shape and np.array_equal(first, halves.outputs.volume.to_numpy()) and not np.array_equal(first, second)
    fsc = project.run("postprocess.sharpen", volume="halves.volume", mask="mask.mask", b_factor=0.0).outputs.fsc
    table = fsc.to_polars()
    assert np.array_equal(fsc.to_numpy()["frequency"], table["frequency"].to_numpy()) and len(fsc.to_numpy()) == table.height
    assert fsc.to_torch()["fsc"].numpy() == pytest.approx(table["fsc"].to_numpy(), abs=1e-6)
    assert "1/Å" in fsc._repr_html_() and fsc.pixel_size in (None, 8.0)
    with pytest.raises(WrongUse, match="A set of fsc is a table"):
        fsc.images()


def test_what_has_not_run_says_so(project):
    draft = project.prepare("postprocess.mask", volume="map.volume", threshold=0.1)
    assert repr(draft.report) == f"Report of {draft.id} (postprocess.mask), draft"
    assert f"{draft.id} is draft" in draft.report._repr_html_()
    assert repr(draft.outputs.mask) == f"<{draft.id}.mask: not there yet>" and "not there yet" in draft.outputs._repr_html_()
    assert ">draft<" in project._repr_html_() and "not there yet" in draft.outputs.mask._repr_html_()


def test_a_map_that_was_cleaned_away_says_so(project, tmp_path):
    moved = open_project(project.copy(tmp_path / "copy").root).output("map.volume")
    moved.file(moved.items["volume_path"][0]).unlink()
    assert "there is no such file" in moved._repr_html_()


def test_a_project_of_many_runs_shows_the_last(project, monkeypatch):
    monkeypatch.setattr(cryoloom.app.notebook, "RUNS", 2)
    page = project._repr_html_()
    assert "The last 2 of them." in page and "r001" not in page


def test_one_run_is_not_several(project, particles, monkeypatch):
    first = project.folder.runs()[:1]
    monkeypatch.setattr(type(project.folder), "runs", lambda self: first)
    assert repr(project).endswith(": 1 run>")
    assert "· 1 run<" in project._repr_html_()
    assert repr(particles.select([14])).endswith(": 1 item>")


# -- images -----------------------------------------------------------------------------------------------------


def test_images_come_in_the_order_that_is_asked_for(particles):
    assert np.array_equal(Images(particles).to_numpy(), STACK[[4, 0, 3, 2, 1]])
    some = Images(particles, [11, 14, 11])
    assert some.ids.to_list() == [11, 14, 11] and some.shape == (3, 8, 10)
    assert np.array_equal(some.to_torch().numpy(), STACK[[1, 4, 1]])
    assert np.array_equal(some[-2], STACK[4]) and isinstance(some[0], np.memmap) and not some[0].flags.writeable
    assert some[1:].ids.to_list() == [14, 11] and len(list(some)) == 3 and Images(particles, []).to_numpy().size == 0
    with pytest.raises(IndexError):
        some[3]
    with pytest.raises(WrongUse, match="99 is no id of these particles"):
        Images(particles, [10, 99])


def test_no_more_is_read_than_memory_holds(particles, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2 * (4 * 8 * 10 * 3)))
    assert Images(particles)[:3].to_numpy().shape == (3, 8, 10)
    with pytest.raises(WrongUse, match=r"5 images of 8 × 10 px take .* images\(ids\)"):
        Images(particles).to_numpy()


def test_a_stack_that_is_too_short_is_named(particles, tmp_path):
    write_stack(tmp_path / "b.mrcs", STACK[3:4], 1.5)
    with pytest.raises(Failure, match="image 2 is asked for, the stack holds 1"):
        Images(particles, [14]).to_numpy()


def test_micrographs_of_two_sizes_do_not_fit_one_array(tmp_path):
    images = Images(micrographs(tmp_path, [6, 6, 7]))
    assert images[:2].to_numpy().shape == (2, 6, 6) and images[2].shape == (7, 7)
    with pytest.raises(WrongUse, match="Image 2 has"):
        images.to_numpy()


def test_rows_without_a_file_are_left_out_unless_named(tmp_path):
    made = micrographs(tmp_path, [6, 6])
    made = made.with_columns(pl.DataFrame({"id": [0], "micrograph_path": [""]})).disable({0: "unreadable"})
    assert Images(made).ids.to_list() == [1]
    with pytest.raises(WrongUse, match="0 has no micrograph_path"):
        Images(made, [0])


def test_movies_are_frames(tmp_path):
    write_mrc(tmp_path / "movie.mrc", STACK, 1.0)
    row = {
        "id": [1],
        "movie_name": ["movie"],
        "movie_path": ["movie.mrc"],
        "frames": [5],
        "width": [10],
        "height": [8],
        "optics_group": [1],
    }
    movies = Movies(pl.DataFrame({**row, "enabled": [True], "fail_reason": [""]}), tmp_path)
    assert np.array_equal(Images(movies).to_numpy(), STACK[None])
