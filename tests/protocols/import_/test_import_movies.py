import gzip
import json
import shutil

import numpy as np
import polars as pl
import pytest
from blake3 import blake3
from pydantic import ValidationError

from cryoloom.data import Movies
from cryoloom.engine.parts import hash_files
from cryoloom.formats.movie import movie_of, open_movie
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.tiff import write_tiff
from cryoloom.protocols.import_.movies import ImportMovies
from cryoloom.spec import Failure, Item, WrongUse
from cryoloom.tables import storage

RNG = np.random.default_rng(0)


def movie(path, frames=4, shape=(6, 8), pixel_size=1.34):
    path.parent.mkdir(exist_ok=True)
    data = RNG.integers(0, 30, size=(frames, *shape)).astype(np.int16)
    if path.suffix in (".tif", ".tiff"):
        write_tiff(path, data)
    else:
        write_mrc(path, data, pixel_size, mode=1, stack=True)
    return data


def run(job, pattern, **parameters):
    return ImportMovies(pattern=str(pattern), pixel_size=1.34, **parameters).run(job).movies


def test_movies_of_both_formats_are_linked_in_order_of_name(job, raw):
    data = {name: movie(raw / name) for name in ("b.mrc", "a.tiff", "c d_fractions.tiff", "e.mrcs")}
    movies = run(job, raw / "*", dose_per_frame=1.5, pre_exposure=0.5, cs=2.0)
    assert isinstance(movies, Movies)
    assert movies.items["id"].to_list() == [1, 2, 3, 4]
    assert movies.items["movie_name"].to_list() == ["a", "b", "c_d", "e"]
    assert movies.items.select("frames", "width", "height").unique().rows() == [(4, 8, 6)]
    assert movies.items["enabled"].all()
    for name, path, digest in zip(sorted(data), movies.items["movie_path"], movies.items["movie_quick"], strict=True):
        link = movies.file(path)
        assert link.is_symlink()
        assert np.array_equal(open_movie(link).read(), data[name])
        assert digest == blake3((raw / name).read_bytes()).hexdigest()
    assert movies.optics == [
        {
            "optics_group": 1,
            "optics_group_name": "opticsGroup1",
            "pixel_size": 1.34,
            "voltage": 300.0,
            "cs": 2.0,
            "amplitude_contrast": 0.1,
            "magnification": None,
            "dose_per_frame": 1.5,
            "pre_exposure": 0.5,
        }
    ]
    assert json.dumps(movies.save(job.folder, "movies"))


def test_large_movies_are_told_apart_by_pieces_and_not_read_whole(job, raw, monkeypatch):
    for name in ("a.mrc", "b.mrc"):
        movie(raw / name, frames=8, shape=(200, 256))
    whole = (raw / "a.mrc").read_bytes()
    (raw / "c.mrc").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (raw / "d.mrc").write_bytes(whole)
    (raw / "e.mrc").write_bytes(whole[:-1])
    monkeypatch.setattr(storage, "whole_hash", lambda path: pytest.fail(f"{path} was read whole") if ".mrc" in str(path) else "0" * 64)
    movies = run(job, raw / "*.mrc")
    assert movies.items["enabled"].to_list() == [True] * 4 + [False], "a header is read of every file, and must be kept"
    a, b, c, d, _ = movies.items["movie_quick"]
    assert a == d and len({a, b, c}) == 3
    listed = movies.save(job.folder, "movies", hashed=hash_files(movies.items, job.folder, job.root))["files"]
    assert [(entry["blake3"], entry["quick"]) for entry in listed] == [(digest, True) for digest in (a, b, c, d)]


