"""Whether a project's report names what is wrong with it: ``python -m benchmarks.planted_failures FOLDER [NAME…]``.

Each failure is planted into a set of simulated particles, which is then refined as a user would; ``good N`` are projects with nothing wrong, of other
particles, symmetries and contrasts. Printed: what the report says first, and whether the failure is named or a good project accused.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import cryoloom
from cryoloom.app.facts import gather
from cryoloom.app.findings import findings
from cryoloom.app.map_checks import first_map_notices, map_notices
from cryoloom.app.session import Project, Run
from cryoloom.app.simulation import simulate
from cryoloom.formats.atomic_model import traced_model
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.formats.star import read_star, write_star
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.spec import CryoloomError

SET: dict[str, Any] = {"box": 48, "pixel_size": 5.0, "particles": 800, "b_factor": 900.0}
DIAMETER = 190.0
Images = NDArray[np.float32]


def made(folder: Path, name: str, seed: int = 11, **changes: Any) -> Path:
    """Return a simulated set."""
    place = folder / "sets" / name
    if not (place / "particles.star").exists():
        simulate(place, "s1", seed, overrides={**SET, **changes}, threads=1)
    return place


def altered(
    folder: Path,
    name: str,
    *,
    images: Callable[[Images], Images] | None = None,
    tables: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Path:
    """Return the plain set with other images or tables."""
    source, place = made(folder, "plain"), folder / "sets" / name
    place.mkdir(parents=True, exist_ok=True)
    data = read_mrc(source / "particles.mrcs").data.astype(np.float32)
    write_stack(place / "particles.mrcs", data if images is None else images(data), SET["pixel_size"])
    star = dict(read_star(source / "particles.star"))
    write_star(place / "particles.star", star if tables is None else tables(star))
    return place


def optics(**values: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what changes columns of the optics table."""
    return lambda star: star | {"optics": star["optics"].with_columns(**{name: pl.lit(value) for name, value in values.items()})}


