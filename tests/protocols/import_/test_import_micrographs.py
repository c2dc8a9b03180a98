import gzip

import numpy as np
import polars as pl
import pytest

from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import write_star
from cryoloom.formats.tiff import write_tiff
from cryoloom.protocols.import_.micrographs import ImportMicrographs
from cryoloom.spec import Failure


@pytest.fixture
def image():
    return np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)


def run(job, pattern, **parameters):
    return ImportMicrographs(pattern=str(pattern), pixel_size=1.5, **parameters).run(job).micrographs


def test_every_format_is_an_mrc_image_afterwards(job, raw, image):
    write_mrc(raw / "a.mrc", image, 1.5)
    write_tiff(raw / "b.tiff", image)
    (raw / "c.mrc.gz").write_bytes(gzip.compress((raw / "a.mrc").read_bytes()))
    write_mrc(raw / "d.mrcs", image[None], 1.5, stack=True)
    micrographs = run(job, raw / "*")
    items = micrographs.items
    assert items["micrograph_name"].to_list() == ["a", "b", "c", "d"]
    assert items.select("width", "height").unique().rows() == [(8, 6)]
    paths = [micrographs.file(path) for path in items["micrograph_path"]]
    assert [path.is_symlink() for path in paths] == [True, False, False, True]
    assert all(np.array_equal(read_mrc(path).data, image) for path in paths)
    assert items["weighted_path"].null_count() == 4
    assert micrographs.optics[0]["pixel_size"] == 1.5


def test_movies_and_broken_files_are_disabled(job, raw, image):
    write_mrc(raw / "a.mrc", image, 1.5)
    write_mrc(raw / "b.mrc", np.stack([image, image]), 1.5, stack=True)
    write_mrc(raw / "c.mrc", image, 1.5)
    (raw / "c.mrc").write_bytes((raw / "c.mrc").read_bytes()[:-4])
    items = run(job, raw / "*").items
    assert items["enabled"].to_list() == [True, False, False]
    assert "2 images" in items["fail_reason"][1]
    assert "expected 1216 bytes, found 1212" in items["fail_reason"][2]


def test_sizes_may_differ_and_headers_may_not_contradict(job, raw, image):
    write_mrc(raw / "a.mrc", image, 1.5)
    write_mrc(raw / "b.mrc", image.T, 1.5)
    protocol = ImportMicrographs(pattern=str(raw / "*"), pixel_size=1.5)
    assert protocol.summary(protocol.run(job)) == {"micrographs": 2, "size (px)": "6 × 8, 8 × 6", "pixel size (Å)": 1.5}
    write_mrc(raw / "c.mrc", image, 3.0)
    with pytest.raises(Failure, match=r"header of c\.mrc says 3 Å/px, --pixel-size says 1.5 Å/px \(1 of 3"):
        run(job, raw / "*")
    assert len(run(job, raw / "*", ignore_header_pixel_size=True)) == 3
    assert ImportMicrographs(pattern=str(raw / "*"), pixel_size=1.5).fingerprint()[2][0] == "c.mrc"


def test_a_table_names_them(job, raw):
    for name in ("b", "a"):
        (raw / "MotionCorr").mkdir(exist_ok=True)
        write_mrc(raw / "MotionCorr" / f"{name}.mrc", np.ones((6, 8)), 1.34)
    columns = {"rlnMicrographName": ["MotionCorr/b.mrc", "MotionCorr/a.mrc"], "rlnOpticsGroup": [1, 1]}
    optics = {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.34], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7]}
    (raw / "CtfFind").mkdir()
    path = raw / "CtfFind" / "micrographs_ctf.star"
    write_star(path, {"optics": pl.DataFrame(optics), "micrographs": pl.DataFrame(columns)})
    micrographs = ImportMicrographs(pattern=str(path), pixel_size=1.34).run(job).micrographs
    assert micrographs.items["micrograph_name"].to_list() == ["b", "a"]
    assert micrographs.items["enabled"].all()
    with pytest.raises(Failure, match=r"micrographs_ctf.star says 300 kV, --voltage says 200 kV"):
        ImportMicrographs(pattern=str(path), pixel_size=1.34, voltage=200.0).run(job)
    (raw / "MotionCorr" / "a.mrc").unlink()
    with pytest.raises(Failure, match=r"MotionCorr/a.mrc was not found"):
        ImportMicrographs(pattern=str(path), pixel_size=1.34).run(job)


def test_what_a_list_names_is_left_out(job, raw, image):
    for name in ("m1.mrc", "m2.mrc", "m3.mrc"):
        write_mrc(raw / name, image, 1.5)
    (raw / "list.txt").write_text("m2\n")
    assert run(job, raw / "*.mrc", exclude_list=str(raw / "list.txt")).items["micrograph_name"].to_list() == ["m1", "m3"]
