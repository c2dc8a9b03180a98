"""Movies to validated map: the whole chain from one set of arguments, every default chosen from the data and recorded in the runs."""

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryoloom.app import catalogue, choices, forms
from cryoloom.app.runs import Observer, Run
from cryoloom.app.session import Project, create_project, open_project
from cryoloom.app.suggest import did_you_mean
from cryoloom.engine.state import ACTIVE
from cryoloom.files import read_json, write_json
from cryoloom.spec import Failure, WrongUse

PLAN_FILE = "process.json"

STEPS = (
    "import.movies",
    "motion.correlation",
    "ctf.estimate",
    "pick.blob",
    "particles.extract",
    "classify2d.em",
    "sets.select",
    "initial.sgd",
    "refine.auto",
    "postprocess.mask",
    "postprocess.sharpen",
    "validate.particles",
    "validate.map",
)


IMPORTED = (
    *("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame", "dark", "defects"),
    *("gain", "gain_orientation", "gain_rotation", "gain_flip", "gain_reciprocal"),
)
"""Arguments that `import.movies` has by the same name."""

FIRST_USE = {"diameter": "pick.blob", "symmetry": "initial.sgd"}
"""The first step that depends on an argument; the first of all where it is not named here."""


@dataclass(frozen=True)
class Plan:
    """The arguments of `cryoloom process`, as kept in the project.

    Attributes
    ----------
    movies
        Files or patterns, absolute.
    pixel_size, voltage, cs, amplitude_contrast
        Å/px, kV, mm, fraction.
    diameter
        Of the particle, Å.
    gain, dark, defects
        Absolute paths, or empty.
    gain_orientation, gain_rotation, gain_flip, gain_reciprocal
        How the gain reference lies on the movies, as `import.movies` takes it.
    dose_per_frame
        e/Å², or None: then nothing is dose-weighted.
    until
        Protocol id of the last step.
    watch
        Movies are still coming.
    """

    movies: tuple[str, ...]
    pixel_size: float
    voltage: float
    cs: float
    amplitude_contrast: float
    diameter: float
    gain: str = ""
    gain_orientation: str = "given"
    gain_rotation: int = 0
    gain_flip: str = "none"
    gain_reciprocal: bool = False
    dark: str = ""
    defects: str = ""
    dose_per_frame: float | None = None
    symmetry: str = "C1"
    until: str = STEPS[-1]
    seed: int = 0
    watch: bool = False

    @property
    def importing(self) -> dict[str, Any]:
        """Return the parameters of the first step."""
        return {"pattern": list(self.movies), **{name: getattr(self, name) for name in IMPORTED}}

    def write(self, project: Project) -> None:
        """Keep the plan in the project."""
        write_json(project.root / PLAN_FILE, asdict(self))

    @classmethod
    def read(cls, project: Project) -> "Plan | None":
        """Return the plan of a project that `process` made, else None."""
        record = read_json(project.root / PLAN_FILE)
        return None if record is None else cls(**{**record, "movies": tuple(record["movies"])})


@dataclass(frozen=True)
class Step:
    """One finished step of the chain; `reused` when an identical run was there already."""

    run: Run
    reused: bool


def project_for(folder: Path, plan: Plan) -> Project:
    """Open the project at `folder` that was made for `plan`, or make it.

    Raises
    ------
    WrongUse
        A value that some step would refuse later; ``project-exists`` when a project is there that was made otherwise, naming what
        differs. As long as no step has finished that depends on what differs, the new arguments simply replace the old ones.
    """
    _refuse_values(plan)
    if not (folder / "project.json").exists():
        project = create_project(folder)
        plan.write(project)
        return project
    project = open_project(folder)
    known = Plan.read(project)
    if known is None:
        raise WrongUse(
            "project-exists", f"{folder} is a project that was not made by `cryoloom process`.", "Choose another folder with -o."
        )
    before, now = asdict(known), asdict(plan)
    differing = [name for name in now if name != "until" and before[name] != now[name]]
    done = max((STEPS.index(run.protocol) for run in project.runs() if run.state == "finished" and run.protocol in STEPS), default=-1)
    if any(STEPS.index(FIRST_USE.get(name, STEPS[0])) <= done for name in differing):
        changes = ", ".join(f"{name} was {before[name]}, now {now[name]}" for name in differing)
        raise WrongUse("project-exists", f"{folder} is a project made with other arguments: {changes}.", "Choose another folder with -o.")
    if known != plan:
        plan.write(project)
    return project


def _refuse_values(plan: Plan) -> None:
    """Refuse before anything is made what a step would refuse only after hours."""
    if plan.until not in STEPS:
        cure = did_you_mean(plan.until, STEPS)
        raise WrongUse("unknown-step", f"--until {plan.until}: not a step of the chain.", cure)
    forms.check_parameters(catalogue.protocol(STEPS[0]), plan.importing)
    forms.check_parameters(catalogue.protocol("pick.blob"), {"diameter": plan.diameter})
    first = {"mask_diameter": plan.diameter, "symmetry": plan.symmetry}
    forms.refuse_hints(forms.without_inputs(catalogue.protocol("initial.sgd"), first))


def process(
    project: Project,
    plan: Plan,
    *,
    threads: int | None = None,
    target: str = "",
    nodes: int = 0,
    resuming: bool = False,
    observe: Observer | None = None,
) -> Iterator[Step]:
    """Carry out `plan`, yielding each step as it finishes; if `resuming`, with the movies of the last session, ended or not.

    Raises
    ------
    CryoloomError
        From the step that failed; everything before it stays, and calling again goes on from there.
    """
    for step in _Chain(project, plan, threads, target, nodes, resuming, observe).steps():
        yield step
        if step.run.protocol == plan.until:
            return


