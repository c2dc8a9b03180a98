"""Motion against truth, ours and RELION's own: ``python -m benchmarks.movies FOLDER [SET…] [--quick] [--json]``.

Sets (`benchmarks.movies.sets`) are simulated in FOLDER unless they are there. RELION runs at each B-factor of `B_FACTORS`, for whole frames and
in patches of `PATCHES`, and the best of each is compared, so it is given the benefit of knowing the truth; `--quick` tries `QUICK` alone. Both
programs use one thread and write plain and dose-weighted sums. Seconds a movie are those of the processor, from reading it to the last sum, of
the alignment of whole frames / in patches too: on an idle core the wall's, on a shared one still comparable.

Errors are RMSE in px of the movie, per axis, over all frames and movies, the mean over frames removed: of the motion of whole frames, and of
the whole displacement at 5 × 5 places. What the sums show is judged by the specimen without noise: see `judge.quality`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.movies import judge, ours, peer, sets
from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.motion.correct import sum_frames
from cryoloom.numerics.motion.field import Field

B_FACTORS = (5, 10, 20, 50, 100, 150, 300)
PATCHES = (1, 3, 5)
QUICK = ((20, 1), (20, 5))


def measure(name: str, folder: Path, tried: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the errors and seconds a movie of ours and of RELION's `tried` pairs of B-factor and patches an axis."""
    data = sets.make(name, folder).resolve()
    acquisition = json.loads((data / "acquisition.json").read_text())
    movies = sorted(data.glob(acquisition["pattern"]))
    truths = [judge.field_of(data / f"truth/motion/{path.stem}.star") for path in movies]

    def errors(fields: list[Field]) -> dict[str, list[float]]:
        whole, places = np.sqrt(np.mean([judge.errors(field, true) for field, true in zip(fields, truths, strict=True)], axis=0))
        return {"global_px": whole.tolist(), "places_px": places.tolist()}

    result: dict[str, Any] = {"set": name, "pixel_size": acquisition["pixel_size"], "dose_per_frame": acquisition["dose_per_frame"]}
    result |= {"frames": len(truths[0].motion), "movies": len(movies), "relion": {}}
    with tempfile.TemporaryDirectory() as scratch:
        whole = ours.run(data, (1, 1), Path(scratch))
        done = ours.run(data, None, Path(scratch))
        result["ours"] = errors(done.fields) | {"seconds": [whole.seconds, done.seconds], "memory": max(whole.memory, done.memory)}
        frames, exposure = ours.frames_of(data, movies[0])
        found = {kind: read_mrc(Path(scratch) / f"{movies[0].stem}{end}.mrc").data for kind, end in (("plain", ""), ("weighted", "_DW"))}
        best = sum_frames(frames, truths[0], exposure).plain
        result["ours"] |= judge.quality(found, best, sets.clean(name), exposure.pixel_size)
    for b_factor, patches in tried:
        with tempfile.TemporaryDirectory() as scratch:
            theirs = peer.run(data, b_factor, patches, Path(scratch))
        if theirs is not None:
            result["relion"][f"{b_factor}, {patches}"] = errors(theirs[0]) | {"seconds": theirs[1]}
    return result


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table of `measure`'s results."""
    lines = [
        "| set | Å/px, frames × e/Å² | ours x, y | RELION x, y (B) | ours, places | RELION (B, patches) | ours s, MiB | RELION s | signal kept |"
        " SNR weighted / plain: least, beyond 7 Å |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        mine, runs = one["ours"], one["relion"]
        cells = [one["set"], f"{one['pixel_size']:g}, {one['frames']} × {one['dose_per_frame']:g}"]
        peers = []
        for key, wanted in (("global_px", "1"), ("places_px", None)):
            fit = {name: run for name, run in runs.items() if wanted in (None, name.split(", ")[1])}
            chosen = min(fit, key=lambda name, key=key, fit=fit: float(np.square(fit[name][key]).sum())) if fit else None
            cells.append(_pair(mine[key]))
            cells.append("-" if chosen is None else f"{_pair(fit[chosen][key])} ({chosen.split(', ')[0] if wanted else chosen})")
            peers.append("-" if chosen is None else f"{fit[chosen]['seconds']:.2f}")
        seconds = " / ".join(f"{value:.2f}" for value in mine["seconds"])
        cells += [f"{seconds}, {mine['memory']:.0f}", " / ".join(peers), f"{mine['kept']:.3f}"]
        cells.append(f"{mine['worst_gain']:.2f}, {'-' if mine['gain'] is None else format(mine['gain'], '.2f')}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure the sets named, or all, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.movies", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", default=list(sets.SETS), metavar="SET")
    parser.add_argument("--quick", action="store_true", help="RELION at two settings alone")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tried = list(QUICK) if chosen.quick else [(b_factor, patches) for b_factor in B_FACTORS for patches in PATCHES]
    if not peer.there():
        sys.stderr.write(f"{peer.RELION} is not installed: ours alone.\n")
        tried = []
    results = [measure(name, chosen.folder, tried) for name in chosen.sets]
    sys.stdout.write((json.dumps(results, indent=1) if chosen.json else table(results)) + "\n")


def _pair(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main(sys.argv[1:])
