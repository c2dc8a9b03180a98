"""Xmipp's labels, judged by Xmipp's own definitions and not by our writer."""

import numpy as np
import polars as pl
import pytest
from scipy.spatial.transform import Rotation

from cryoloom.formats.exchange import formats
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.formats.xmipp import read_micrographs_xmd, read_particles_xmd, read_positions
from cryoloom.numerics.simulate.projection import project
from cryoloom.spec import Failure

BOX, SIZE = 32, 4.0
MIRROR = np.diag([-1.0, 1.0])
RNG = np.random.default_rng(5)


def rotation(degrees):
    """Return Xmipp's 2D rotation."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])


def euler(rot, tilt, psi):
    """Return Xmipp's Euler matrix: rotations about z, the new y and the new z of the axes, not of the object."""
    return Rotation.from_euler("ZYZ", [rot, tilt, psi], degrees=True).as_matrix().T


def seen(phantom, first_rows, moved):
    return project(phantom, np.vstack([first_rows, np.zeros(3)]), BOX, SIZE, moved)


def written(path, **columns):
    lines = "".join(f" _{label}\n" for label in columns)
    rows = zip(*columns.values(), strict=True)
    path.write_text(f"# XMIPP_STAR_1 *\n#\ndata_noname\nloop_\n{lines}" + "".join(" ".join(map(str, row)) + "\n" for row in rows))
    return read_particles_xmd(path)


def check(carried, table, images):
    """Compare the images that the read rows describe, without a transfer function, with those of Xmipp's definition."""
    for row, image in zip(table.items.iter_rows(named=True), images, strict=True):
        pose = euler(row.get("rot", 0.0), row.get("tilt", 0.0), row["psi"])[:2]
        away = -np.array([row["origin_x"], row["origin_y"]])
        if row.get("flip"):
            pose, away = MIRROR @ pose, MIRROR @ away
        assert np.abs(seen(carried.phantom, pose, away) - image).max() < 1e-4 * np.abs(image).max()


@pytest.mark.parametrize("flip", [0, 1])
def test_2d_alignment(carried, tmp_path, flip):
    """The reference at y is the particle at x with y = F R(psi) x + shift."""
    given = carried()
    angles, shifts = RNG.uniform(-180, 180, 3), RNG.normal(scale=2.0, size=(3, 2))
    mirror = MIRROR if flip else np.eye(2)
    images = []
    for angle, shift in zip(angles, shifts, strict=True):
        back = np.linalg.inv(mirror @ rotation(angle))
        images.append(seen(given.phantom, back @ np.eye(3)[:2], -(back @ shift) * SIZE))
    names = [f"00000{number}@p.mrcs" for number in (1, 2, 3)]
    more = {"flip": [flip] * 3, "samplingRate": [SIZE] * 3}
    check(given, written(tmp_path / "a.xmd", image=names, anglePsi=angles, shiftX=shifts[:, 0], shiftY=shifts[:, 1], **more), images)


@pytest.mark.parametrize("flip", [0, 1])
def test_projection_alignment(carried, tmp_path, flip):
    """The particle, mirrored if it says so and then shifted, is the projection at the Euler angles."""
    given = carried()
    angles, shifts = RNG.uniform([-180, 0, -180], [180, 180, 180], (3, 3)), RNG.normal(scale=2.0, size=(3, 2))
    mirror = MIRROR if flip else np.eye(2)
    images = [seen(given.phantom, mirror @ euler(*each)[:2], -(mirror @ shift) * SIZE) for each, shift in zip(angles, shifts, strict=True)]
    pose = {"angleRot": angles[:, 0], "angleTilt": angles[:, 1], "anglePsi": angles[:, 2], "shiftX": shifts[:, 0], "shiftY": shifts[:, 1]}
    table = written(tmp_path / "a.xmd", image=[f"{n}@p.mrcs" for n in (1, 2, 3)], **pose, flip=[flip] * 3, samplingRate=[SIZE] * 3)
    assert "flip" not in table.items.columns, "a projection seen from behind needs no mirror"
    check(given, table, images)


def test_mirrored_2d_poses_reproject(carried, tmp_path):
    given = carried(planar=True, mirrored=True)
    formats()["xmipp"].writers["particles"](given.particles, "p", tmp_path, related={})
    table = read_particles_xmd(tmp_path / "particles.xmd")
    assert table.items["flip"].to_list() == [True, False] * 3
    given.check(table, tmp_path)
    for other in ("relion", "relion-3.0", "cryosparc"):
        with pytest.raises(Failure, match="mirrored"):
            formats()[other].writers["particles"](given.particles, "p", tmp_path / other, related={})