def test_copies_and_links_inside_the_project(job, raw):
    movie(raw / "a.mrc")
    movies = run(job, raw / "a.mrc", copy_files=True)
    path = movies.file(movies.items["movie_path"][0])
    assert not path.is_symlink()
    assert path.read_bytes() == (raw / "a.mrc").read_bytes()
    inside = job.root / "data"
    shutil.copytree(raw, inside)
    movies = run(job, inside / "a.mrc")
    path = movies.file(movies.items["movie_path"][0])
    assert not path.readlink().is_absolute()
    job.root.rename(job.root.with_name("moved"))
    assert (job.root.with_name("moved") / movies.items["movie_path"][0]).is_file()


def test_broken_movies_are_disabled_with_their_reason(job, raw):
    for name in ("a.mrc", "b.mrc", "c.mrc", "d.mrc", "f.tif", "g.mrc"):
        movie(raw / name)
    whole = (raw / "b.mrc").read_bytes()
    (raw / "b.mrc").write_bytes(whole[:-10])
    (raw / "c.mrc").write_bytes(b"")
    (raw / "d.mrc").write_bytes(b"not a movie at all" * 100)
    (raw / "f.tif").write_bytes((raw / "f.tif").read_bytes()[:-200])
    (raw / "g.mrc").unlink()
    (raw / "g.mrc").symlink_to(raw / "gone.mrc")
    (raw / "h.mrc.gz").write_bytes(gzip.compress(whole)[:-40])
    items = run(job, raw / "*").items
    assert items["enabled"].to_list() == [True] + [False] * 6
    reasons = dict(items.select("movie_name", "fail_reason").rows())
    assert reasons["a"] == ""
    assert f"expected {len(whole)} bytes, found {len(whole) - 10}" in reasons["b"]
    assert "found 0 bytes" in reasons["c"]
    assert "not an MRC file" in reasons["d"]
    assert "expected at least" in reasons["f"]
    assert "no such file" in reasons["g"]
    assert "h.mrc.gz" in reasons["h"]
    assert items["frames"].to_list() == [4, 0, 0, 0, 0, 0, 0]
    assert not any(str(raw) in reason for reason in reasons.values()), "tables do not say where a user's data lie"


def test_the_same_names_in_two_folders(job, raw):
    movie(raw / "x" / "a.mrc")
    movie(raw / "y" / "a.mrc")
    movie(raw / "y" / "b.mrc")
    movie(raw / "y" / "b.tiff")
    items = run(job, raw / "**" / "*").items
    assert items["movie_name"].to_list() == ["x_a", "y_a", "b_mrc", "b_tiff"]
    assert items["movie_path"].n_unique() == 4


def test_patterns(job, raw):
    for name in ("m1.mrc", "m2.mrc", "m10.mrc", "n1.mrc", "gain.mrc"):
        movie(raw / name)
    (raw / "m1.xml").write_text("<a/>")
    names = lambda movies: movies.items["movie_name"].to_list()  # noqa: E731
    assert names(run(job, raw / "m#.mrc")) == ["m1", "m2"]
    assert names(run(job, raw, exclude=("gain.mrc", str(raw / "n*")))) == ["m1", "m10", "m2"]
    assert names(run(job, "n*", folder=str(raw))) == ["n1"]
    assert names(ImportMovies(pattern=[str(raw / "n1.mrc"), str(raw / "m1.*")], pixel_size=1.34).run(job).movies) == ["m1", "n1"]


def test_a_pattern_without_match_says_what_is_there(job, raw):
    movie(raw / "a.mrc")
    with pytest.raises(WrongUse, match=r"no file matches .*/raw/\*\.tif\. Looked in .*/raw, which holds a\.mrc \(1 in all\)") as caught:
        run(job, raw / "*.tif")
    assert caught.value.code == "no-files"
    with pytest.raises(WrongUse, match=r"Looked in .*, which holds .*raw/"):
        run(job, raw.parent / "none" / "deep" / "*.tif")
    with pytest.raises(WrongUse, match="left out"):
        run(job, raw / "*", exclude="*.mrc")


