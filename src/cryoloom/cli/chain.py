"""``process``, ``demo`` and ``simulate``: from movies to a map in one command."""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cryoloom.cli.options import Json, Nodes, Target, Threads
from cryoloom.cli.printing import say, say_json
from cryoloom.spec.errors import WrongUse


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(process)
    app.command()(demo)
    app.command()(simulate)


def process(
    movies: Annotated[list[str], typer.Argument(help="Movie files, or patterns in quotes.")],
    project: Annotated[Path, typer.Option("--output", "-o", help="Project folder; made if it does not exist.")],
    pixel_size: Annotated[float, typer.Option(help="Å per pixel of the movies.")],
    voltage: Annotated[float, typer.Option(help="kV.")],
    cs: Annotated[float, typer.Option(help="Spherical aberration, mm.")],
    diameter: Annotated[float, typer.Option(help="Largest diameter of the particle, Å.")],
    amplitude_contrast: Annotated[float, typer.Option(help="Fraction, 0.07 to 0.1 in ice.")] = 0.1,
    gain: Annotated[Path | None, typer.Option(help="Gain reference: MRC, TIFF, .gain, .dm3 or .dm4.")] = None,
    gain_orientation: Annotated[
        str, typer.Option(help="given: the gain lies as the next three options say; auto: found from the movies, or refused.")
    ] = "given",
    gain_rotation: Annotated[int, typer.Option(help="Degrees clockwise: 0, 90, 180 or 270.")] = 0,
    gain_flip: Annotated[str, typer.Option(help="After the rotation: none, upside-down or left-right.")] = "none",
    gain_reciprocal: Annotated[
        bool, typer.Option("--gain-reciprocal", help="Divide by the gain reference instead of multiplying.")
    ] = False,
    dark: Annotated[Path | None, typer.Option(help="Dark reference, taken off before the gain; lies as the gain does.")] = None,
    defects: Annotated[Path | None, typer.Option(help="Bad pixels: an image, or a text of `x y width height` a line.")] = None,
    dose_per_frame: Annotated[float | None, typer.Option(help="e/Å² per frame; without it nothing is dose-weighted.")] = None,
    symmetry: Annotated[str, typer.Option(help="Point group.")] = "C1",
    until: Annotated[str, typer.Option(help="Protocol id of the last step to do.")] = "",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    watch: Annotated[
        bool, typer.Option("--watch", help="Movies are still coming: work on them as they come, until `cryoloom close`.")
    ] = False,
    threads: Threads = 0,
    target: Target = "",
    nodes: Nodes = 0,
    as_json: Json = False,
) -> None:
    """Movies to map, every default chosen from the data and recorded.

    Example: cryoloom process 'movies/*.tiff' -o apo --pixel-size 1.06 --voltage 300 --cs 2.7 --gain gain.mrc --dose-per-frame 1.1 --diameter 180
    """
    from cryoloom.app.process import STEPS, Plan

    plan = Plan(
        movies=tuple(os.path.abspath(movie) for movie in movies),
        pixel_size=pixel_size,
        voltage=voltage,
        cs=cs,
        amplitude_contrast=amplitude_contrast,
        diameter=diameter,
        gain=_absolute(gain),
        gain_orientation=gain_orientation,
        gain_rotation=gain_rotation,
        gain_flip=gain_flip,
        gain_reciprocal=gain_reciprocal,
        dark=_absolute(dark),
        defects=_absolute(defects),
        dose_per_frame=dose_per_frame,
        symmetry=symmetry,
        until=until or STEPS[-1],
        seed=seed,
        watch=watch,
    )
    carry_out(project, plan, threads, target, nodes, as_json)


def _absolute(path: Path | None) -> str:
    return "" if path is None else os.path.abspath(path)


def carry_out(folder: Path, plan: Any, threads: int, target: str, nodes: int, as_json: bool) -> None:
    """Open or make the project for `plan` and see it through, printing each step."""
    from cryoloom.app.process import project_for

    see_through(project_for(folder, plan), plan, threads, target, nodes, as_json)


