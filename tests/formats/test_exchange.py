"""What is carried through a format reprojects the same image; positions, transfer functions and ids come back."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cryoloom.formats.exchange import Format, format_named, formats, read_as, suffixes
from cryoloom.spec import Failure, WrongUse

FILES = {"relion": "particles.star", "relion-3.0": "particles.star", "xmipp": "particles.xmd", "cryosparc": "particles.csg"}
MICROGRAPHS = {
    "relion": "micrographs_ctf.star",
    "relion-3.0": "micrographs_ctf.star",
    "xmipp": "micrographs.xmd",
    "cryosparc": "micrographs.cs",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("planar", [False, True], ids=["projections", "planar"])
def test_particles_reproject(carried, identified, tmp_path, name, planar):
    given = carried(planar=planar)
    out = tmp_path / "out"
    written = formats()[name].writers["particles"](given.particles, "particles", out, related=given.related)
    assert all(path.is_file() for path in written)
    table = read_as("particles", out / FILES[name])
    given.check(table, out)
    items = identified(table)
    assert items["id"].to_list() == given.particles.items["id"].to_list()
    assert items["micrograph_name"].to_list() == given.particles.items["micrograph_name"].to_list()
    assert np.allclose(items.select("x", "y"), given.particles.items.select("x", "y"), atol=1e-4)
    if name != "xmipp":  # which has no label for halves
        assert items["half_set"].to_list() == [1, 2] * 3
    assert items["class_id"].to_list() == [1, 2, 3] * 2


def test_a_wrong_sign_would_be_seen(carried, tmp_path):
    given = carried()
    formats()["xmipp"].writers["particles"](given.particles, "particles", tmp_path, related={})
    table = read_as("particles", tmp_path / "particles.xmd")
    for column in ("rot", "psi", "origin_x", "defocus_angle"):
        wrong = table.items.with_columns(-pl.col(column))
        with pytest.raises(AssertionError):
            given.check(type(table)(wrong, table.optics), tmp_path)


@pytest.mark.parametrize("name", MICROGRAPHS)
def test_transfer_functions_of_micrographs(carried, tmp_path, name):
    given = carried()
    formats()[name].writers["ctfs"](given.related["ctfs"], "ctfs", tmp_path, related=given.related)
    table = read_as("micrographs", tmp_path / MICROGRAPHS[name])
    columns = ["defocus_u", "defocus_v", "defocus_angle", "phase_shift"]
    assert np.allclose(table.items.select(columns), given.related["ctfs"].items.select(columns), rtol=1e-6, atol=1e-4)
    assert [group["pixel_size"] for group in table.optics] == [4.0, 4.5] or [group["voltage"] for group in table.optics] == [200.0, 300.0]
    sizes = {group["optics_group"]: (group["pixel_size"], group["voltage"], group["cs"]) for group in table.optics}
    assert [sizes[number] for number in table.items["optics_group"]] == [(4.0, 300.0, pytest.approx(2.7)), (4.5, 200.0, pytest.approx(2.7))]
    assert all((tmp_path / file).is_file() for file in table.items["micrograph_file"])


@pytest.mark.parametrize("name", ["relion", "xmipp", "cryosparc", "eman-box", "eman-json", "cryolo"])
def test_positions(carried, tmp_path, name):
    given = carried()
    coordinates = given.related["coordinates"]
    if name != "xmipp":  # whose positions are whole px
        coordinates = coordinates.with_columns(coordinates.items.select("id", x=pl.col("x") + 0.25))
    written = formats()[name].writers["coordinates"](coordinates, "coordinates", tmp_path, related=given.related)
    files = [path for path in written if path.suffix in suffixes("coordinates") and path.suffix != ".csg" and "suffix" not in path.name]
    back = pl.concat([read_as("coordinates", path) for path in files], how="diagonal_relaxed")
    assert np.allclose(back.select("x", "y"), coordinates.items.select("x", "y"), atol=1e-4)
    if name != "eman-box":  # which has no score
        assert np.allclose(back["score"], coordinates.items["score"], atol=1e-6)
    for file, micrograph in zip(back["micrograph_file"], coordinates.items["micrograph_name"], strict=True):
        assert micrograph in file


def test_boxes_need_a_size(carried, tmp_path):
    given = carried()
    coordinates = given.related["coordinates"]
    write = formats()["eman-box"].writers["coordinates"]
    assert "\t16\t16\n" in write(coordinates, "c", tmp_path, related={})[0].read_text(), "60 Å at 4 Å/px, an even number of px"
    bare = type(coordinates)(coordinates.items, coordinates.root, optics=coordinates.optics)
    assert "\t32\t32\n" in write(bare, "c", tmp_path, related=given.related)[0].read_text()
    with pytest.raises(Failure, match="not known"):
        write(bare, "c", tmp_path, related={})


def test_boxes_of_several_sizes_have_no_place_in_relion_30(carried, tmp_path):
    given = carried()
    mixed = type(given.particles)(
        given.particles.items,
        given.particles.root,
        optics=[{**group, "box_size": 30 + group["optics_group"]} for group in given.particles.optics],
    )
    with pytest.raises(Failure, match=r"Particles of boxes \[31, 32\] px"):
        formats()["relion-3.0"].writers["particles"](mixed, "particles", tmp_path, related={})


def test_formats_are_found_and_no_two_read_the_same_files():
    found = formats()
    assert {"relion", "relion-3.0", "xmipp", "cryosparc", "parquet", "eman-box", "eman-json", "cryolo"} <= set(found)
    for content in ("particles", "coordinates", "micrographs"):
        read = [suffix for each in found.values() if content in each.readers for suffix in each.suffixes]
        assert len(read) == len(set(read))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for each in found.values() for suffix in each.suffixes)
    with pytest.raises(WrongUse, match=r"--format spider: not a format .* xmipp"):
        format_named("spider")
    with pytest.raises(Failure, match=r"a.ini: files of particles end in .cs, .csg, .pos, .star, .xmd"):
        read_as("particles", Path("a.ini"))


def test_a_plugin_is_found_like_our_own(tmp_path, monkeypatch):
    (tmp_path / "my_own_format.py").write_text(
        "from cryoloom.formats.exchange import Format\n"
        "FORMAT = Format('mine', 'My own', suffixes=('.mine',), readers={'coordinates': lambda path: path.name})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CRYOLOOM_PLUGINS", "absent_one,my_own_format")
    formats.cache_clear()
    try:
        assert isinstance(formats()["mine"], Format)
        assert read_as("coordinates", tmp_path / "a.mine") == "a.mine"
        with pytest.raises(WrongUse, match="not a format that can be written"):
            format_named("mine")
    finally:
        formats.cache_clear()


def test_parquet_holds_everything(carried, tmp_path):
    given = carried()
    (path,) = formats()["parquet"].writer("particles")(given.particles, "r1_particles", tmp_path, related={})
    frame = pl.read_parquet(path)
    assert frame.columns[: given.particles.items.width] == given.particles.items.columns
    assert frame["voltage"].to_list() == [300.0] * 3 + [200.0] * 3


def test_the_recipe_works_and_the_table_is_whole(tmp_path, monkeypatch):
    """The recipe's format, written where Python finds it, passes the recipe's own test; the table in the docs names every format."""
    docs = Path(__file__).parents[2] / "docs"
    table = (docs / "formats.md").read_text(encoding="utf-8")
    assert all(f"`{each.name}`" in table for each in formats().values() if each.writers)
    file, test = re.findall(r"```python\n(.*?)```", (docs / "recipes" / "add-a-format.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "plain_of_the_recipe.py").write_text(file)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CRYOLOOM_PLUGINS", "plain_of_the_recipe")
    formats.cache_clear()
    try:
        space = {"__name__": "documentation"}
        exec(compile(test, "add-a-format.md", "exec"), space)  # noqa: S102
        space["test_positions_return"](tmp_path)
    finally:
        formats.cache_clear()
