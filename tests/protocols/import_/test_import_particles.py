import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob
from scipy.spatial.transform import Rotation

from cryoloom.formats.exchange import format_named
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import read_particles, write_stack
from cryoloom.formats.star import write_star
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.protocols.import_.particles import ImportParticles
from cryoloom.spec import Failure

RNG = np.random.default_rng(0)


def run(job, path, **parameters):
    return ImportParticles(path=str(path), **parameters).run(job).particles


@pytest.fixture
def stacks(raw):
    """Two stacks below a project folder, as RELION keeps them."""
    data = {}
    for name, count, box in (("Extract/job7/m b.mrcs", 4, 8), ("Extract/job7/m_a.mrcs", 3, 8), ("Extract/job8/c.mrcs", 2, 6)):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        data[name] = RNG.normal(size=(count, box, box)).astype(np.float32)
        write_stack(raw / name, data[name], 1.5)
    return data


def table(**more):
    names = ["000002@Extract/job7/m b.mrcs", "000001@Extract/job7/m_a.mrcs", "000003@Extract/job7/m_a.mrcs", "000004@Extract/job7/m b.mrcs"]
    columns = {
        "rlnImageName": names,
        "rlnMicrographName": ["MotionCorr/m b.mrc", "MotionCorr/m_a.mrc", "MotionCorr/m_a.mrc", "MotionCorr/m b.mrc"],
        "rlnCoordinateX": [10.0, 20.0, 30.0, 40.0],
        "rlnCoordinateY": [1.0, 2.0, 3.0, 4.0],
        "rlnDefocusU": [10000.0, 11000.0, 12000.0, 13000.0],
        "rlnDefocusV": [9000.0, 10000.0, 11000.0, 12000.0],
        "rlnDefocusAngle": [5.0, 6.0, 7.0, 8.0],
        "rlnAngleRot": [1.0, 2.0, 3.0, 4.0],
        "rlnAngleTilt": [5.0, 6.0, 7.0, 8.0],
        "rlnAnglePsi": [9.0, 10.0, 11.0, 12.0],
        "rlnRandomSubset": [1, 2, 1, 2],
        "rlnOwnThing": ["x", "y", "z", "w"],
    }
    return pl.DataFrame({**columns, **more})


OPTICS = {
    "rlnOpticsGroup": [1],
    "rlnOpticsGroupName": ["first"],
    "rlnVoltage": [200.0],
    "rlnSphericalAberration": [1.4],
    "rlnAmplitudeContrast": [0.07],
    "rlnImagePixelSize": [1.5],
    "rlnImageSize": [8],
    "rlnImageDimensionality": [2],
    "rlnBeamTiltX": [0.1],
}