def see_through(project: Any, plan: Any, threads: int, target: str, nodes: int, as_json: bool, *, resuming: bool = False) -> None:
    """Run the chain of `plan` in `project`, print each step to stderr and the result to stdout."""
    from cryoloom.app.process import process as chain
    from cryoloom.app.report import headline, write_report
    from cryoloom.cli.progress import ProgressView

    runs: list[dict[str, Any]] = []
    latest: dict[str, Any] = {}
    began = time.monotonic()
    with ProgressView(silent=as_json) as view:
        for step in chain(project, plan, threads=threads or None, target=target, nodes=nodes, resuming=resuming, observe=view):
            run, reused = step.run, step.reused
            latest[run.protocol] = run
            runs.append(
                {"run": run.id, "protocol": run.protocol, "label": run.label, "state": run.state, "reused": reused, "summary": run.summary}
            )
            view.finish(run)
            numbers = ", ".join(f"{name} {_short(value)}" for name, value in run.summary.items())
            view.say(f"{run.id}  {run.protocol:<20} {'(done before) ' if reused else f'{time.monotonic() - began:5.0f} s  '}{numbers}")
            began = time.monotonic()
    path = project.root / "report.html"
    nothing_done = all(entry["reused"] for entry in runs)
    if not nothing_done or not path.exists():
        write_report(project.folder, path)
    sharpened = latest.get("postprocess.sharpen")
    resolution = sharpened.outputs.fsc.meta["resolution"] if sharpened else None
    if as_json:
        result = {
            "project": str(project.root),
            "state": "finished",
            "resolution": resolution,
            "report": str(path),
            "nothing_done": nothing_done,
        }
        say_json({**result, "runs": runs})
        return
    if nothing_done:
        say("Nothing to do: an identical run of every step had finished before.")
    say(headline(latest))
    say(f"Report: {path}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def demo(
    directory: Annotated[Path, typer.Argument(help="Where to put movies and project.")] = Path("cryoloom-demo"),
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    threads: Threads = 0,
    target: Target = "",
    nodes: Nodes = 0,
    as_json: Json = False,
) -> None:
    """Simulate a small data set, process it, write the report and print the resolution.

    Example: cryoloom demo my-demo
    """
    from cryoloom.app.demo import PRESET, plan_of

    data = directory / "data"
    if not (data / "acquisition.json").exists():
        _simulate(data, PRESET, seed, {}, threads, silent=as_json)
    carry_out(directory / "project", plan_of(data), threads, target, nodes, as_json)


def simulate(
    directory: Annotated[Path, typer.Argument(help="New folder for the data and its truth.")],
    preset: Annotated[str, typer.Option(help="Movies: tiny, demo, 80s-like, full. Particles: s0 ... s8.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change the preset: --set frames=20 --set pixel_size=1.1; repeat.")
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Make movies or particle stacks with known truth (RELION STAR and MRC beside them).

    Example: cryoloom simulate data --preset tiny --seed 3 --set movies=4
    """
    overrides: dict[str, Any] = {}
    for text in set_ or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise WrongUse("simulate-set", f"--set {text}: no value.", "Write --set name=value.")
        try:
            overrides[name] = json.loads(value)
        except json.JSONDecodeError:
            overrides[name] = value
    result = _simulate(directory, preset, seed, overrides, threads, silent=as_json)
    if as_json:
        say_json(result)
    else:
        say(f"Simulated {preset} in {directory}; the truth is in {directory / 'truth'}")


def _simulate(directory: Path, preset: str, seed: int, overrides: dict[str, Any], threads: int, *, silent: bool) -> dict[str, Any]:
    from cryoloom.app.simulation import simulate as make
    from cryoloom.cli.progress import ProgressView

    class Simulation:
        id = label = "simulate"

    with ProgressView(silent=silent) as view:

        def progress(done: int, total: int, what: str) -> None:
            view(Simulation, {"t": time.time(), "kind": "progress", "name": "simulate", "done": done, "total": total, "message": what})

        view.say(f"Simulating {preset} in {directory}")
        return make(directory, preset, seed, overrides=overrides, threads=threads or None, progress=progress)
