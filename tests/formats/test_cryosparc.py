"""cryoSPARC's tables, judged by its own definitions; nothing in them is ever run."""

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields
from scipy.spatial.transform import Rotation

from cryoloom.formats.cryosparc import read_cs, read_micrographs_cs, read_particle_places, read_particles_cs
from cryoloom.formats.exchange import formats
from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.simulate.fourier import backward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.projection import project_transform
from cryoloom.spec import Failure


def test_images_follow_from_the_fields(carried, tmp_path):
    """A particle is the map turned by the inverse of the rotation vector, moved by minus the shift, times the transfer function."""
    given = carried()
    formats()["cryosparc"].writers["particles"](given.particles, "p", tmp_path, related=given.related)
    data = np.load(tmp_path / "particles.cs", allow_pickle=False)
    for row in data:
        pose = Rotation.from_rotvec(row["alignments3D/pose"]).as_matrix().T
        size = float(row["alignments3D/psize_A"])
        transform = project_transform(given.phantom, pose, 32, size, -row["alignments3D/shift"] * size)
        angles = np.rad2deg([row["ctf/df_angle_rad"], row["ctf/phase_shift_rad"]])
        microscope = Microscope(float(row["ctf/accel_kv"]), float(row["ctf/cs_mm"]), float(row["ctf/amp_contrast"]))
        transform *= microscope.transfer(Defocus(float(row["ctf/df1_A"]), float(row["ctf/df2_A"]), *angles), *frequencies(32, 32, size))
        stored = read_mrc(tmp_path / row["blob/path"].decode()).data[row["blob/idx"]]
        assert np.abs(backward(transform, (32, 32)) - stored).max() < 2e-4 * np.abs(stored).max()
    assert data["uid"].tolist() == given.particles.items["id"].to_list()
    assert set(data["blob/sign"]) == {1.0} and data["alignments3D/split"].tolist() == [0, 1] * 3
    assert all(data.dtype[name].str[1] != "O" for name in data.dtype.names)
    again = tmp_path / "again"
    formats()["cryosparc"].writers["particles"](given.particles, "p", again, related=given.related)
    assert (again / "particles.cs").read_bytes() == (tmp_path / "particles.cs").read_bytes()


def test_a_group_takes_each_result_from_its_own_table(carried, tmp_path):
    given = carried()
    formats()["cryosparc"].writers["particles"](given.particles, "p", tmp_path, related=given.related)
    data = np.load(tmp_path / "particles.cs", allow_pickle=False)
    part = lambda *results: [name for name in data.dtype.names if name.split("/")[0] in ("uid", *results)]  # noqa: E731
    for name, fields in {"a": part("blob", "alignments3D"), "b": part("ctf", "location", "pick_stats")}.items():
        table = repack_fields(data[fields][::-1] if name == "b" else data[fields])
        np.save(tmp_path / f"{name}.npy", table)
        (tmp_path / f"{name}.npy").rename(tmp_path / f"{name}.cs")
    results = "".join(
        f"  {n}:\n    metafile: '>{f}.cs'\n    num_items: 6\n" for n, f in {"blob": "a", "alignments3D": "a", "ctf": "b"}.items()
    )
    (tmp_path / "j.csg").write_text(f"created: '2026-01-01'\ngroup:\n  name: p\n  type: particle\nresults:\n{results}version: v4.5.3\n")
    table = read_particles_cs(tmp_path / "j.csg")
    given.check(table, tmp_path)
    assert "x" not in table.items.columns, "location was not connected"
    (tmp_path / "bad.csg").write_text("results:\n  blob:\n    metafile: '>../../etc/shadow'\n")
    with pytest.raises(Failure, match=r"\.\./\.\./etc/shadow was not found"):
        read_cs(tmp_path / "bad.csg")
    (tmp_path / "empty.csg").write_text("group:\n  name: p\n")
    with pytest.raises(Failure, match="names no results"):
        read_cs(tmp_path / "empty.csg")


def saved(path, array, **options):
    with path.open("wb") as stream:
        np.save(stream, array, **options)
    return path


def test_what_is_no_table_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    fields = np.zeros(1, dtype=[("uid", "u8"), ("blob/path", "O")])
    fields["blob/path"][0] = Trap()
    for number, content in enumerate((fields, np.zeros(3), np.zeros(2, dtype=[("a", "f4")]))):
        with pytest.raises(Failure, match="cs-invalid"):
            read_cs(saved(tmp_path / f"{number}.cs", content, allow_pickle=True))
    np.savez(tmp_path / "z.npz", uid=np.zeros(3))
    (tmp_path / "z.npz").rename(tmp_path / "z.cs")
    good = saved(tmp_path / "good.cs", np.zeros(1000, dtype=[("uid", "u8")]))
    (tmp_path / "cut.cs").write_bytes(good.read_bytes()[:2000])
    large = good.read_bytes()[:128].replace(b"(1000,)", b"(9999999999999,)".ljust(7)[:16])
    (tmp_path / "large.cs").write_bytes(large)
    for name in ("z.cs", "cut.cs", "large.cs"):
        with pytest.raises(Failure, match="not a cryoSPARC table"):
            read_cs(tmp_path / name)


def test_what_cannot_be_said_is_not_written(carried, tmp_path):
    given = carried()
    flipped = given.particles.with_columns(
        given.particles.items.select("id"), optics=[{**g, "phase_flipped": True} for g in given.particles.optics]
    )
    with pytest.raises(Failure, match="corrected for their CTF already"):
        formats()["cryosparc"].writers["particles"](flipped, "p", tmp_path, related={})
    with pytest.raises(Failure, match="there are none"):
        formats()["cryosparc"].writers["coordinates"](given.related["coordinates"], "c", tmp_path, related={})


def test_real_files(test_data):
    folder = test_data / "cryosparc-cs"
    table = read_particles_cs(folder / "cryosparc_P12_J24_001_particles.cs")
    assert table.items.height == 2019 and table.optics[0]["pixel_size"] == pytest.approx(2.95)
    assert set(table.items["half_set"]) == {1, 2}
    assert table.items.select("origin_x").row(0)[0] == pytest.approx(11.334375 * 2.95, rel=1e-5)
    assert table.items["image_file"][0].startswith("J19/extract/")
    exported = read_particles_cs(folder / "cryosparc_J2_particles_exported.cs")
    assert exported.items["image_file"][0].startswith("J1/imported/"), "without the mark"
    assert exported.optics[0]["contrast"] == "dark" and "rot" not in exported.items.columns
    assert exported.items["psi"][0] == pytest.approx(np.rad2deg(5.8985004) - 360)
    assert read_cs(folder / "4k_dataset.cs").shape == (0,)
    with pytest.raises(Failure, match="no micrograph_blob/path"):
        read_micrographs_cs(folder / "cryosparc_J2_particles_exported.cs")
    with pytest.raises(Failure, match="no location fields"):
        read_particle_places(folder / "cryosparc_J2_particles_exported.cs")