def test_relion_31(job, raw, stacks):
    star = raw / "Refine3D" / "job9" / "run_data.star"
    star.parent.mkdir(parents=True)
    angst = {"rlnOriginXAngst": [1.0, 2.0, 3.0, 4.0], "rlnOriginYAngst": [-1.0, -2.0, -3.0, -4.0], "rlnOpticsGroup": [1, 1, 1, 1]}
    write_star(star, {"optics": pl.DataFrame(OPTICS), "particles": table(**angst)})
    particles = run(job, star)
    items = particles.items
    assert items["micrograph_name"].to_list() == ["m_b", "m_a", "m_a", "m_b"]
    expected = [stacks["Extract/job7/m b.mrcs"][1], stacks["Extract/job7/m_a.mrcs"][0], stacks["Extract/job7/m_a.mrcs"][2]]
    assert np.array_equal(read_particles(particles, slice(0, 3)), expected)
    assert items["x"].to_list() == [10.0, 20.0, 30.0, 40.0]
    assert items["origin_y"].to_list() == [-1.0, -2.0, -3.0, -4.0]
    assert items["rot"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert items["half_set"].to_list() == [1, 2, 1, 2]
    assert items["phase_shift"].to_list() == [0.0] * 4
    assert items["rlnOwnThing"].to_list() == ["x", "y", "z", "w"]
    assert items["id"].to_list() == [1 << 20, 2 << 20, (2 << 20) + 1, (1 << 20) + 1]
    assert items["enabled"].all()
    assert particles.optics == [
        {
            "optics_group": 1,
            "optics_group_name": "first",
            "voltage": 200.0,
            "cs": 1.4,
            "amplitude_contrast": 0.07,
            "pixel_size": 1.5,
            "box_size": 8,
            "beam_tilt_x": 0.1,
            "phase_flipped": False,
            "ctf_premultiplied": False,
            "contrast": "bright",
        }
    ]
    assert all(particles.file(path).is_symlink() for path in items["stack_path"])


def test_relion_30_has_pixel_origins_and_no_optics_table(job, raw, stacks):
    old = {
        "rlnVoltage": [300.0] * 3 + [200.0],
        "rlnSphericalAberration": [2.7] * 4,
        "rlnAmplitudeContrast": [0.1] * 4,
        "rlnDetectorPixelSize": [7.5] * 4,
        "rlnMagnification": [50000.0] * 4,
        "rlnOriginX": [1.0, 2.0, 3.0, 4.0],
        "rlnOriginY": [0.0, 0.0, 0.0, -2.0],
    }
    write_star(raw / "old.star", {"": table(**old)})
    particles = run(job, raw / "old.star")
    assert [group["voltage"] for group in particles.optics] == [200.0, 300.0]
    assert {group["pixel_size"] for group in particles.optics} == {1.5}
    assert particles.items["optics_group"].to_list() == [2, 2, 2, 1]
    assert particles.items["origin_x"].to_list() == [1.5, 3.0, 4.5, 6.0]
    assert particles.items["origin_y"].to_list() == [0.0, 0.0, 0.0, -3.0]


def test_a_table_that_says_little(job, raw, stacks):
    rows = table(rlnOriginX=[1.0] * 4, rlnOriginY=[2.0] * 4).drop("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnMicrographName")
    write_star(raw / "old.star", {"": rows})
    particles = run(job, raw / "old.star", voltage=120.0)
    assert particles.optics[0]["pixel_size"] == 1.5, "of the stacks' headers"
    assert particles.optics[0]["voltage"] == 120.0
    assert particles.items["origin_x"].to_list() == [1.5] * 4
    assert "defocus_u" not in particles.items.columns
    assert particles.items["micrograph_name"].to_list() == ["m_b", "m_a", "m_a", "m_b"]


def test_groups_of_different_boxes_and_pixels(job, raw, stacks):
    names = ["000001@Extract/job8/c.mrcs", "000001@Extract/job7/m_a.mrcs"]
    groups = {name: values * 2 for name, values in OPTICS.items()} | {
        "rlnOpticsGroup": [1, 2],
        "rlnImageSize": [8, 6],
        "rlnImagePixelSize": [1.5, 2.0],
    }
    rows = pl.DataFrame({"rlnImageName": names, "rlnOpticsGroup": [2, 1]})
    write_star(raw / "two.star", {"optics": pl.DataFrame(groups), "particles": rows})
    particles = run(job, raw / "two.star")
    assert {group["optics_group"]: (group["box_size"], group["pixel_size"]) for group in particles.optics} == {1: (8, 1.5), 2: (6, 2.0)}
    assert "1 stacks say another pixel size" in job.warnings[0]
    groups["rlnImageSize"] = [8, 8]
    write_star(raw / "two.star", {"optics": pl.DataFrame(groups), "particles": rows})
    with pytest.raises(Failure, match=r"Optics group 2 .* box of 8 px, stacks of \[6\] px"):
        run(job, raw / "two.star")


def test_identities_of_our_own_export_return(job, raw, stacks):
    ids = [(7 << 20) + 3, (5 << 20) + 1, (5 << 20) + 9, 7 << 20]
    write_star(raw / "a.star", {"": table(cryoloomParticleId=ids)})
    items = run(job, raw / "a.star").items
    assert items["id"].to_list() == ids
    assert items["micrograph_id"].to_list() == [7, 5, 5, 7]
    write_star(raw / "a.star", {"": table(cryoloomParticleId=[1, 1, 2, 3])})
    assert run(job, raw / "a.star").items["id"].is_unique().all()


def test_images_that_cannot_be_used_are_disabled(job, raw, stacks):
    whole = (raw / "Extract/job7/m_a.mrcs").read_bytes()
    (raw / "Extract/job7/m_a.mrcs").write_bytes(whole[:-1])
    data = stacks["Extract/job7/m b.mrcs"].copy()
    data[1, 2, 3] = np.nan
    write_stack(raw / "Extract/job7/m b.mrcs", data[:3], 1.5)
    write_star(raw / "a.star", {"": table()})
    particles = run(job, raw / "a.star")
    reasons = particles.items["fail_reason"].to_list()
    assert particles.items["enabled"].to_list() == [False] * 4
    assert "image 2 of Extract/job7/m b.mrcs holds NaN" in reasons[0]
    assert f"expected {len(whole)} bytes, found {len(whole) - 1}" in reasons[1]
    assert "image 4 is asked for, Extract/job7/m b.mrcs holds 3" in reasons[3]
    assert "4 of 4 particles" in job.warnings[-1]


def test_missing_stacks_say_where_they_were_looked_for(job, raw, stacks):
    elsewhere = raw.parent / "elsewhere"
    elsewhere.mkdir()
    write_star(elsewhere / "a.star", {"": table()})
    assert len(run(job, elsewhere / "a.star", folder=str(raw)).enabled()) == 4
    (raw / "Extract/job7/m b.mrcs").unlink()
    particles = run(job, elsewhere / "a.star", folder=str(raw))
    assert particles.items["enabled"].to_list() == [False, True, True, False]
    assert "m b.mrcs: not found" in particles.items["fail_reason"][0]


def cs_table(count, **columns):
    types = {"uid": "<u8", "blob/path": "S40", "blob/idx": "<u4", "blob/psize_A": "<f4", "blob/sign": "<f4", "ctf/exp_group_id": "<u4"}
    fields = [(name, types.get(name, np.asarray(values).dtype.str), np.asarray(values).shape[1:]) for name, values in columns.items()]
    data = np.zeros(count, dtype=fields)
    for name, values in columns.items():
        data[name] = values
    return data


def test_cryosparc(job, raw, stacks):
    angles = np.array([[10.0, 20.0, 30.0], [-100.0, 150.0, 170.0], [0.0, 90.0, -60.0]])
    matrices = euler_to_matrix(*angles.T)
    particles_file, passthrough = raw / "J9" / "p.cs", raw / "J9" / "pass.cs"
    particles_file.parent.mkdir()
    first = cs_table(
        3,
        **{
            "uid": np.array([30, 10, 20]),
            "blob/path": [b">Extract/job7/m_a.mrcs"] * 3,
            "blob/idx": [2, 0, 1],
            "blob/psize_A": [1.5] * 3,
            "blob/sign": [-1.0] * 3,
            "alignments3D/pose": Rotation.from_matrix(matrices.transpose(0, 2, 1)).as_rotvec().astype("f4"),
            "alignments3D/shift": np.array([[1.0, -2.0]] * 3, dtype="f4"),
            "alignments3D/psize_A": np.full(3, 3.0, dtype="f4"),
            "alignments3D/split": np.array([0, 1, 1], dtype="u4"),
        },
    )
    second = cs_table(
        4,
        **{
            "uid": np.array([10, 20, 30, 40]),
            "ctf/exp_group_id": [3, 3, 5, 5],
            "ctf/df1_A": np.array([1e4, 2e4, 3e4, 4e4], dtype="f4"),
            "ctf/df2_A": np.array([1e4, 2e4, 3e4, 4e4], dtype="f4"),
            "ctf/df_angle_rad": np.full(4, np.pi / 6, dtype="f4"),
            "ctf/phase_shift_rad": np.full(4, np.pi / 2, dtype="f4"),
            "ctf/accel_kv": np.full(4, 200.0, dtype="f4"),
            "location/micrograph_path": np.array([b"J2/mic.mrc"] * 4),
            "location/micrograph_shape": np.array([[100, 200]] * 4, dtype="u4"),
            "location/center_x_frac": np.full(4, 0.25, dtype="f4"),
            "location/center_y_frac": np.full(4, 0.1, dtype="f4"),
        },
    )
    with particles_file.open("wb") as handle:
        np.save(handle, first)
    with passthrough.open("wb") as handle:
        np.save(handle, second)
    particles = run(job, particles_file, passthrough=str(passthrough))
    items = particles.items
    assert np.allclose(read_particles(particles), -stacks["Extract/job7/m_a.mrcs"][[2, 0, 1]])
    assert not particles.file(items["stack_path"][0]).is_symlink(), "dark particles are written inverted"
    assert {group["contrast"] for group in particles.optics} == {"bright"}
    found = euler_to_matrix(*(items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    assert found == pytest.approx(matrices, abs=1e-6)
    assert items["origin_x"].to_list() == [3.0] * 3
    assert items["origin_y"].to_list() == [-6.0] * 3
    assert items["defocus_u"].to_list() == [3e4, 1e4, 2e4]
    assert items["defocus_angle"].to_list() == pytest.approx([30.0] * 3)
    assert items["phase_shift"].to_list() == pytest.approx([90.0] * 3)
    assert items["half_set"].to_list() == [1, 2, 2]
    assert items["optics_group"].to_list() == [2, 1, 1]
    assert items["x"].to_list() == [50.0] * 3
    assert items["y"].to_list() == pytest.approx([10.0] * 3)
    assert items["micrograph_name"].to_list() == ["mic"] * 3
    assert [group["optics_group_name"] for group in particles.optics] == ["exposureGroup3", "exposureGroup5"]
    assert particles.optics[0]["cs"] == 2.7, "what the table does not say comes from the form"
    with particles_file.open("wb") as handle:
        np.save(handle, cs_table(1, uid=np.array([99]), **{"blob/path": [b"x"], "blob/idx": [0]}))
    with pytest.raises(Failure, match="1 of the 1 items"):
        run(job, particles_file, passthrough=str(passthrough))


def test_no_pickle_is_opened(job, raw):
    np.save(raw / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (raw / "a.npy").rename(raw / "a.cs")
    with pytest.raises(Failure, match="not a cryoSPARC table"):
        run(job, raw / "a.cs")


def test_a_bare_stack(job, raw, stacks):
    path = raw / "Extract/job7/m_a.mrcs"
    particles = run(job, path, pixel_size=1.5, voltage=200.0)
    assert np.array_equal(read_particles(particles), stacks["Extract/job7/m_a.mrcs"])
    assert particles.optics[0]["voltage"] == 200.0
    assert particles.optics[0]["box_size"] == 8
    protocol = ImportParticles(path=str(path), pixel_size=1.5)
    assert protocol.summary(protocol.run(job)) == {
        "particles": 3,
        "micrographs": 1,
        "box (px)": "8",
        "pixel size (Å)": "1.5",
        "CTF": "no",
        "poses": "no",
    }
    assert [hint.parameter for hint in ImportParticles(path=str(path)).check()] == ["pixel_size"]
    dark = run(job, path, pixel_size=1.5, contrast="dark")
    assert np.array_equal(read_particles(dark), -stacks["Extract/job7/m_a.mrcs"])


def test_pixel_sizes_that_disagree(job, raw, stacks):
    write_star(raw / "a.star", {"optics": pl.DataFrame(OPTICS), "particles": table(rlnOpticsGroup=[1] * 4)})
    with pytest.raises(Failure, match=r"says 1.5 Å/px, --pixel-size says 3 Å/px"):
        run(job, raw / "a.star", pixel_size=3.0)
    assert run(job, raw / "a.star", pixel_size=3.0, ignore_header_pixel_size=True).optics[0]["pixel_size"] == 3.0


def test_tables_that_are_none(job, raw, stacks):
    write_star(raw / "a.star", {"micrographs": pl.DataFrame({"rlnMicrographName": ["a"]})})
    with pytest.raises(Failure, match="no table with rlnImageName; it holds data_micrographs"):
        run(job, raw / "a.star")
    write_star(raw / "b.star", {"optics": pl.DataFrame(OPTICS), "particles": table(rlnOpticsGroup=[1, 1, 2, 1])})
    with pytest.raises(Failure, match="optics group 2 is not in data_optics"):
        run(job, raw / "b.star")
    write_mrc(raw / "c.mrcs", np.zeros((2, 4, 6)), 1.0)
    write_star(raw / "c.star", {"": pl.DataFrame({"rlnImageName": ["1@c.mrcs", "1@Extract/job7/m_a.mrcs"]})})
    items = run(job, raw / "c.star").items
    assert "not square boxes" in items["fail_reason"][0]
    assert items["enabled"].to_list() == [False, True]


def test_real_files(job, test_data):
    with pytest.warns(UserWarning, match="no MAP stamp"):
        particles = run(job, test_data / "particles-relion31-5" / "relion31.star")
    assert particles.items.height == 5
    assert read_particles(particles).shape == (5, 256, 256)
    assert particles.optics[0]["pixel_size"] == 2.806
    particles = run(job, test_data / "particles-10076-50S" / "empiar_10076_7.cs")
    raw = read_mrc(test_data / "particles-10076-50S" / "empiar_10076_7.mrc").data
    images = read_particles(particles)
    assert np.array_equal(images, -raw)
    y, x = np.indices((320, 320)) - 160
    centre = np.hypot(y, x) < 64
    assert (images[:, centre].mean(axis=1) > 0).all(), "the particles are bright now"
    assert particles.items["defocus_angle"][0] == pytest.approx(5.28, abs=1e-4)


@pytest.mark.parametrize("name", ["xmipp", "cryosparc", "relion-3.0"])
def test_what_other_programs_would_give_back(job, raw, stacks, name):
    """An export is imported again: the same images, poses and ids, whatever the format in between."""
    star = raw / "first.star"
    angst = {"rlnOriginXAngst": [1.0, 2.0, 3.0, 4.0], "rlnOriginYAngst": [-1.0, -2.0, -3.0, -4.0], "rlnOpticsGroup": [1] * 4}
    write_star(star, {"optics": pl.DataFrame(OPTICS), "particles": table(**angst)})
    first = run(job, star)
    out = raw / "out"
    format_named(name).writers["particles"](first, "particles", out, related={})
    (job.root / "runs" / "r002").mkdir()
    path = next(out / file for file in ("particles.xmd", "particles.csg", "particles.star") if (out / file).exists())
    again = run(PlainJob(job.root / "runs" / "r002", job.root), path)
    order = pl.DataFrame({"id": first.items["id"]})
    same = ["id", "x", "y", "rot", "tilt", "psi", "origin_x", "origin_y", "defocus_u", "defocus_angle"]
    same = [column for column in same if column in again.items.columns]
    assert len(same) > 7
    back = order.join(again.items, on="id", how="left", maintain_order="left").select(same)
    assert np.allclose(back, first.items.select(same), rtol=1e-6, atol=1e-5)
    assert again.optics[0]["pixel_size"] == pytest.approx(1.5) and again.optics[0]["voltage"] == 200.0
    place = {number: index for index, number in enumerate(again.items["id"])}
    assert np.array_equal(read_particles(again, np.array([place[number] for number in first.items["id"]])), read_particles(first))


def test_names_of_ours_in_a_foreign_file_decide_nothing(job, raw, stacks):
    secret = raw / "secret.mrcs"
    write_stack(secret, np.ones((4, 8, 8)), 1.5)
    rows = table(rlnOpticsGroup=[1] * 4).with_columns(
        stack_path=pl.lit(str(secret)), other_path=pl.lit("../x"), enabled=pl.lit(0), id=pl.lit(7)
    )
    write_star(raw / "a.star", {"optics": pl.DataFrame(OPTICS), "particles": rows})
    particles = run(job, raw / "a.star")
    assert all(path.startswith("runs/r001/") for path in particles.items["stack_path"])
    assert not {"other_path", "stack_path_right"} & set(particles.items.columns)
    assert particles.items["id"].is_unique().all() and particles.items["enabled"].all()


def test_mirrored_particles_are_told_of(job, raw, stacks):
    rows = "1@Extract/job7/m_a.mrcs 30 1 2 1\n2@Extract/job7/m_a.mrcs 40 1 2 0\n"
    labels = "".join(f" _{label}\n" for label in ("image", "anglePsi", "shiftX", "shiftY", "flip"))
    (raw / "a.xmd").write_text(f"# XMIPP_STAR_1 *\ndata_noname\nloop_\n{labels}{rows}")
    particles = run(job, raw / "a.xmd", pixel_size=1.5)
    assert particles.items["flip"].to_list() == [True, False]
    assert particles.items["psi"].to_list() == [30.0, -40.0]
    assert "1 of 2 particles are aligned as mirrored" in job.warnings[0]
