"""particles.polish on simulated movies whose particles move by themselves: ``python -m benchmarks.polish DATA [--mask-diameter Å] [--box PX] [--peer]``.

DATA is a folder of ``cryoloom simulate --preset demo --set drift_own=2.0 …``. Motion is corrected by ``motion.correlation``, particles are cut at their
true places with their true CTFs and poses, a little off, and reconstructed in halves; ``particles.polish`` follows, and the same reconstruction of what
it made. What is measured is so the work of the polishing alone. Motion errors are of the path about its mean, RMS over frames.
With ``--peer``, ``relion_motion_refine`` does the same from an export, with its usual prior and with one that it trains itself.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import cryoloom
from benchmarks.refine_ctf import relion
from cryoloom.data import Particles, Volume
from cryoloom.formats.alignment import alignable, poses_of
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.relion import export_relion
from cryoloom.formats.star import read_star
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.resample import matched
from cryoloom.numerics.reconstruct.sums import divided
from cryoloom.protocols.particles.polish import Polish
from cryoloom.spec import Item, MapResult

Map = NDArray[np.float32]
USUAL = {"velocity": 0.2, "distance": 5000.0, "acceleration": 2.0}
"""A prior as it is usual: RELION's form has these."""
STILL: dict[str, Any] = USUAL | {"velocity": 1e-6}
"""A prior under which nothing moves: what the weights of frames do alone."""


@dataclass
class PlainJob:
    """A job that maps in this process."""

    folder: Path
    root: Path
    seed: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def map(self, function: Any, items: Any, *, name: str) -> MapResult:
        rows: list[dict[str, Any]] = []
        for row in items.enabled().iter_rows(named=True):
            found = function(Item(row, self.root, self.folder, row["id"]))
            found = [{"id": row["id"], **found}] if isinstance(found, dict) else found
            rows += [
                {key: str(value.relative_to(self.root)) if isinstance(value, Path) else value for key, value in one.items()}
                for one in found
            ]
        return MapResult(pl.DataFrame(rows, infer_schema_length=None))

    def output(self, name: str) -> Path:
        return self.folder / name

    def progress(self, done: float, total: float, message: str = "") -> None:
        pass

    def warn(self, message: str) -> None:
        sys.stderr.write(message + "\n")


def placed(particles: Particles, truth: pl.DataFrame, seed: int = 1) -> tuple[Particles, NDArray[np.int64]]:
    """Return particles with the poses, CTFs and half sets of the truth, poses 0.6° and 0.4 Å off, and the ids that the truth has for them."""
    rows, rng = particles.enabled(), np.random.default_rng(seed)
    names = truth["rlnMicrographName"].str.extract(r"([^/]+)\.[^./]+$")
    index = np.empty(rows.height, np.int64)
    for name in rows["micrograph_name"].unique():
        mine, theirs = (rows["micrograph_name"] == name).to_numpy(), np.flatnonzero((names == name).to_numpy())
        places = truth[theirs].select("rlnCoordinateX", "rlnCoordinateY").to_numpy()
        centre = (
            rows.select("x", "y").to_numpy()[mine] - rows.select("origin_x", "origin_y").to_numpy()[mine] / rows["micrograph_pixel_size"][0]
        )
        index[mine] = theirs[cKDTree(places).query(centre)[1]]
    known = truth[index]
    columns = {
        "id": rows["id"],
        **{ours: known[f"rlnAngle{ours.title()}"].to_numpy() + rng.normal(0, 0.35, rows.height) for ours in ("rot", "tilt", "psi")},
        **{f"origin_{axis}": rows[f"origin_{axis}"].to_numpy() + rng.normal(0, 0.3, rows.height) for axis in "xy"},
        **{f"defocus_{ours}": known[f"rlnDefocus{ours.title()}"] for ours in ("u", "v", "angle")},
        "phase_shift": np.zeros(rows.height), "half_set": 1 + np.arange(rows.height) % 2,
    }  # fmt: skip
    return particles.with_columns(pl.DataFrame(columns)), known["cryoloomParticleId"].to_numpy()