@dataclass(frozen=True)
class _Chain:
    project: Project
    plan: Plan
    threads: int | None
    target: str
    nodes: int
    resuming: bool
    observe: Observer | None

    def run(self, protocol: str, label: str, **values: Any) -> Generator[Step, None, Any]:
        """Run one protocol, yield the step, return the run's outputs."""
        finished = {known.id for known in self.project.runs() if known.state == "finished"}
        run = self.begun(protocol, label, **values).wait(self.observe)
        yield Step(run, run.id in finished)
        return run.outputs

    def begun(self, protocol: str, label: str, **values: Any) -> Run:
        """Start one protocol, unless it has been done or is at work."""
        return self.project.run(
            protocol, name=label, threads=self.threads, target=self.target, nodes=self.nodes, seed=self.plan.seed, wait=False, **values
        )

    def session(self, **values: Any) -> Generator[Step, None, Any]:
        """Watch for movies, with all that takes them one by one at work beside it; the chain then waits for each of these in turn."""
        known = [run for run in self.project.runs() if run.protocol == STEPS[0]]
        last = known[-1] if known and self.resuming else None
        ended = last is not None and last.state == "finished"
        if last is None:
            last = self.begun(STEPS[0], "movies", watch=True, **values)
        elif not ended and last.state not in ACTIVE:
            last.resume(threads=self.threads, target=self.target, nodes=self.nodes, wait=False)
        if not ended:
            micrographs = f"{self.begun('motion.correlation', 'micrographs', movies=f'{last.id}.movies').id}.micrographs"
            ctfs = f"{self.begun('ctf.estimate', 'ctfs', micrographs=micrographs).id}.ctfs"
            self.begun("pick.blob", "picks", micrographs=micrographs, ctfs=ctfs, diameter=self.plan.diameter)
        yield Step(last.wait(self.observe), ended)
        return last.outputs

    def steps(self) -> Iterator[Step]:
        plan, run = self.plan, self.run
        imported = yield from self.session(**plan.importing) if plan.watch else run(STEPS[0], "movies", **plan.importing)
        _refuse_wide_particle(plan, imported.movies)
        micrographs = (yield from run("motion.correlation", "micrographs", movies=imported.movies)).micrographs
        ctfs = (yield from run("ctf.estimate", "ctfs", micrographs=micrographs)).ctfs
        picks = (yield from run("pick.blob", "picks", micrographs=micrographs, ctfs=ctfs, diameter=plan.diameter)).coordinates

        _demand_particles(picks, "picked")

        def extract(label: str, coordinates: Any, box: choices.Extraction) -> Generator[Step, None, Any]:
            inputs = {"coordinates": coordinates, "micrographs": micrographs, "ctfs": ctfs}
            return (yield from run("particles.extract", label, box_size=box.box_size, bin=box.bin, **inputs)).particles

        pixel_size = micrographs.optics[0]["pixel_size"]
        binned = choices.binned_extraction(plan.diameter, pixel_size)
        small = yield from extract("particles-binned", picks, binned)
        _demand_particles(small, "cut out")
        mask = choices.mask_diameter(plan.diameter, binned.box_size, small.optics[0]["pixel_size"])
        count = choices.class_count(len(small.enabled()))
        classified = yield from run("classify2d.em", "classes2d", particles=small, classes=count, mask_diameter=mask)
        chosen = (
            yield from run("sets.select", "good-particles", items=classified.particles, classes=classified.classes, mode="auto")
        ).particles
        first = (yield from run("initial.sgd", "first-volume", particles=chosen, mask_diameter=mask, symmetry=plan.symmetry)).volume

        full = choices.full_extraction(plan.diameter, pixel_size)
        large = yield from extract("particles", chosen, full)
        refined = yield from run(
            "refine.auto",
            "refinement",
            particles=large,
            reference=first,
            symmetry=plan.symmetry,
            mask_diameter=choices.mask_diameter(plan.diameter, full.box_size, pixel_size),
            initial_lowpass=choices.initial_lowpass(plan.diameter),
        )
        mask_set = (yield from run("postprocess.mask", "mask", volume=refined.volume)).mask
        yield from run("postprocess.sharpen", "map", volume=refined.volume, mask=mask_set)
        asked = (yield from run("validate.particles", "images-asked", particles=refined.particles, volume=refined.volume)).checks
        yield from run("validate.map", "map-checked", volume=refined.volume, mask=mask_set, particles=refined.particles, images=asked)


def _demand_particles(found: Any, how: str) -> None:
    """Say now, in the words of who gave movies and a diameter, what classification or the first map would say in theirs."""
    count = found.enabled().height
    if count < choices.LEAST_PARTICLES:
        raise Failure(
            "particles-few",
            f"{count} particles were {how} ({found}); a map takes at least {choices.LEAST_PARTICLES}.",
            "Give more movies, or check the diameter and the pixel size: `cryoloom report` shows the micrographs and the picks.",
        )


def _refuse_wide_particle(plan: Plan, movies: Any) -> None:
    """Refuse now what picking would refuse after motion correction."""
    row = movies.enabled().row(0, named=True)
    pixels = min(row["width"], row["height"])
    side = pixels * plan.pixel_size
    if plan.diameter > side / 2:
        raise WrongUse(
            "diameter-too-large",
            f"--diameter {plan.diameter:g} Å is larger than half the micrographs, whose short side is {side:.0f} Å "
            f"({pixels} px of {plan.pixel_size:g} Å).",
            "Give the particle's largest diameter in Å, or check the pixel size.",
        )
