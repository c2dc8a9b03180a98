"""deposit.empiar: what the form is told of each set, and particles whose poses another reader finds again."""

import json

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Micrographs, Movies, Particles
from cryoloom.formats.archive_rules import faults, missing
from cryoloom.formats.empiar import DEPOSITION, VOXELS, coded, plain
from cryoloom.formats.image_sets import image_set
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.formats.star import read_star
from cryoloom.formats.tiff import write_tiff
from cryoloom.protocols.deposit.empiar import DepositEMPIAR
from cryoloom.spec import Failure

COUNT = 12


@pytest.fixture
def sets(tmp_path):
    rng = np.random.default_rng(1)
    write_stack(tmp_path / "p.mrcs", rng.normal(size=(COUNT, 16, 16)).astype(np.float32), 2.0)
    for number in range(2):
        write_mrc(tmp_path / f"m{number}.mrc", np.ones((40, 50), np.float32), 1.0)
    optics = [
        {"optics_group": 1, "optics_group_name": "one", "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1, "dose_per_frame": 1.5}
    ]
    micrographs = {
        "id": [1, 2], "micrograph_name": ["m0", "m1"], "micrograph_path": ["m0.mrc", "m1.mrc"], "width": 50, "height": 40, "optics_group": 1,
        "enabled": [True, True], "fail_reason": ["", ""],
    }  # fmt: skip
    particles = {
        "id": range(COUNT), "micrograph_id": 1, "micrograph_name": "m0", "stack_path": "p.mrcs", "stack_index": range(COUNT), "optics_group": 1,
        "x": 10.0, "y": 12.0, "rot": np.linspace(-170, 170, COUNT), "tilt": np.linspace(0, 180, COUNT), "psi": np.linspace(170, -170, COUNT),
        "origin_x": rng.normal(size=COUNT) * 5, "origin_y": rng.normal(size=COUNT) * 5,
        "defocus_u": 15000.0, "defocus_v": 14000.0, "defocus_angle": 30.0, "phase_shift": 0.0,
    }  # fmt: skip
    group = optics[0] | {"pixel_size": 2.0, "box_size": 16, "contrast": "bright", "micrograph_pixel_size": 1.0}
    return (
        Micrographs(pl.DataFrame(micrographs), tmp_path, optics=[optics[0] | {"pixel_size": 1.0}]),
        Particles(pl.DataFrame(particles), tmp_path, optics=[group]),
    )


def test_image_sets_and_poses(sets, tmp_path):
    micrographs, particles = sets
    job = PlainJob(tmp_path / "runs/r001", tmp_path)
    protocol = DepositEMPIAR(micrographs=micrographs, particles=particles, title="A particle in ice", emdb_id="EMD-12345")
    (hint,) = protocol.check()
    assert hint.parameter == "depositor" and not hint.error and "corresponding_author" in hint.message
    out = protocol.run(job)
    folder = tmp_path / "runs/r001/deposit"
    text = (folder / "empiar_deposition.json").read_text()
    told = json.loads(text)
    assert told["title"] == "A particle in ice" and told["cross_references"] == [{"name": "EMD-12345"}] and str(tmp_path) not in text
    assert list(faults(told, DEPOSITION)) == []
    assert out.deposition.meta["missing"] == ["authors", "corresponding_author", "principal_investigator", "citation"]
    first, second = told["imagesets"]
    assert (first["category"], first["voxel_type"]) == ("('T1', '')", "('T7', '')") and first["num_images_or_tilt_series"] == 2
    assert first["picked_particles_file_pattern"] == "data/particles.star" and first["picked_particles_directory"] == second["directory"]
    assert second["micrographs_file_pattern"] == "data/micrographs/*.mrc" and second["category"] == "('T7', '')"
    assert (first["image_width"], first["image_height"], first["pixel_width"]) == (50, 40, 1.0) and "300 kV, Cs 2.7 mm" in first["details"]
    assert second["num_images_or_tilt_series"] == COUNT and second["image_width"] == 16 and second["header_format"] == "('T2', '')"
    files = pl.read_csv(folder / "micrographs.tsv", separator="\t")
    assert files["file"].to_list() == ["m0.mrc", "m1.mrc"] and files["bytes"].to_list() == [
        (tmp_path / f"m{n}.mrc").stat().st_size for n in range(2)
    ]
    rows = read_star(folder / "particles.star")["particles"]
    assert np.allclose(rows["rlnAngleRot"], particles.items["rot"], atol=1e-3) and np.allclose(
        rows["rlnOriginXAngst"], particles.items["origin_x"], atol=1e-3
    )
    assert np.array_equal(read_mrc(folder / "particles/p.mrcs").data, read_mrc(tmp_path / "p.mrcs").data)
    listed = {path.removeprefix("runs/r001/deposit/") for path in out.deposition.items["file_path"]}
    assert {
        "empiar_deposition.json",
        "particles.star",
        "particles/p.mrcs",
        "micrographs.tsv",
        "particles.tsv",
        "checksums.sha256",
    } == listed
    assert protocol.summary(out)["particles"].startswith(f"{COUNT}, ") and all(panel.html() for panel in protocol.report(out))


PERSON = {"first_name": "Ada", "last_name": "Lovelace", "organization": "Analytical Engines", "email": "ada@example.org", "country": "GB"}
PEOPLE = {
    "authors": [{"name": "('Lovelace', 'A')", "order_id": 0, "author_orcid": None}],
    "corresponding_author": PERSON, "principal_investigator": [PERSON],
    "citation": [{"authors": [{"name": "('Lovelace', 'A')", "order_id": 0}], "published": False, "j_or_nj_citation": True, "title": "Notes"}],
}  # fmt: skip


def test_what_the_depositor_tells_makes_it_whole(sets, tmp_path):
    path = tmp_path / "people.json"
    path.write_text(json.dumps(PEOPLE))
    protocol = DepositEMPIAR(micrographs=sets[0], title="A particle in ice", depositor=str(path), release="with the paper")
    assert not list(protocol.check()) and protocol.fingerprint()
    out = protocol.run(PlainJob(tmp_path / "runs/r001", tmp_path))
    told = out.deposition.meta["metadata"]
    assert out.deposition.meta["missing"] == [] and told["release_date"] == "HP" and told["authors"] == PEOPLE["authors"]
    assert protocol.summary(out)["only you can tell"] == "nothing" and protocol.report(out)[0].level == "good"


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (("authors", 0, "name"), "Ada Lovelace", "authors.1.name is 'Ada Lovelace', which does not look like"),
        (("corresponding_author", "country"), "United Kingdom", "corresponding_author.country is"),
        (("corresponding_author", "phone"), "1", "corresponding_author.phone is not known"),
        (("citation", 0, "published"), "no", "citation.1.published is 'no', not yes-no"),
        (("citation", 0, "year"), 1.5, "citation.1.year is 1.5, not whole"),
        (("release_date",), "now", "not one of RE"),
        (("experiment_type",), 10, "not one of 1"),
        (("title",), "Short", "title (5) is not from 10 to 255"),
        (("imagesets", 0, "category"), "movies", "imagesets.1.category is"),
        (("imagesets", 0, "category"), "('T15', '')", "imagesets.1.category is"),
        (("imagesets", 0, "voxel_type"), "('OT', '16 bit float')", "imagesets.1.voxel_type is"),
        (("imagesets", 0, "frames_per_image"), "8", "imagesets.1.frames_per_image is '8', not whole"),
        (("cross_references",), ["EMD-1234"], "cross_references.1 is 'EMD-1234', not object"),
    ],
)  # fmt: skip
def test_what_empiar_refuses_is_named(place, value, fault):
    image = {
        "name": "movies", "directory": "data/movies", "category": "('T2', '')", "header_format": "('T3', '')", "data_format": "('T3', '')",
        "num_images_or_tilt_series": 4, "frames_per_image": 8, "voxel_type": "('T1', '')",
    }  # fmt: skip
    whole = {**PEOPLE, "title": "A particle in ice", "release_date": "RE", "experiment_type": 3, "imagesets": [image]}
    told = json.loads(json.dumps(whole))
    assert not list(faults(told, DEPOSITION)) and not list(missing(told, DEPOSITION))
    held = told
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = value
    assert any(fault in each for each in faults(told, DEPOSITION))
    held.pop(place[-1])
    assert list(missing(told, DEPOSITION)) == (
        [".".join(str(key + 1) if isinstance(key, int) else key for key in place)] if needed(place) else []
    )


