import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.app.simulation.movie_set import simulate_movies
from cryoloom.app.simulation.presets import preset_named
from cryoloom.data import Micrographs, Particles, Volume
from cryoloom.engine.events import Journal
from cryoloom.engine.job import RunJob
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import read_particles
from cryoloom.formats.star import read_star
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.reconstruct.resample import matched
from cryoloom.numerics.simulate.projection import project
from cryoloom.protocols.particles.polish import Polish, Polished

SET = {
    "movies": 3, "frames": 6, "width": 320, "height": 320, "pixel_size": 2.0, "dose_per_frame": 6.0, "particles_per_movie": 14,
    "phantom_diameter": 80.0, "contaminants": 0.0, "gain": 0.0, "dead_pixels": 0, "hot_pixels": 0, "drift_global": 3.0, "drift_local": 0.0,
    "drift_own": 3.0, "drift_reach": 800.0, "ice": 0.005,
}  # fmt: skip
BOX, SIZE = 64, 2.0


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return particles at their true places and poses, micrographs with the true motion of whole frames, half maps, and the truth."""
    root = tmp_path_factory.mktemp("movies")
    simulate_movies(root / "sim", preset_named("tiny", SET), 2, threads=1, progress=lambda *_: None)
    truth = read_star(root / "sim/truth/particles.star")["particles"]
    names = [f"movie_{number + 1:04d}" for number in range(3)]
    shifts = [read_star(root / f"sim/truth/motion/{name}.star")["global_shift"] for name in names]
    rows = {
        "id": [1, 2, 3], "micrograph_name": names, "movie_path": [f"sim/movies/{name}.mrc" for name in names], "micrograph_path": [""] * 3,
        "width": [320] * 3, "height": [320] * 3, "optics_group": [1] * 3, "enabled": [True] * 3, "fail_reason": [""] * 3, "first_frame": [1] * 3,
        "shift_x": [one["rlnMicrographShiftX"].to_list() for one in shifts], "shift_y": [one["rlnMicrographShiftY"].to_list() for one in shifts],
    }  # fmt: skip
    acquisition = {
        "optics_group": 1,
        "optics_group_name": "one",
        "voltage": 300.0,
        "cs": 2.0,
        "amplitude_contrast": 0.1,
        "pixel_size": SIZE,
    }
    micrographs = Micrographs(
        pl.DataFrame(rows), root, optics=[{**acquisition, "movie_pixel_size": SIZE, "dose_per_frame": 6.0, "pre_exposure": 0.0}]
    )
    centres = truth.select("rlnCoordinateX", "rlnCoordinateY").to_numpy()
    whole = np.rint(centres)
    items = pl.DataFrame(
        {
            "id": truth["cryoloomParticleId"], "micrograph_id": truth["cryoloomParticleId"] // 2**20, "stack_path": "none.mrcs", "stack_index": 0,
            "optics_group": 1, "enabled": True, "fail_reason": "", "x": whole[:, 0], "y": whole[:, 1],
            "origin_x": (whole - centres)[:, 0] * SIZE, "origin_y": (whole - centres)[:, 1] * SIZE, "half_set": 1 + np.arange(truth.height) % 2,
            **{name: truth[f"rlnAngle{name.title()}"] for name in ("rot", "tilt", "psi")},
            **{f"defocus_{name}": truth[f"rlnDefocus{name.title()}"] for name in ("u", "v", "angle")},
        }
    )  # fmt: skip
    group = {
        **acquisition,
        "box_size": BOX,
        "contrast": "bright",
        "phase_flipped": False,
        "ctf_premultiplied": False,
        "micrograph_pixel_size": SIZE,
    }
    particles = Particles(items, root, optics=[group])
    density = matched(read_mrc(root / "sim/truth/volume.mrc").data.astype(np.float32), SIZE, BOX, SIZE)
    rng = np.random.default_rng(1)
    for name in ("half1.mrc", "half2.mrc"):
        write_mrc(root / name, density + rng.normal(0, 0.5 * density.std(), density.shape).astype(np.float32), SIZE, volume=True)
    maps = {"id": [1], "volume_path": ["half1.mrc"], "half_map1_path": ["half1.mrc"], "half_map2_path": ["half2.mrc"], "box_size": [BOX]}
    return particles, micrographs, Volume(pl.DataFrame(maps), root, meta={"pixel_size": SIZE})


def polished(planted, job, **settings):
    particles, micrographs, volume = planted
    settings = {"velocity": 0.25, "distance": 800.0, "acceleration": 0.3, "mask_diameter": 90.0} | settings
    protocol = Polish(particles=particles, micrographs=micrographs, volume=volume, **settings)
    return protocol, protocol.run(job)


@pytest.fixture(scope="module")
def outcome(planted):
    job = PlainJob(planted[0].root / "run", planted[0].root)
    return (*polished(planted, job), job)


def own_motion(root):
    table = read_star(root / "sim/truth/own_motion.star")["own_motion"].sort("cryoloomParticleId", "rlnMicrographFrameNumber")
    return SIZE * table.select("cryoloomMovedX", "cryoloomMovedY").to_numpy().reshape(-1, SET["frames"], 2)


def test_particles_are_followed_nearer_than_their_micrographs_motion(planted, outcome):
    _, out, job = outcome
    items = out.particles.items.sort("id")
    tracks = np.stack([np.array(items[name].to_list()) for name in ("track_x", "track_y")], axis=2)
    of_micrograph = planted[1].items.join(items.select(id="micrograph_id").unique(), on="id")
    shifts = {row["id"]: -SIZE * np.stack([row["shift_x"], row["shift_y"]], axis=1) for row in of_micrograph.iter_rows(named=True)}
    found = tracks - np.stack([shifts[one] for one in items["micrograph_id"]])
    true = own_motion(planted[0].root)

    def wrong(motion):
        apart = (motion - true) - (motion - true).mean(axis=1, keepdims=True)
        return np.median(np.sqrt((apart**2).sum(axis=2).mean(axis=1)))

    assert wrong(found) < 0.6 * wrong(np.zeros_like(true))
    assert job.warnings == []


def test_new_images_show_more_of_the_particles(planted, outcome):
    still = polished(planted, PlainJob(planted[0].root / "still", planted[0].root), velocity=1e-6, weights="dose")[1]
    density = read_mrc(planted[0].root / "sim/truth/volume.mrc").data
    assert density.size  # the projections below are of the atoms that it was made of
    likeness = [alike(planted[0].root, each.particles) for each in (still, outcome[1])]
    assert likeness[1] > 1.1 * likeness[0]


def alike(root, particles):
    """Return the mean correlation of images with projections at fine detail, signs of the CTF put on both alike by its square."""
    from cryoloom.app.simulation.sample import phantoms_of
    from cryoloom.numerics.simulate.optics import Defocus, Microscope

    phantom, microscope = phantoms_of(preset_named("tiny", SET))[0], Microscope(300.0, 2.0, 0.1)
    ky, kx = np.fft.fftfreq(BOX, SIZE)[:, None], np.fft.rfftfreq(BOX, SIZE)[None]
    fine = (np.hypot(kx, ky) > 1 / 20) & (np.hypot(kx, ky) < 1 / 7)
    found = []
    for row, image in zip(particles.items.iter_rows(named=True), read_particles(particles, slice(None)), strict=True):
        pose = euler_to_matrix(row["rot"], row["tilt"], row["psi"])
        clean = np.fft.rfft2(project(phantom, pose, BOX, SIZE, (-row["origin_x"], -row["origin_y"])))
        clean = clean * microscope.transfer(Defocus(row["defocus_u"], row["defocus_v"], row["defocus_angle"]), kx, ky) * fine
        seen = np.fft.rfft2(image) * fine
        found.append(float((seen * clean.conj()).real.sum() / np.sqrt((np.abs(seen) ** 2).sum() * (np.abs(clean) ** 2).sum())))
    return np.mean(found)


POLISH = """
import pickle, sys
from pathlib import Path
from cryoloom.engine.events import Journal
from cryoloom.engine.job import RunJob
from cryoloom.protocols.particles.polish import Polish