def test_the_file_is_xmipps(carried, tmp_path):
    given = carried()
    formats()["xmipp"].writers["particles"](given.particles, "p", tmp_path, related=given.related)
    lines = (tmp_path / "particles.xmd").read_text().splitlines()
    assert lines[0] == "# XMIPP_STAR_1 *" and " _image" in lines
    row = read_star(tmp_path / "particles.xmd")["noname"].row(1, named=True)
    assert row["ctfVPPphaseshift"] == pytest.approx(np.deg2rad(given.particles.items["phase_shift"][1])), "radians"
    assert row["image"] == "000001@particles/s1.mrcs"
    assert row["shiftX"] == pytest.approx(given.particles.items["origin_x"][1] / 4.0), "px"
    assert row["xcoor"] == 20 and row["enabled"] == 1


def test_disabled_rows_unknown_pixel_size_and_model_files(tmp_path):
    (tmp_path / "m.ctfparam").write_text(
        "# XMIPP_STAR_1 *\ndata_fullMicrograph\n _ctfSamplingRate 2\n _ctfVoltage 200\n _ctfDefocusU 15000\n _ctfDefocusV 14000\n"
        " _ctfDefocusAngle 30\n _ctfSphericalAberration 2.7\n _ctfQ0 0.07\n _ctfK 1\n"
    )
    columns = {"image": ["1@p.mrcs", "2@p.mrcs"], "enabled": [1, -1], "ctfModel": ["fullMicrograph@m.ctfparam"] * 2}
    table = written(tmp_path / "a.xmd", **columns, ref=[3, 4])
    assert table.items.height == 1 and table.items["class_id"].to_list() == [3]
    assert table.items.select("defocus_u", "defocus_angle", "phase_shift").row(0) == (15000.0, 30.0, 0.0)
    assert table.optics[0]["voltage"] == 200 and table.optics[0]["pixel_size"] == 2
    table = written(tmp_path / "b.xmd", image=["1@p.mrcs"], shiftX=[1.5], shiftY=[2.5], anglePsi=[90.0])
    assert table.items.select("origin_x_px", "origin_y_px").row(0) == (pytest.approx(-2.5), pytest.approx(1.5)), "turned by psi = -90°"


def test_positions_by_hand_and_automatic(tmp_path):
    (tmp_path / "mic.pos").write_text(
        "# XMIPP_STAR_1 *\n#\ndata_header\nloop_\n _pickingMicrographState\nSupervised\ndata_particles\nloop_\n _itemId\n _enabled\n"
        " _xcoor\n _ycoor\n _cost\n1 1 10 20 0\n2 -1 11 21 0\ndata_particles_auto\nloop_\n _enabled\n _xcoor\n _ycoor\n _cost\n1 30 40 0.75\n"
    )
    assert read_positions(tmp_path / "mic.pos").select("x", "y", "score").rows() == [(10.0, 20.0, 0.0), (30.0, 40.0, 0.75)]
    (tmp_path / "none.pos").write_text("# XMIPP_STAR_1 *\ndata_header\nloop_\n _pickingMicrographState\nAvailable\n")
    with pytest.raises(Failure, match="no table with xcoor"):
        read_positions(tmp_path / "none.pos")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"micrograph": ["a.mrc"]}, "no rows with image; it holds data_noname"),
        ({"image": ["1@p.mrcs"], "ctfDefocusU": [1e4]}, "has ctfDefocusU but no ctfDefocusV, ctfDefocusAngle"),
        ({"image": ["1@p.mrcs"], "shiftX": [1.0]}, "has shiftX but no shiftY"),
        ({"image": ["1@p.mrcs"], "shiftX": ["far"], "shiftY": [0]}, "shiftX of row 1 is 'far'"),
        ({"image": ["first@p.mrcs"]}, "image 'first@p.mrcs' is not number@file"),
        ({"image": ["1@p.mrcs"], "ctfModel": ["../../etc/passwd"]}, "ctfModel|was not found|not a transfer function|no data_ block"),
    ],
)
def test_what_is_missing_is_named(tmp_path, columns, message):
    with pytest.raises(Failure, match=message):
        written(tmp_path / "a.xmd", **columns)
    with pytest.raises(Failure, match="no rows with micrograph"):
        read_micrographs_xmd(written_bare(tmp_path / "b.xmd"))


def written_bare(path):
    path.write_text("# XMIPP_STAR_1 *\ndata_noname\nloop_\n _image\n1@a.mrcs\n")
    return path


def test_classes_and_volumes(tmp_path):
    from cryoloom.data import Volume
    from cryoloom.formats.mrc import write_mrc

    write_mrc(tmp_path / "v.mrc", RNG.normal(size=(8, 8, 8)), 1.0, volume=True)
    volume = Volume(pl.DataFrame({"id": [1], "volume_path": ["v.mrc"], "box_size": [8]}), tmp_path, meta={"pixel_size": 2.0})
    formats()["xmipp"].writers["volume"](volume, "map", tmp_path / "out", related={})
    row = read_star(tmp_path / "out" / "volumes.xmd")["noname"].row(0, named=True)
    assert read_mrc(tmp_path / "out" / row["image"]).pixel_size == row["samplingRate"] == 2.0
