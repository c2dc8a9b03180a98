"""A folder of maps and the commands that open them in ChimeraX."""

import numpy as np
import polars as pl

from cryoloom.data import Volume
from cryoloom.formats.chimerax import Scene, export_chimerax
from cryoloom.formats.exchange import format_named
from cryoloom.formats.mrc import read_mrc, write_mrc


def test_a_script_opens_maps_by_relative_names_and_colours_the_surface(tmp_path):
    scene = Scene("my map.mrc", 1.5, 64, 0.25, "resolution.mrc", (3.0, 7.0), ("half1.mrc",), "model.cif")
    lines = scene.write(tmp_path / "a.cxc").read_text(encoding="utf-8").splitlines()
    assert lines[0] == 'open "my map.mrc"'
    assert lines[1] == "volume #1 voxelSize 1.5 origin -48,-48,-48 level 0.25 style surface step 1"
    assert "color sample #1 map #2 palette 3.000,#440154:4.000,#3b528b:5.000,#21918c:6.000,#5ec962:7.000,#fde725" in lines
    assert lines.index("hide #2 models") < lines.index("open half1.mrc") < lines.index("open model.cif")
    assert "# fitmap #4 inMap #1" in lines
    assert any(line.startswith("key #440154:3.0 ") for line in lines)


def test_volumes_are_exported_with_all_that_their_script_names(tmp_path):
    rng = np.random.default_rng(0)
    row = {"id": 1, "box_size": 16}
    for column in ("volume_path", "coloured_path", "painter_path", "half_map1_path"):
        write_mrc(tmp_path / f"{column}.mrc", rng.standard_normal((16, 16, 16)).astype(np.float32), 2.0, volume=True)
        row[column] = f"{column}.mrc"
    volume = Volume(pl.DataFrame([row]), tmp_path, meta={"pixel_size": 2.0, "colour_limits": [4.0, 9.0]})
    written = export_chimerax(volume, "locres", tmp_path / "out", related={})
    script = (tmp_path / "out" / "locres.cxc").read_text(encoding="utf-8")
    opened = [line.removeprefix("open ") for line in script.splitlines() if line.startswith("open ")]
    assert opened == ["locres_map.mrc", "locres_resolution.mrc", "locres_half1.mrc"]
    assert {path.name for path in written} == {*opened, "locres.cxc"}
    assert np.array_equal(read_mrc(tmp_path / "out" / "locres_map.mrc").data, read_mrc(tmp_path / "coloured_path.mrc").data)
    assert format_named("chimerax").writer("volume") is export_chimerax
