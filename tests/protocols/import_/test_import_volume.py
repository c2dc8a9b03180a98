import numpy as np
import polars as pl
import pytest

from cryoloom.data import Volume
from cryoloom.formats.exchange import format_named
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.protocols.import_.volume import ImportVolume
from cryoloom.spec import Failure


@pytest.fixture
def cube():
    return np.random.default_rng(1).normal(size=(8, 8, 8)).astype(np.float32)


def test_a_published_map(job, test_data):
    volume = ImportVolume(path=str(test_data / "maps" / "emd_3186.map")).run(job).volume
    assert volume.meta["pixel_size"] == 1.35
    row = volume.items.row(0, named=True)
    assert row["box_size"] == 100
    image = read_mrc(volume.file(row["volume_path"]))
    assert image.is_volume
    assert image.pixel_size == 1.35
    assert np.array_equal(image.data, read_mrc(test_data / "maps" / "emd_3186.map").data)


def test_half_maps(job, raw, cube):
    for name, data in (("m", cube), ("a", cube + 1), ("b", cube - 1)):
        write_mrc(raw / f"{name}.mrc", data, 2.0, origin=(1.0, 2.0, 3.0))
    protocol = ImportVolume(path=str(raw / "m.mrc"), half_map1=str(raw / "a.mrc"), half_map2=str(raw / "b.mrc"))
    assert not list(protocol.check())
    out = protocol.run(job)
    row = out.volume.items.row(0, named=True)
    assert np.array_equal(read_mrc(out.volume.file(row["half_map2_path"])).data, cube - 1)
    assert read_mrc(out.volume.file(row["volume_path"])).header.origin == (1.0, 2.0, 3.0)
    assert protocol.summary(out)["half maps"] == "yes"
    assert [entry[0] for entry in protocol.fingerprint()] == ["m.mrc", "a.mrc", "b.mrc"]
    write_mrc(raw / "b.mrc", cube[:6, :6, :6], 2.0, volume=True)
    with pytest.raises(Failure, match="box of 6 voxels, the map .* has 8"):
        protocol.run(job)


def test_pixel_sizes(job, raw, cube):
    write_mrc(raw / "m.mrc", cube, 2.0)
    assert ImportVolume(path=str(raw / "m.mrc")).run(job).volume.meta["pixel_size"] == 2.0
    volume = ImportVolume(path=str(raw / "m.mrc"), pixel_size=1.5).run(job).volume
    assert volume.meta["pixel_size"] == 1.5
    assert read_mrc(volume.file(volume.items["volume_path"][0])).pixel_size == 1.5
    assert "says 2 Å per voxel; 1.5 Å is used" in job.warnings[0]
    write_mrc(raw / "m.mrc", cube, 0.0)
    with pytest.raises(Failure, match="does not say the pixel size"):
        ImportVolume(path=str(raw / "m.mrc")).run(job)


def test_what_is_no_map_is_refused(job, raw, cube, test_data):
    def refusal(data):
        write_mrc(raw / "m.mrc", data, 1.0)
        with pytest.raises(Failure) as caught:
            ImportVolume(path=str(raw / "m.mrc")).run(job)
        return caught.value

    holed = cube.copy()
    holed[1, 2, 3] = np.nan
    assert "1 of 512 voxels are NaN" in refusal(holed).message
    assert "8 × 8 × 6 voxels" in refusal(cube[:6]).message
    assert refusal(cube[0]).code == "map-not-cubic"
    assert refusal(np.zeros_like(cube)).code == "map-empty"
    with pytest.raises(Failure, match="43 × 25 × 73"):
        ImportVolume(path=str(test_data / "maps" / "EMD-3001.map")).run(job)


def test_hints(raw, cube):
    write_mrc(raw / "m.mrc", cube, 1.0)
    path = str(raw / "m.mrc")
    assert [hint.parameter for hint in ImportVolume(path=str(raw / "none.mrc")).check()] == ["path"]
    assert [hint.parameter for hint in ImportVolume(path=path, half_map1=path).check()] == ["half_map2"]
    assert [hint.parameter for hint in ImportVolume(path=path, half_map1=path, half_map2=path).check()] == ["half_map2"]


@pytest.mark.parametrize("name", ["xmipp", "cryosparc"])
def test_a_table_of_another_program_names_it(job, raw, name):
    for file in ("v", "h1", "h2"):
        write_mrc(raw / f"{file}.mrc", np.random.default_rng(len(file)).normal(size=(8, 8, 8)), 1.0, volume=True)
    row = {"id": [1], "volume_path": ["v.mrc"], "half_map1_path": ["h1.mrc"], "half_map2_path": ["h2.mrc"], "box_size": [8]}
    given = Volume(pl.DataFrame(row), raw, meta={"pixel_size": 2.5})
    written = format_named(name).writers["volume"](given, "map", raw / "out", related={})
    path = next(path for path in written if path.suffix in (".xmd", ".csg"))
    volume = ImportVolume(path=str(path)).run(job).volume
    assert volume.meta["pixel_size"] == 2.5
    assert np.allclose(read_mrc(volume.file(volume.items["volume_path"][0])).data, read_mrc(raw / "v.mrc").data)
    assert ("half_map1_path" in volume.items.columns) == (name == "cryosparc"), "Xmipp has no label for half maps"
    (raw / "out" / "map.mrc").unlink()
    with pytest.raises(Failure, match=r"map.mrc was not found"):
        ImportVolume(path=str(path)).run(job)