def reconstructed(particles: Particles, mask_diameter: float) -> list[Map]:
    """Return the maps of both halves and of all particles at their poses."""
    loaded = alignable(particles, mask_diameter)
    images, every = loaded.images, np.arange(len(loaded.images))
    rotations, shifts = poses_of(loaded)
    points = Points(every, rotations.astype(np.float32), shifts, np.ones(len(every)), np.zeros((len(every), 3)))
    half = loaded.rows["half_set"].to_numpy() - 1
    sums = [one.copy() for one in accumulate(images, every, points, images.plane, images.total_power(), half)]
    return [divided(one, images.plane.last, loaded.box, loaded.box) for one in (*sums, sums[0] + sums[1])]


def stored(maps: list[Map], root: Path, size: float) -> Volume:
    """Write maps as the volume of a refinement."""
    names = {"half_map1_path": "half1.mrc", "half_map2_path": "half2.mrc", "volume_path": "all.mrc"}
    for name, data in zip(names.values(), maps, strict=True):
        write_mrc(root / name, data, size, volume=True)
    return Volume(
        pl.DataFrame({"id": [1], "box_size": [len(maps[0])], **{column: [name] for column, name in names.items()}}),
        root,
        meta={"pixel_size": size},
    )


def resolutions(maps: list[Map], truth: Map, size: float, mask_diameter: float) -> tuple[float, float]:
    """Return what the halves agree on, and what the map and the truth agree on, Å, under a sphere."""
    mask = spherical_mask(len(truth), mask_diameter / 2 / size, 5.0)
    first, second, whole = (one * mask for one in maps)
    curves = fourier_shell_correlation(first, second), fourier_shell_correlation(whole, truth * mask)
    return resolution_at(curves[0], 0.143, len(truth), size), resolution_at(curves[1], 0.5, len(truth), size)


def true_tracks(data: Path, ids: NDArray[np.int64], size: float) -> NDArray[np.float64]:
    """Return where particles have moved to in every frame, Å, ``(n, F, 2)``: the motions of the whole, of the place and of their own."""
    own = read_star(data / "truth/own_motion.star")["own_motion"].sort("cryoloomParticleId", "rlnMicrographFrameNumber")
    frames = own["rlnMicrographFrameNumber"].n_unique()
    moved = own.select("cryoloomMovedX", "cryoloomMovedY").to_numpy().reshape(-1, frames, 2)
    paths = dict(zip(own["cryoloomParticleId"].unique(maintain_order=True).to_list(), moved, strict=True))
    truth = read_star(data / "truth/particles.star")["particles"]
    places = dict(
        zip(
            truth["cryoloomParticleId"].to_list(), truth.select("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY").rows(), strict=True
        )
    )
    motions: dict[str, Any] = {}
    tracks = []
    for one in ids.tolist():
        name, x, y = places[one]
        if name not in motions:
            motions[name] = read_star(data / f"truth/motion/{Path(name).stem}.star")
        motion = motions[name]
        across, down = x / motion["general"]["rlnImageSizeX"][0] - 0.5, y / motion["general"]["rlnImageSizeY"][0] - 0.5
        terms = np.array([1.0, across, across**2, down, down**2, across * down])
        time = np.arange(frames)[:, None] ** np.array([1.0, 2.0, 3.0])
        local = np.einsum("ats,t,fs->fa", motion["local_motion_model"]["rlnMotionModelCoeff"].to_numpy().reshape(2, 6, 3), terms, time)
        whole = motion["global_shift"].select("rlnMicrographShiftX", "rlnMicrographShiftY").to_numpy()
        tracks.append((paths[one] - whole - local) * size)
    return np.stack(tracks)