def test_mixed_sizes_name_both(job, raw):
    movie(raw / "a.mrc")
    movie(raw / "b.mrc")
    movie(raw / "c.mrc", shape=(8, 6))
    with pytest.raises(Failure, match=r"2 of 8 × 6 px, 1 of 6 × 8 px such as c\.mrc") as caught:
        run(job, raw / "*.mrc")
    assert "run of its own" in caught.value.cure


@pytest.mark.parametrize(("header", "fine"), [(1.34, True), (1.345, True), (0.0, True), (1.0, True), (1.36, False), (0.67, False)])
def test_the_header_may_contradict(job, raw, header, fine):
    movie(raw / "a.mrc", pixel_size=header)
    if fine:
        assert len(run(job, raw / "a.mrc")) == 1
        return
    with pytest.raises(Failure, match=f"says {header:g} Å/px, --pixel-size says 1.34 Å/px") as caught:
        run(job, raw / "a.mrc")
    assert "--ignore-header-pixel-size" in caught.value.cure
    assert len(run(job, raw / "a.mrc", ignore_header_pixel_size=True)) == 1


def test_gain_and_defects_are_written_as_the_movies_lie(job, raw):
    for name in ("a.mrc", "b.mrc"):
        movie(raw / name)
    reference = RNG.uniform(0.5, 1.5, size=(8, 6)).astype(np.float32)
    reference[3, 2] = 0
    write_mrc(raw / "gain.mrc", reference, 1.34)
    (raw / "defects.txt").write_text("1 2 3 1\n")
    options = {"gain_rotation": 90, "gain_flip": "left-right", "defects": str(raw / "defects.txt")}
    movies = run(job, raw / "*.mrc", gain=str(raw / "gain.mrc"), **options)
    assert len(movies) == 2, "the gain is no movie"
    written = read_mrc(movies.file(movies.meta["gain_path"]))
    expected = np.rot90(reference, -1)[:, ::-1]
    assert written.data / written.data[0, 0] == pytest.approx(expected / expected[0, 0], rel=1e-5)
    assert written.data.dtype == np.float32
    assert (written.data == 0).sum() == 1
    assert any("1 dead pixels" in warning for warning in job.warnings)
    bad = read_mrc(movies.file(movies.meta["defects_path"])).data
    assert np.argwhere(bad).tolist() == [[2, 1], [2, 2], [2, 3]]
    first = movies.meta["gain_blake3"]
    write_mrc(raw / "gain.mrc", reference[::-1], 1.34)
    assert run(job, raw / "*.mrc", gain=str(raw / "gain.mrc"), **options).meta["gain_blake3"] != first


def test_gains_that_do_not_fit(job, raw):
    movie(raw / "a.mrc")
    write_mrc(raw / "gain.mrc", np.ones((8, 6)), 1.34)
    with pytest.raises(Failure, match=r"6 × 8 px, movies of 8 × 6 px\. A gain rotation of 90 or 270"):
        run(job, raw / "a.mrc", gain=str(raw / "gain.mrc"))
    write_mrc(raw / "gain.mrc", np.full((6, 8), np.nan), 1.34)
    with pytest.raises(Failure, match="48 values of the gain reference are NaN"):
        run(job, raw / "a.mrc", gain=str(raw / "gain.mrc"))


def test_the_fingerprint_notices_a_changed_file(raw):
    movie(raw / "a.mrc")
    write_mrc(raw / "g.mrc", np.ones((6, 8)), 1.0)
    protocol = ImportMovies(pattern=str(raw / "a.mrc"), pixel_size=1.34, gain=str(raw / "g.mrc"))
    first = protocol.fingerprint()
    assert [entry[0] for entry in first] == ["a.mrc", "g.mrc"]
    assert json.loads(json.dumps(first)) == first == protocol.fingerprint()
    movie(raw / "a.mrc", frames=5)
    assert protocol.fingerprint() != first