if __name__ == "__main__":
    settings, root, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
    Polish(**settings).run(RunJob(folder, root, seed=1, threads=1, journal=Journal(folder / "events.1.jsonl")))
"""


def test_killed_in_the_middle_and_taken_up_by_two_it_ends_as_one_that_was_not(planted, outcome, tmp_path):
    root, folder = planted[0].root, planted[0].root / "killed"
    folder.mkdir()
    particles, micrographs, volume = planted
    settings = {"particles": particles, "micrographs": micrographs, "volume": volume, "mask_diameter": 90.0}
    settings |= {"velocity": 0.25, "distance": 800.0, "acceleration": 0.3}
    (tmp_path / "set").write_bytes(pickle.dumps((settings, root, folder)))
    (tmp_path / "polish.py").write_text(POLISH)
    killed = subprocess.Popen([sys.executable, str(tmp_path / "polish.py"), str(tmp_path / "set")], start_new_session=True)
    while not list((folder / "parts").glob("motion/000/[0-9]*.parquet")):
        assert killed.poll() is None
        time.sleep(0.002)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(folder.rglob("*_shiny.mrcs"))
    kept = {path: path.stat().st_mtime_ns for path in (folder / "parts").rglob("000/[0-9]*.parquet")}
    assert kept
    ours = Polish(**settings).run(RunJob(folder, root, seed=1, threads=2, journal=Journal(folder / "events.2.jsonl"))).particles
    assert kept == {path: path.stat().st_mtime_ns for path in kept}, "what was done was done again"
    theirs = outcome[1].particles
    assert ours.items.drop("stack_path").equals(theirs.items.drop("stack_path")) and ours.meta == theirs.meta
    assert np.array_equal(read_particles(ours, slice(None)), read_particles(theirs, slice(None)))


def test_ids_and_poses_stay_and_images_are_new(planted, outcome):
    before, after = planted[0].items, outcome[1].particles.items
    same = ["id", "rot", "tilt", "psi", "origin_x", "origin_y", "half_set", "x", "y"]
    assert after.select(same).equals(before.select(same))
    assert after["stack_path"].str.ends_with("_shiny.mrcs").all()
    images = read_particles(outcome[1].particles, slice(None))
    assert images.shape == (len(before), BOX, BOX)
    assert images[:, :4, :4].std() == pytest.approx(1.0, abs=0.3)


def test_a_parameter_that_is_not_given_is_told_by_the_set(planted):
    protocol, out = polished(planted, PlainJob(planted[0].root / "told", planted[0].root), velocity=None)
    found = out.particles.meta["polishing"]
    assert 0.06 < found["prior"]["velocity"] < 2.0 and found["prior_gain"] >= 0.0
    assert (found["prior"]["distance"], found["prior"]["acceleration"]) == (800.0, 0.3)
    assert "told by" in protocol.methods(out)


def test_a_bad_movie_costs_its_own_particles(planted, tmp_path):
    particles, micrographs, volume = planted
    broken = micrographs.items.with_columns(movie_path=pl.when(pl.col("id") == 2).then(pl.lit("gone.mrc")).otherwise("movie_path"))
    job = PlainJob(particles.root / "broken", particles.root)
    made = polished((particles, Micrographs(broken, particles.root, optics=micrographs.optics), volume), job)[1].particles.items
    lost = made.filter(~pl.col("enabled"))
    assert set(lost["micrograph_id"]) == {2} and lost["fail_reason"].str.contains("could not be polished").all()
    assert made.filter("enabled").height == made.filter(pl.col("micrograph_id") != 2).height
    assert any("1 of 3 movies" in warning for warning in job.warnings)


def test_report_summary_and_methods(outcome):
    protocol, out, _ = outcome
    assert all(panel.html() for panel in protocol.report(out))
    assert protocol.summary(out)["movies"] == 3
    assert "σ_D = 800 Å and" in protocol.methods(out) and "told by" not in protocol.methods(out)
    assert "3 movies" in protocol.methods(out)
    assert isinstance(out, Polished)


@pytest.mark.parametrize(
    ("which", "change", "parameter"),
    [
        ("particles", ["half_set"], "particles"),
        ("particles", ["x"], "particles"),
        ("micrographs", ["shift_x"], "micrographs"),
        ("volume", ["half_map2_path"], "volume"),
    ],
)
def test_what_cannot_be_polished_is_said_before(planted, which, change, parameter):
    sets = dict(zip(("particles", "micrographs", "volume"), planted, strict=True))
    old = sets[which]
    sets[which] = type(old)(old.items.drop(change), old.root, optics=old.optics, meta=old.meta)
    assert [hint.parameter for hint in Polish(**sets, mask_diameter=90.0).check() if hint.error] == [parameter]