def tracks_of(particles: Particles) -> NDArray[np.float64]:
    """Return the ways ``(n, F, 2)`` Å that were found."""
    return np.stack([np.array(particles.enabled()[name].to_list()) for name in ("track_x", "track_y")], axis=2)


def track_error(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Return the median over particles of the distance of two ways, means taken off, RMS over frames, Å."""
    apart = (found - found.mean(axis=1, keepdims=True)) - (true - true.mean(axis=1, keepdims=True))
    return float(np.median(np.sqrt((apart**2).sum(axis=2).mean(axis=1))))


@dataclass(frozen=True)
class Prepared:
    """A set whose motion is corrected, whose particles are cut at their true places, and whose map is made.

    Attributes
    ----------
    given
        Inputs of `Polish`.
    ids
        Of the particles in the truth.
    maps
        Of both halves and of all, as extracted.
    movies
        The movies' set, for exports.
    """

    given: dict[str, Any]
    ids: NDArray[np.int64]
    maps: list[Map]
    root: Path
    movies: Any


def prepared(root: Path, data: Path, mask_diameter: float, box: int) -> Prepared:
    """Make a project below `root` of the movies in `data`."""
    told = json.loads((data / "acquisition.json").read_text())
    truth = read_star(data / "truth/particles.star")["particles"]
    project = cryoloom.create_project(root)
    names = ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame")
    acquisition: dict[str, Any] = {name: told[name] for name in names} | ({"gain": str(data / told["gain"])} if told["gain"] else {})
    movies = project.run("import.movies", pattern=str(data / told["pattern"]), **acquisition).outputs.movies
    micrographs = project.run("motion.correlation", movies=movies, threads=1).outputs.micrographs
    coordinates = project.run("import.coordinates", micrographs=micrographs, path=str(data / "truth/particles.star")).outputs.coordinates
    cut = project.run("particles.extract", coordinates=coordinates, micrographs=micrographs, box_size=box, threads=1).outputs.particles
    boxed: Any = cut.dataset
    particles, ids = placed(boxed, truth)
    maps, place = reconstructed(particles, mask_diameter), cut.dataset.root
    given = {
        "particles": particles, "micrographs": micrographs.dataset, "volume": stored(maps, place, told["pixel_size"]), "mask_diameter": mask_diameter,
    }  # fmt: skip
    return Prepared(given, ids, maps, place, movies.dataset)


def peer(ready: Prepared, data: Path, mask_diameter: float, size: float, dose: float) -> dict[str, Any]:
    """Return how far ``relion_motion_refine`` follows the same particles from an export, and the processor seconds it takes, frames combined."""
    folder, given = ready.root / "relion", ready.given
    related = {"movies": ready.movies, "micrographs": given["micrographs"]}
    for dataset, name in (
        (ready.movies, "movies"),
        (given["micrographs"], "micrographs"),
        (given["particles"], ""),
        (given["volume"], "volume"),
    ):
        export_relion(dataset, name, folder, related=related)
    halves = [f"volume_half{number}_unfil.mrc" for number in (1, 2)]
    write_mrc(folder / "mask.mrc", spherical_mask(len(ready.maps[0]), mask_diameter / 2 / size, 5.0), size, volume=True)
    for name in ("post", "train", "usual", "trained"):
        (folder / name).mkdir()
    relion("relion_postprocess", "--i", halves[0], "--i2", halves[1], "--mask", "mask.mrc", "--o", "post/post", folder=folder)
    shared = ("--i", "particles.star", "--f", "post/post.star", "--m1", halves[0], "--m2", halves[1], "--mask", "mask.mrc")
    command = ("relion_motion_refine", *shared, "--corr_mic", "corrected_micrographs.star", "--fdose", dose, "--j", 1)
    usual = [word for name, value in zip(("--s_vel", "--s_div", "--s_acc"), USUAL.values(), strict=True) for word in (name, value)]
    found: dict[str, Any] = {}
    seconds = relion(*command, *usual, "--o", "usual/", "--combine_frames", folder=folder)
    found |= {"relion_error_A": round(_relion_error(folder, "usual", ready, data, size), 2), "relion_cpu_s": round(seconds, 1)}
    seconds = relion(*command, "--o", "train/", "--params3", "--par_iters", 30, "--min_p", 1, folder=folder)
    told = folder / "train/opt_params_all_groups.txt"
    seconds += relion(*command, "--o", "trained/", "--params_file", told, "--combine_frames", folder=folder)
    found |= {"relion_prior": " ".join(told.read_text().split()), "relion_trained_cpu_s": round(seconds, 1)}
    return found | {"relion_trained_error_A": round(_relion_error(folder, "trained", ready, data, size), 2)}


def _relion_error(folder: Path, job: str, ready: Prepared, data: Path, size: float) -> float:
    true = dict(zip(ready.given["particles"].enabled()["id"].to_list(), true_tracks(data, ready.ids, size), strict=True))
    found, meant = [], []
    for (name,), rows in read_star(folder / "particles.star")["particles"].group_by("rlnMicrographName", maintain_order=True):
        tracks = read_star(folder / job / str(name).replace(".mrc", "_tracks.star"))
        for number, one in enumerate(rows["cryoloomParticleId"].to_list()):
            found.append(tracks[str(number)].select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy())
            meant.append(true[one])
    return track_error(np.stack(found), np.stack(meant))


def figures(data: Path, mask_diameter: float, box: int, settings: dict[str, Any], with_peer: bool) -> dict[str, Any]:
    """Polish one set; return the figures."""
    acquisition = json.loads((data / "acquisition.json").read_text())
    size = float(acquisition["pixel_size"])
    with tempfile.TemporaryDirectory() as folder:
        ready = prepared(Path(folder) / "project", data, mask_diameter, box)
        density = matched(read_mrc(data / "truth/volume.mrc").data.astype(np.float32), size, box, size)
        job: Any = PlainJob(ready.root / "polish", ready.root)
        theirs = peer(ready, data, mask_diameter, size, acquisition["dose_per_frame"]) if with_peer else {}
        still = Polish(**ready.given, **settings | STILL).run(replace(job, folder=ready.root / "still"))
        start = time.process_time()
        out = Polish(**ready.given, **settings).run(job)
        seconds = time.process_time() - start
        true = true_tracks(data, ready.ids, size)
        errors = [track_error(tracks_of(each.particles), true) for each in (still, out)]
        maps = ready.maps, reconstructed(still.particles, mask_diameter), reconstructed(out.particles, mask_diameter)
        started, weighted, found = (resolutions(each, density, size, mask_diameter) for each in maps)
    polishing = out.particles.meta["polishing"]
    return {
        "particles": out.particles.enabled().height,
        "halves_A": f"{started[0]:.2f} {weighted[0]:.2f} {found[0]:.2f}",
        "truth_A": f"{started[1]:.2f} {weighted[1]:.2f} {found[1]:.2f}",
        "track_error_A": f"{errors[0]:.2f} {errors[1]:.2f}",
        "b_factors": " ".join(f"{one:.0f}" for one in polishing["b_factor"]),
        "scales": " ".join(f"{one:.2f}" for one in polishing["scale"]),
        "prior": "{velocity:.2g} {distance:.0f} {acceleration:.2g}".format(**polishing["prior"]),
        "cpu_s": round(seconds, 1),
        **theirs,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--mask-diameter", type=float, default=165.0)
    parser.add_argument("--box", type=int, default=112)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--velocity", type=float)
    parser.add_argument("--distance", type=float)
    parser.add_argument("--acceleration", type=float)
    given = parser.parse_args()
    chosen = {name: getattr(given, name) for name in ("velocity", "distance", "acceleration") if getattr(given, name) is not None}
    for label, value in figures(given.data, given.mask_diameter, given.box, chosen, given.peer).items():
        sys.stdout.write(f"{label}\t{value}\n")