def test_parameters(raw, monkeypatch):
    monkeypatch.chdir(raw)
    protocol = ImportMovies(pattern="x*.mrc", pixel_size="1.34", gain="~/g.mrc", gain_rotation="90")
    assert protocol.pattern == (str(raw / "x*.mrc"),)
    assert protocol.gain.startswith("/")
    assert protocol.gain_rotation == 90
    again = ImportMovies(**protocol.parameter_values())
    assert again == protocol
    assert [hint.parameter for hint in protocol.check()] == ["gain"]
    assert [hint.parameter for hint in ImportMovies(pattern="a", pixel_size=1, gain_rotation=90).check() if not hint.error] == ["gain"]
    for wrong in ({"pixel_size": 0}, {"pixel_size": -1.0}, {"gain_rotation": 45}, {"voltage": 0}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            ImportMovies(**{"pattern": "a", "pixel_size": 1.0, **wrong})


def test_summary(job, raw):
    for name, frames in (("a.mrc", 4), ("b.mrc", 5)):
        movie(raw / name, frames)
    (raw / "c.mrc").write_bytes(b"")
    protocol = ImportMovies(pattern=str(raw / "*"), pixel_size=1.34, dose_per_frame=2.0, pre_exposure=1.0)
    assert protocol.summary(protocol.run(job)) == {
        "movies": 2,
        "size (px)": "8 × 6",
        "frames": "4 to 5",
        "pixel size (Å)": 1.34,
        "total dose (e/Å²)": 11.0,
        "unreadable": 1,
    }


def test_types_do_not_depend_on_failures(job, raw):
    movie(raw / "a.mrc")
    first = run(job, raw / "a.mrc").items.schema
    (raw / "b.mrc").write_bytes(b"")
    assert run(job, raw / "*").items.schema == first
    assert first["enabled"] == pl.Boolean
    assert first["id"] == pl.Int64


def epu_xml(path, pixel_size=1.34, voltage=300, dose=40.0, width=8):
    number = f"<SpatialScale><pixelSize><x><numericValue>{pixel_size}E-10</numericValue></x></pixelSize></SpatialScale>"
    dose_text = f"<CustomData><KeyValueOfstringanyType><Key>Dose</Key><Value>{dose}E+20</Value></KeyValueOfstringanyType></CustomData>"
    camera = f"<acquisition><camera><ReadoutArea><width>{width}</width></ReadoutArea></camera></acquisition>"
    gun = f"<gun><AccelerationVoltage>{voltage}000</AccelerationVoltage></gun>"
    optics = "<optics><TemMagnification><NominalMagnification>105000</NominalMagnification></TemMagnification></optics>"
    path.write_text(f"<MicroscopeImage>{dose_text}{number}<microscopeData>{camera}{gun}{optics}</microscopeData></MicroscopeImage>")


def test_the_microscope_tells_what_the_form_leaves_open(job, raw):
    for name in ("a", "b"):
        movie(raw / f"{name}_fractions.tiff")
        epu_xml(raw / f"{name}.xml", pixel_size=2.68, width=4)
    optics = ImportMovies(pattern=str(raw / "*.tiff")).run(job).movies.optics[0]
    assert optics["pixel_size"] == pytest.approx(1.34), "the movie is twice as wide as EPU's image"
    assert (optics["dose_per_frame"], optics["magnification"], optics["voltage"]) == (10.0, 105000.0, 300.0)
    assert not job.warnings
    before = ImportMovies(pattern=str(raw / "*.tiff")).fingerprint()
    epu_xml(raw / "b.xml", pixel_size=2.680, width=4)
    assert ImportMovies(pattern=str(raw / "*.tiff")).fingerprint() != before, "other words of the microscope are other work"
    assert run(job, raw / "*.tiff", dose_per_frame=9.5).optics[0]["dose_per_frame"] == 9.5
    assert not job.warnings, "doses are never known that well"
    run(job, raw / "*.tiff", dose_per_frame=1.0)
    assert "a.xml says 10 e/Å² a frame (2 of 2 files differ); 1 e/Å² is used." in job.warnings[0]


def test_the_microscope_contradicts(job, raw):
    movie(raw / "a.tif")
    epu_xml(raw / "a.xml")
    with pytest.raises(Failure, match=r"a.xml says 300 kV, --voltage says 200 kV \(1 of 1 files differ\)") as caught:
        run(job, raw / "a.tif", voltage=200.0)
    assert "--ignore-recorded" in caught.value.cure
    assert run(job, raw / "a.tif", voltage=200.0, ignore_recorded=True).optics[0]["voltage"] == 200.0
    with pytest.raises(Failure, match=r"a.xml says 1.34 Å/px, --pixel-size says 1.4 Å/px"):
        ImportMovies(pattern=str(raw / "a.tif"), pixel_size=1.4).run(job)
    movie(raw / "b.tif")
    epu_xml(raw / "b.xml", pixel_size=2.0)
    with pytest.raises(Failure, match=r"b.xml says 2 Å/px, a.xml says 1.34 Å/px \(1 of 2 files differ\)"):
        ImportMovies(pattern=str(raw / "*.tif")).run(job)
    with pytest.raises(WrongUse, match="say the pixel size"):
        ImportMovies(pattern=str(raw / "*.tif"), ignore_recorded=True).run(job)
    (raw / "b.xml").write_text("<html/>")
    assert run(job, raw / "*.tif").items["enabled"].all(), "a stray file costs no movie"
    assert job.warnings[-1] == "1 files beside movies tell nothing, such as b.xml: <html>, not EPU's <MicroscopeImage>."


def test_serialems_pixel_is_of_the_image_it_shows(job, raw):
    movie(raw / "a.tif")
    (raw / "a.tif.mdoc").write_text("Voltage = 300\n[FrameSet = 0]\nPixelSpacing = 2.68\nExposureDose = 20\nSubFramePath = X:\\a.tif\n")
    movies = run(job, raw / "a.tif")
    assert movies.optics[0]["pixel_size"] == 1.34 and movies.optics[0]["dose_per_frame"] == 5.0
    assert "a.tif.mdoc says 2.68 Å/px" in job.warnings[0]
    with pytest.raises(Failure, match=r"--pixel-size says 2 Å/px"):
        ImportMovies(pattern=str(raw / "a.tif"), pixel_size=2.0).run(job)
    assert ImportMovies(pattern=str(raw / "a.tif")).run(job).movies.optics[0]["pixel_size"] == 2.68


@pytest.mark.parametrize("upsampling", [1, 2])
def test_eer_movies_are_read_in_the_fractions_asked_for(job, raw, eer_file, upsampling):
    events = [[(20 * frame + 3, 3, 0)] for frame in range(7)]
    (raw / "a_EER.eer").write_bytes(eer_file(16, events))
    write_tiff(raw / "camera.gain", np.ones((16, 16), dtype=np.float32), flip_rows=False)
    parameters = {"eer_grouping": 2, "eer_upsampling": upsampling, "gain": str(raw / "camera.gain")}
    protocol = ImportMovies(pattern=str(raw / "*.eer"), **parameters)
    movies = protocol.run(job).movies
    row = movies.to_polars().row(0, named=True)
    assert (row["movie_name"], row["frames"], row["width"]) == ("a_EER", 3, 16 * upsampling)
    assert row["pixel_size"] == pytest.approx(0.8 / upsampling)
    assert row["dose_per_frame"] == pytest.approx(2 * 40 / 7, rel=1e-4)
    assert "The last 1 hardware frames" in job.warnings[0]
    assert read_mrc(movies.file(movies.meta["gain_path"])).data.shape == (16 * upsampling,) * 2
    frames = movie_of(Item(row, job.root, job.folder, 0)).read()
    assert frames.shape == (3, 16 * upsampling, 16 * upsampling) and frames.sum() == 6
    assert frames[0, 0, (3 * 4 + 3) * upsampling // 4] == 1
    assert protocol.report(type("Out", (), {"movies": movies}))[0].images[0].sum() == pytest.approx(2), "the mean of three"