def flipped(star_of: Path) -> Callable[[Images], Images]:
    """Return what multiplies images by the sign of their CTF, computed here by itself."""
    rows = read_star(star_of / "particles.star")["particles"]
    u, v, angle = (rows[name].to_numpy() for name in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"))

    def flip(images: Images) -> Images:
        frequency = np.fft.fftfreq(SET["box"], SET["pixel_size"])
        x, y = np.meshgrid(frequency, frequency)
        square, azimuth = x * x + y * y, np.arctan2(y, x)
        wavelength = 12.2643 / np.sqrt(3e5 + 0.97845e-6 * 3e5**2)
        out = np.empty_like(images)
        for number, image in enumerate(images):
            defocus = 0.5 * (u[number] + v[number]) + 0.5 * (u[number] - v[number]) * np.cos(2 * (azimuth - np.deg2rad(angle[number])))
            phase = np.pi * wavelength * square * (defocus - 0.5 * 2.7e7 * wavelength**2 * square)
            out[number] = np.fft.ifft2(np.fft.fft2(image) * np.where(np.sin(phase + np.arcsin(0.1)) < 0, -1, 1)).real
        return out

    return flip


def refined(
    folder: Path, name: str, place: Path, *, reference: Path | None = None, mask: Mapping[str, Any] | None = None, **values: Any
) -> Project:
    """Import, refine, mask and sharpen."""
    project = _project(folder, name)
    particles = project.run("import.particles", path=str(place / "particles.star"), threads=1).outputs.particles
    start = project.run("import.volume", path=str(reference or made(folder, "plain") / "truth/volume.mrc"), threads=1).outputs.volume
    _refine(project, particles, start, mask, **values)
    return project


def _refine(project: Project, particles: Any, start: Any, mask: Mapping[str, Any] | None = None, **values: Any) -> Run:
    chosen: dict[str, Any] = {"mask_diameter": DIAMETER, "initial_lowpass": 40.0} | values
    run = project.run("refine.auto", particles=particles, reference=start, threads=1, **chosen)
    laid = project.run("postprocess.mask", volume=run.outputs.volume, threads=1, **(mask or {})).outputs.mask
    project.run("postprocess.sharpen", volume=run.outputs.volume, mask=laid, threads=1)
    return run


def _project(folder: Path, name: str) -> Project:
    place = folder / "projects" / name.replace(" ", "-")
    return cryoloom.open_project(place) if (place / "project.json").exists() else cryoloom.create_project(place)


def _doubled(star: dict[str, Any]) -> dict[str, Any]:
    """Return a quarter of the particles twice, the second time in the other half."""
    rows = star["particles"].with_columns(rlnRandomSubset=(pl.int_range(pl.len()) % 2 + 1).cast(pl.Int64))
    again = rows.head(rows.height // 4).with_columns(
        rlnRandomSubset=3 - pl.col("rlnRandomSubset"), cryoloomParticleId=pl.col("cryoloomParticleId") + 1_000_000
    )
    return star | {"particles": pl.concat([rows, again])}


def _turned_map(folder: Path, name: str, change: Callable[[Images], Images]) -> Path:
    path = folder / "sets" / f"{name}.mrc"
    volume = read_mrc(made(folder, "plain") / "truth/volume.mrc").data.astype(np.float32)
    write_mrc(path, np.ascontiguousarray(change(volume), np.float32), SET["pixel_size"], volume=True)
    return path


def _symmetric(name: str) -> Callable[[Images], Images]:
    from cryoloom.numerics.geometry.symmetry import point_group
    from cryoloom.numerics.reconstruct.symmetry import symmetric_map

    return lambda volume: symmetric_map(volume, point_group(name))


def _bad_first_map(folder: Path) -> Project:
    """Classify, select, and refine from another particle's map."""
    project, place = _project(folder, "bad first map"), made(folder, "plain")
    other = made(folder, "other", 5, phantom_seed=9, phantom_diameter=150.0, particles=100)
    particles = project.run("import.particles", path=str(place / "particles.star"), threads=1).outputs.particles
    classified = project.run("classify2d.em", particles=particles, classes=12, mask_diameter=DIAMETER, threads=1).outputs
    chosen = project.run("sets.select", items=classified.particles, classes=classified.classes, mode="auto").outputs.particles
    start = project.run("import.volume", path=str(other / "truth/volume.mrc"), threads=1).outputs.volume
    _refine(project, chosen, start)
    return project


def _wrong_hand(folder: Path) -> Project:
    """Refine from the mirror image, and fit the model of the phantom."""
    plain = made(folder, "plain")
    project = refined(folder, "hand", plain, reference=_turned_map(folder, "hand", mirrored_map))
    atoms = np.load(plain / "truth/atoms.npy")
    path = folder / "sets" / "model.cif"
    traced_model(atoms[:, :3], atoms[:, 5].astype(np.int64), atoms[:, 4]).write(path)
    model = project.run("import.model", path=str(path), threads=1).outputs.model
    refinement = next(run for run in project.runs() if run.protocol == "refine.auto")
    project.run("model.fit", model=model, volume=refinement.outputs.volume, threads=1)
    return project


def _same_half_twice(folder: Path) -> Project:
    project = _project(folder, "same half twice")
    path = str(made(folder, "plain") / "truth/volume.mrc")
    project.run("import.volume", path=path, half_map1=path, half_map2=path, threads=1)
    return project


FAILURES: dict[str, tuple[Callable[[Path], Project], str]] = {
    "pixel size 10 % too large": (lambda f: refined(f, "pixel", altered(f, "pixel", tables=optics(rlnImagePixelSize=5.5))), "pixel size"),
    "pixel size 7 % too small": (lambda f: refined(f, "pixel2", altered(f, "pixel2", tables=optics(rlnImagePixelSize=4.65))), "pixel size"),
    "200 kV for 300": (lambda f: refined(f, "voltage", altered(f, "voltage", tables=optics(rlnVoltage=200.0))), "voltage"),
    "phases flipped, not said": (lambda f: refined(f, "flip", altered(f, "flip", images=flipped(made(f, "plain")))), "phases"),
    "phases said flipped, not so": (
        lambda f: refined(f, "unflip", altered(f, "unflip", tables=optics(rlnCtfDataArePhaseFlipped=1))), "phases"),
    "60 % noise": (lambda f: refined(f, "junk", made(f, "junk", noise_fraction=0.6)), "junk"),
    "all noise, fine reference": (
        lambda f: refined(f, "noise", altered(f, "noise", images=lambda i: np.random.default_rng(1).normal(size=i.shape).astype(np.float32)),
                          initial_lowpass=15.0), "images show the map"),
    "contrast inverted": (lambda f: refined(f, "dark", altered(f, "dark", images=lambda i: -i)), "contrast"),
    "C4 imposed on C1": (lambda f: refined(f, "c4", made(f, "plain"), reference=_turned_map(f, "c4", _symmetric("C4")), symmetry="C4"), "C4"),
    "D2 imposed on C1": (lambda f: refined(f, "d2", made(f, "plain"), reference=_turned_map(f, "d2", _symmetric("D2")), symmetry="D2"), "D2"),
    "C4 imposed on C2": (
        lambda f: refined(f, "c2c4", made(f, "c2", symmetry="C2"), reference=_turned_map(f, "c2c4", _symmetric("C4")), symmetry="C4"), "C4"),
    "a quarter in both halves": (lambda f: refined(f, "double", altered(f, "double", tables=_doubled)), "halves"),
    "tight mask": (
        lambda f: refined(f, "tight", made(f, "plain"), mask={"edge": 1.0, "extend": -1.0, "lowpass": 10.0}), "mask"),
    "preferred views": (lambda f: refined(f, "views", made(f, "views", preferred=0.97)), "views"),
    "bad first map": (_bad_first_map, "first map"),
    "wrong hand against a model": (_wrong_hand, "hand"),
    "same half twice": (_same_half_twice, "same"),
    "circle of half the particle": (lambda f: refined(f, "small", made(f, "plain"), mask_diameter=95.0), "diameter"),
    "150 particles": (lambda f: refined(f, "few", made(f, "few", particles=150)), "few"),
    "pixels too coarse": (lambda f: refined(f, "coarse", made(f, "coarse", b_factor=60.0, snr=0.3)), "Nyquist"),
    "defoci of other micrographs": (
        lambda f: refined(f, "defoci", altered(f, "defoci", tables=_other_defoci)), "CTF"),
}  # fmt: skip
"""What is planted, how, and the word by which the report names it."""

GOOD = (
    {}, {"snr": 0.05}, {"snr": 0.2}, {"symmetry": "C4"}, {"symmetry": "D2"}, {"symmetry": "C2"}, {"symmetry": "O"}, {"phantom_seed": 3}, {"phantom_seed": 4},
    {"phantom_seed": 5, "phantom_diameter": 150.0}, {"phantom_seed": 7, "phantom_diameter": 180.0, "phantom_shape": "rod"},
    {"phantom_seed": 11, "phantom_diameter": 180.0, "phantom_shape": "ring"}, {"particles": 2000}, {"height_sigma": 300.0}, {"noise_fraction": 0.05},
    {"symmetry": "C3"}, {"symmetry": "D3"}, {"symmetry": "C7", "snr": 0.05}, {"box": 64, "pixel_size": 4.0}, {"box": 64, "pixel_size": 4.0, "snr": 0.05},
)  # fmt: skip
"""Changes of sets with nothing wrong."""


def _other_defoci(star: dict[str, Any]) -> dict[str, Any]:
    names = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]
    turned = star["particles"].select(pl.col(names).shift(star["particles"].height // 3, fill_value=None))
    rolled = pl.concat([star["particles"].select(names).tail(star["particles"].height // 3), turned.drop_nulls()])
    return star | {"particles": star["particles"].with_columns(rolled.get_columns())}


def told(project: Project) -> list[str]:
    """Return what the report says, but for reassurance."""
    runs = [run for run in project.runs() if run.state == "finished"]
    notices = findings(gather(project.runs()), [*first_map_notices(runs), *map_notices(runs)])
    return [f"{notice.level}: {notice.text}" for notice in notices if notice.level != "good"]


def main(arguments: list[str]) -> None:
    """Print a table."""
    folder, wanted = Path(arguments[0]), arguments[1:]
    for name, (plant, word) in FAILURES.items():
        if not wanted or any(each in name for each in wanted):
            try:
                said = told(plant(folder))
            except CryoloomError as refused:
                said = [f"refused: {refused}"]
            _row("named" if any(word.lower() in each.lower() for each in said) else "NOT NAMED", name, said)
    for number, changes in enumerate(GOOD, start=1):
        if not wanted or f"good {number}" in wanted or "good" in wanted:
            place = made(folder, f"good{number}", 30 + number, **changes)
            group = str(changes.get("symmetry", "C1"))
            project = refined(folder, f"good{number}", place, reference=place / "truth/volume.mrc", symmetry=group)
            said = [each for each in told(project) if "Nyquist" not in each]
            _row("ACCUSED" if said else "calm", f"good {number} {changes}", said)


def _row(verdict: str, name: str, said: list[str]) -> None:
    sys.stdout.write(f"| {verdict} | {name} | {' / '.join(each[:110] for each in said)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
