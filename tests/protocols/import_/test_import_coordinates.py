import numpy as np
import polars as pl
import pytest

from cryoloom.data import Micrographs
from cryoloom.formats.sources import matching_names
from cryoloom.formats.star import write_star
from cryoloom.protocols.import_.coordinates import ImportCoordinates
from cryoloom.spec import Failure


def micrographs(root, names, size=(400, 300), pixel_size=1.5):
    count = len(names)
    items = pl.DataFrame(
        {
            "id": list(range(1, count + 1)),
            "micrograph_name": names,
            "micrograph_path": [f"{name}.mrc" for name in names],
            "width": [size[0]] * count,
            "height": [size[1]] * count,
            "optics_group": [1] * count,
            "enabled": [True] * count,
            "fail_reason": [""] * count,
        }
    )
    return Micrographs(items, root, optics=[{"optics_group": 1, "pixel_size": pixel_size}])


def run(job, path, names, **parameters):
    given = {name: parameters.pop(name) for name in ("size",) if name in parameters}
    return ImportCoordinates(micrographs=micrographs(job.root, names, **given), path=str(path), **parameters).run(job).coordinates


def places(**columns):
    return pl.DataFrame({"rlnCoordinateX": [10.0, 20.5], "rlnCoordinateY": [30.0, 40.0], **columns})


def test_one_star_a_micrograph(job, raw):
    write_star(raw / "m1_autopick.star", {"": places(rlnAutopickFigureOfMerit=[0.5, 1.5], rlnAnglePsi=[5.0, 6.0])})
    write_star(raw / "m10_autopick.star", {"": places()})
    write_star(raw / "other_autopick.star", {"": places()})
    coordinates = run(job, raw / "*_autopick.star", ["m1", "m10"], diameter=180.0)
    items = coordinates.items
    assert items["micrograph_name"].to_list() == ["m1", "m1", "m10", "m10"]
    assert items["id"].to_list() == [1 << 20, (1 << 20) + 1, 2 << 20, (2 << 20) + 1]
    assert items["x"].to_list() == [10.0, 20.5] * 2
    assert items["score"].to_list() == [0.5, 1.5, None, None]
    assert items["psi"].to_list() == [5.0, 6.0, None, None]
    assert coordinates.meta["diameter"] == 180.0
    assert coordinates.optics[0]["pixel_size"] == 1.5
    assert "other_autopick.star; left out" in job.warnings[0]
    assert len(run(job, raw / "m1_*", ["m1"], min_score=1.0)) == 1


def test_a_particles_star_and_a_list_of_files(job, raw):
    write_star(raw / "p.star", {"": places(rlnMicrographName=["MotionCorr/b.mrc", "MotionCorr/a.mrc"])})
    items = run(job, raw / "p.star", ["a", "b"]).items
    assert items.select("micrograph_id", "x").rows() == [(1, 20.5), (2, 10.0)]
    (raw / "job5").mkdir()
    write_star(raw / "job5" / "a.star", {"": places()})
    listed = pl.DataFrame({"rlnMicrographName": ["x/b.mrc"], "rlnMicrographCoordinates": ["job5/a.star"]})
    write_star(raw / "job5" / "manualpick.star", {"coordinate_files": listed})
    items = run(job, raw / "job5" / "manualpick.star", ["a", "b"]).items
    assert items["micrograph_name"].to_list() == ["b", "b"], "the list decides, not the file's own name"


def test_corners_become_centres(job, raw):
    (raw / "m.box").write_text("10\t20\t64\t64\t-3\n0 0 65 65\n")
    items = run(job, raw / "m.box", ["m"]).items
    assert items.select("x", "y").rows() == [(42.0, 52.0), (32.5, 32.5)]
    (raw / "m.box").write_text("10 20 64\n")
    with pytest.raises(Failure, match=r"line 1 is '10 20 64'; expected 4 numbers"):
        run(job, raw / "m.box", ["m"])


def test_cryolo_of_both_versions(job, raw, test_data):
    found = []
    for name in ("new_format.cbox", "old_format.cbox"):
        (raw / "mic.cbox").write_bytes((test_data / "cryolo-cbox" / name).read_bytes())
        found.append(run(job, raw / "mic.cbox", ["mic"], size=(6000, 5000)).items)
    assert [len(each) for each in found] == [125, 125]
    new, old = (each.sort("score").select("x", "y", "score").to_numpy() for each in found)
    assert np.allclose(new[:, 2], old[:, 2])
    assert np.abs(new - old).max() < 0.1
    assert found[0].row(0, named=True)["x"] == pytest.approx(4472.011260986328 + 100)