def needed(place):
    return place[-1] not in ("phone", "year", "cross_references")


def test_formats_that_empiar_has_no_word_for(tmp_path):
    write_tiff(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint8))
    row = {
        "id": [1], "movie_name": ["a"], "movie_path": ["a.tif"], "frames": [3], "width": [8], "height": [8], "optics_group": [1],
        "enabled": [True], "fail_reason": [""],
    }  # fmt: skip
    told = image_set(Movies(pl.DataFrame(row), tmp_path, optics=[{"optics_group": 1, "pixel_size": 1.0}]), "movies").told
    assert (told["category"], told["header_format"], told["voxel_type"]) == ("('T2', '')", "('T3', '')", "('T1', '')")
    assert told["frames_per_image"] == 3 and told["directory"] == "data/movies"
    assert coded("16 BIT FLOAT", VOXELS) == "('OT', '16 BIT FLOAT')" and plain("('OT', '16 BIT FLOAT')", VOXELS) == "16 BIT FLOAT"
    assert all(plain(coded(word, VOXELS), VOXELS) == word for word in VOXELS)


def test_nothing_given_and_files_gone(sets, tmp_path):
    micrographs, particles = sets
    assert "give one of them at least" in next(iter(DepositEMPIAR().check())).message
    assert {hint.parameter for hint in DepositEMPIAR(micrographs=micrographs, title="Short", emdb_id="1234").check() if hint.error} >= {
        "title", "emdb_id",
    }  # fmt: skip
    broken = next(hint for hint in DepositEMPIAR(micrographs=micrographs, depositor=str(tmp_path / "none.json")).check())
    assert broken.error and "cannot be read" in broken.message
    poseless = Particles(particles.items.drop("rot"), tmp_path, optics=particles.optics)
    assert not next(iter(DepositEMPIAR(particles=poseless).check())).error
    (tmp_path / "m1.mrc").unlink()
    with pytest.raises(Failure, match="no such file"):
        DepositEMPIAR(micrographs=micrographs).run(PlainJob(tmp_path / "runs/r001", tmp_path))