def test_scale_direction_and_border(job, raw):
    write_star(raw / "m.star", {"": places()})
    assert run(job, raw / "m.star", ["m"], pixel_size=3.0).items["x"].to_list() == [20.0, 41.0]
    assert run(job, raw / "m.star", ["m"], flip_y=True).items["y"].to_list() == [269.0, 259.0]
    coordinates = run(job, raw / "m.star", ["m"], size=(15, 300))
    assert coordinates.items["id"].to_list() == [1 << 20]
    assert "1 of 2 positions lie outside" in job.warnings[-1]
    assert "pixel size" in job.warnings[-1]


def test_ids_of_our_own_export_return(job, raw):
    ids = [(1 << 20) + 5, (1 << 20) + 9]
    write_star(raw / "m.star", {"": places(cryoloomParticleId=ids)})
    assert run(job, raw / "m.star", ["m"]).items["id"].to_list() == ids
    assert run(job, raw / "m.star", ["a", "m"]).items["id"].to_list() == [2 << 20, (2 << 20) + 1], "of other micrographs"


def test_nothing_that_fits(job, raw):
    write_star(raw / "x.star", {"": places()})
    with pytest.raises(Failure, match=r"x\.star matches none of m "):
        run(job, raw / "x.star", ["m"])
    write_star(raw / "y.star", {"": pl.DataFrame({"rlnMicrographName": ["m"]})})
    with pytest.raises(Failure, match="no table with rlnCoordinateX"):
        run(job, raw / "y.star", ["m"])


def test_names_match_by_whole_words():
    names = ["mic1", "mic10", "b_x", "b_y", "c_DW"]
    files = ["p/mic1.mrc", "mic10_autopick.star", "mic1_DW.mrc", "mic2.mrc", "b.mrc", "c.mrc", "b_x_aligned-2.mrc"]
    expected = ["mic1", "mic10", "mic1", None, None, "c_DW", "b_x"]
    assert list(matching_names(files, names).values()) == expected


def test_real_picks(job, test_data):
    path = test_data / "micrograph-10017" / "cryosegnet_14_33_35_picks.star"
    coordinates = run(job, path, ["Falcon_2012_06_12-14_33_35_0"], size=(4096, 4096))
    assert len(coordinates) == 629
    protocol = ImportCoordinates(micrographs=micrographs(job.root, ["a"]), path=str(path))
    assert protocol.fingerprint()[0][0] == path.name


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("mic_1.box", "2\t7\t16\t16\n12\t17\t16\t16\n"),
        ("mic_1_info.json", '{"boxes": [[10, 15, "manual"], [20, 25, "auto_local", 0.5]]}'),
        ("mic_1.cbox", "2.0 7.0 16 16 0.9 15 15\n12.0 17.0 16 16 0.8 15 15\n"),
        ("mic_1.pos", "# XMIPP_STAR_1 *\ndata_particles\nloop_\n _xcoor\n _ycoor\n10 15\n20 25\n"),
        (
            "all.xmd",
            "# XMIPP_STAR_1 *\ndata_noname\nloop_\n _micrograph\n _xcoor\n _ycoor\nRuns/7/mic_1.mrc 10 15\nRuns/7/mic_1.mrc 20 25\n",
        ),
    ],
)
def test_the_same_positions_in_every_format(job, raw, file, text):
    (raw / file).write_text(text)
    items = run(job, raw / file, ["mic_1", "mic_10"]).items
    assert items.select("micrograph_name", "x", "y").rows() == [("mic_1", 10.0, 15.0), ("mic_1", 20.0, 25.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no list called boxes"),
        ("{", "not JSON"),
        ('{"boxes": [[1]]}', r"box 1 is \[1\]"),
        ('{"boxes": [["a", true]]}', "box 1 is"),
    ],
)
def test_json_that_is_something_else(job, raw, text, message):
    (raw / "m.json").write_text(text)
    with pytest.raises(Failure, match=message):
        run(job, raw / "m.json", ["m"])
