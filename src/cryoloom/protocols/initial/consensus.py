"""initial.consensus: first maps of any origin judged by class averages, ranked, and laid on the best."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import Classes2D, Classes3D, Particles, Volume, symmetry_hints
from cryoloom.data.alignment import MaskDiameter
from cryoloom.formats.alignment import alignable, on_grid
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import read_particles, write_stack
from cryoloom.report.first_maps import ranking_panels
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.align.explanation import Averages, Explanation
    from cryoloom.numerics.align.first_map_verdict import Verdict

FEWEST, MOST = 5, 160
"""Averages without which no map is judged, and of which the largest classes are taken if there are more: pairs are compared."""
SHOWN = 12
"""Averages of each map, those it explains worst, that the report shows."""
LEAST_PARTICLES = 50
ASYMMETRIC = 0.8
"""Correlation with its symmetrised copy below which a map has not the symmetry that is given."""
ORDER = {"good": 0, "undecided": 1, "bad": 2}


@dataclass(frozen=True)
class Sampling:
    """The grid of some images: px and Å/px."""

    box: int
    pixel_size: float


@dataclass(frozen=True)
class Laid:
    """Averages on the grid of their images, a map on it, and what they say of it."""

    averages: "Averages"
    sampling: Sampling
    volume: Any
    found: "Explanation"


@dataclass(frozen=True)
class Ranked(Outputs):
    """The best map comes last, for the last set of a kind is what an export of everything writes."""

    classes: Classes2D
    volumes: Volume
    volume: Volume


class VolumeConsensus(Protocol, id="initial.consensus", outputs=Ranked, cite=("10.1016/0304-3991(87)90078-7",)):
    """Rank first maps by how well their projections explain class averages, say which are wrong and why, and lay all on the best.

    The judgement is absolute: it holds for one map too, and when all are wrong. A right map gives the averages poses at which they agree with
    each other along their common lines, and make a map of its own outline. The hand of each map is tried: averages cannot tell it, but all are
    brought to that of the best where the maps do.
    """

    volumes: tuple[Volume | Classes3D, ...] = Input(
        "Candidate maps", many=True, aliases=("inputVolumes", "inputSet"),
        help="Of initial.sgd, initial.significant, imported or any other; repeat the flag. Each map of a set is a candidate. Other boxes and pixel "
        "sizes are resampled.",
    )  # fmt: skip
    classes: Classes2D = Input(
        "Class averages", aliases=("inputClasses", "inputAverages"),
        help="Of good classes, from as many sides as there are; select them first. A few of junk are tolerated.",
    )  # fmt: skip
    mask_diameter: MaskDiameter
    particles: Particles | None = Input(
        "Particles",
        optional=True,
        aliases=("inputParticles",),
        help="Some of them are laid on every map too, and count as much as the averages in the rank.",
    )
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="That the particle is known to have. Maps that lack it are said to; poses are sought everywhere all the same.",
    )  # fmt: skip
    resolution: Angstrom = Param(
        "Finest detail", 20.0, ge=8, le=60, aliases=("targetResolution",),
        help="Up to which averages and maps are compared. Finer needs averages that have it; coarser tells hands and similar particles less apart.",
    )  # fmt: skip
    sample: int = Param(
        "Particles laid on each map", 300, ge=LEAST_PARTICLES, le=5000, when="particles", advanced=True,
        help="Taken evenly from the set. More take longer and rank maps of similar worth more surely.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        if not self.volumes or not sum(map(len, self.volumes)):
            yield Hint("volumes", "hold no map: give at least one candidate")
        tables = [each.stored for each in self.volumes]
        if any(table is not None and table in tables[:number] for number, table in enumerate(tables)):
            yield Hint("volumes", "hold one set twice: give each once")
        count = _usable(self.classes).height
        if count < FEWEST:
            yield Hint(
                "classes",
                f"hold {count} averages of classes with members: at least {FEWEST}, from different sides, are needed to judge a map",
            )
        if not self.classes.meta.get("pixel_size"):
            yield Hint("classes", "do not tell their pixel size: import or make them again")
        elif (box := self.classes.meta.get("box_size")) and self.mask_diameter > box * self.classes.meta["pixel_size"]:
            yield Hint("mask_diameter", f"is wider than the averages' box of {box * self.classes.meta['pixel_size']:.0f} Å", error=False)
        if self.particles is not None and (there := self.particles.enabled().height) < LEAST_PARTICLES:
            yield Hint("particles", f"are {there}: at least {LEAST_PARTICLES} are needed, or none")

    def run(self, job: Job) -> Ranked:
        chosen = self._chosen(job)
        some = self.particles
        if some is not None:
            rows = some.enabled()
            some = some.select(rows["id"].gather_every(max(1, rows.height // self.sample)).head(self.sample))
        alone = self.model_copy(update={"classes": chosen, "particles": some})
        alone._averages()  # what is wrong with them is no fault of a map
        candidates = self._candidates()
        judged = job.map(alone.judge, Dataset(candidates, job.root), name="judged")
        names = dict(candidates.select("id", "name").iter_rows())
        for number, reason in judged.failed.items():
            job.warn(f"{names[number]} cannot be judged and is left out: {reason}")
        table = candidates.join(judged.rows, on="id")
        for text in table["resampled"].to_list():
            if text:
                job.warn(text)
        table = _ranked(table)
        best = table.row(0, named=True)
        pairs = table.with_columns(best_set=pl.lit(best["set"]), best_path=pl.lit(best["source_path"]))
        laid = job.map(alone.lay, Dataset(pairs, job.root), name="aligned")
        for number, reason in laid.failed.items():
            job.warn(f"{names[number]} cannot be laid on the best and is left out: {reason}")
        table = table.join(laid.rows, on="id").sort("rank")
        self._warn(job, table)
        return self._outputs(job, chosen, table)

    def _chosen(self, job: Job) -> Classes2D:
        """Return the averages that judge: those of the largest classes that have members."""
        rows = _usable(self.classes)
        if rows.height > MOST:
            job.warn(f"Of {rows.height} averages those of the {MOST} largest classes judge.")
        rows = rows.sort("count", "id", descending=[True, False]).head(MOST).sort("id")
        return Classes2D(rows, self.classes.root, meta=self.classes.meta)

    def _candidates(self) -> pl.DataFrame:
        """Return one row a map: ``set``, from 0, ``source_path`` and ``name``."""
        parts = []
        for number, each in enumerate(self.volumes):
            rows = each.items.filter("enabled") if "enabled" in each.items.columns else each.items
            parts.append(rows.select(set=pl.lit(number), source_path="volume_path"))
        table = pl.concat(parts)
        names = pl.Series("name", [_name(path) for path in table["source_path"]], dtype=pl.String)
        table = table.with_columns(names, id=pl.int_range(1, table.height + 1, dtype=pl.Int64))
        again = pl.int_range(1, pl.len() + 1).over("name")
        return table.with_columns(name=pl.when(again > 1).then(pl.format("{} ({})", "name", again)).otherwise("name"))

    def _averages(self) -> "tuple[Averages, Sampling]":
        """Return the averages, and the grid that maps are brought to."""
        import numpy as np

        from cryoloom.numerics.align.explanation import Averages

        images = read_particles(self.classes)
        if images.shape[1] != images.shape[2] or not np.isfinite(images).all() or (np.ptp(images, axis=(1, 2)) == 0).any():
            raise Failure(
                "averages-unusable",
                "classes: some averages are not square, constant, or hold values that are not finite.",
                "Select the others first.",
            )
        sampling = Sampling(images.shape[1], float(self.classes.meta["pixel_size"]))
        extent = sampling.box * sampling.pixel_size
        diameter = min(self.mask_diameter, 0.95 * extent) / sampling.pixel_size
        return Averages.of(images, diameter, round(extent / self.resolution)), sampling

    def verdict(self, number: int, path: str) -> "Verdict":
        """Return what the averages say of one map, a file of the set `number`."""
        return self._laid(number, path, [])[1]

    def _laid(self, number: int, path: str, said: list[str]) -> "tuple[Laid, Verdict]":
        """Lay the averages on one map, and judge it."""
        import torch

        from cryoloom.numerics.align.explanation import explain
        from cryoloom.numerics.align.first_map_verdict import verdict

        torch.set_num_threads(1)
        averages, sampling = self._averages()
        volume = on_grid(self.volumes[number], path, sampling, said.append)
        found = explain(averages, volume)
        judged = verdict(found, volume, sampling.pixel_size, averages.radius * sampling.pixel_size, self.symmetry)
        return Laid(averages, sampling, volume, found), judged

    def judge(self, item: Item) -> Mapping[str, Any]:
        """Lay the averages, and particles, on one map."""
        import numpy as np

        from cryoloom.numerics.align.axes import find_axes
        from cryoloom.numerics.align.explanation import pictures
        from cryoloom.numerics.geometry.coverage import fourier_coverage
        from cryoloom.numerics.geometry.euler import matrix_to_euler
        from cryoloom.numerics.geometry.symmetry import point_group

        said: list[str] = []
        laid, judged = self._laid(item["set"], item["source_path"], said)
        averages, sampling, volume, found = laid.averages, laid.sampling, laid.volume, laid.found
        radius = averages.radius * sampling.pixel_size
        worst = np.argsort(found.correlations, kind="stable")[:SHOWN]
        path = item.output("_worst.mrcs")
        write_stack(path, pictures(averages, volume, found, worst).reshape(-1, sampling.box, sampling.box), sampling.pixel_size)
        rot, tilt, psi = matrix_to_euler(found.rotations)
        origins = found.shifts * sampling.pixel_size
        group = point_group(self.symmetry)
        return {
            "verdict": judged.word,
            "reason": judged.reason,
            "resampled": " ".join(said),
            "correlation": float(found.correlations.mean()),
            "ball_correlation": found.ball,
            "line_agreement": found.agreement,
            "outline": found.outline,
            "coverage": fourier_coverage(found.rotations[:, 2]),
            "symmetry_correlation": 1.0 if group.order == 1 else find_axes(volume, sampling.pixel_size, radius, group).agreement,
            "particle_gain": self._gain(item),
            "worst_path": path,
            "worst_classes": self.classes.items["class_id"].gather(worst.tolist()).to_list(),
            "correlations": found.correlations.tolist(),
            "agreements": np.nan_to_num(found.agreements).tolist(),
            **{name: angles.tolist() for name, angles in (("rot", rot), ("tilt", tilt), ("psi", psi))},
            "origin_x": origins[:, 0].tolist(),
            "origin_y": origins[:, 1].tolist(),
        }

    def _gain(self, item: Item) -> float | None:
        """Return the mean log-likelihood that particles gain by the map, at its best grey scale for each; None without particles."""
        if self.particles is None:
            return None
        from cryoloom.numerics.align.particle_gain import particle_gain

        loaded = alignable(self.particles, self.mask_diameter, finest=self.resolution, least=LEAST_PARTICLES // 2, seed=item.seed)
        volume = on_grid(self.volumes[item["set"]], item["source_path"], loaded, lambda _: None)
        return particle_gain(loaded.images, volume, loaded.mask_diameter / 2 / loaded.pixel_size)

    def lay(self, item: Item) -> Mapping[str, Any]:
        """Move one map onto the best, on the grid of that one."""
        import numpy as np

        from cryoloom.numerics.align.maps import align_map, moved_map
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
        from cryoloom.numerics.masks.soft import spherical_mask

        image = read_mrc(self.volumes[item["best_set"]].file(item["best_path"]))
        size = float(self.volumes[item["best_set"]].meta.get("pixel_size") or image.pixel_size)
        sampling = Sampling(image.data.shape[0], size)
        best = image.data.astype(np.float32)
        volume = on_grid(self.volumes[item["set"]], item["source_path"], sampling, lambda _: None)
        same = item["rank"] == 1
        found = None if same else align_map(volume, best, size, symmetry=self.symmetry, low_pass=self.resolution, try_hand=True)
        moved = best if found is None else moved_map(volume, found, size)
        sphere = spherical_mask(sampling.box, min(self.mask_diameter / 2 / size, sampling.box / 2 - 3), 3.0)
        curve = fourier_shell_correlation(moved * sphere, best * sphere)
        path = item.output("_aligned.mrc")
        write_mrc(path, moved, size, volume=True)
        return {
            "volume_path": path, "box_size": sampling.box, "pixel_size": size,
            "mirrored": False if found is None else found.mirrored,
            "map_correlation": 1.0 if found is None else found.correlation,
            "other_hand": None if found is None else found.other_hand,
            "best_fsc": curve.tolist(), "best_resolution": resolution_at(curve, 0.5, sampling.box, size),
        }  # fmt: skip

    def _warn(self, job: Job, table: pl.DataFrame) -> None:
        bad = table.filter(pl.col("verdict") == "bad")
        for row in bad.iter_rows(named=True):
            job.warn(f"{row['name']} is a bad first map: {row['reason']}.")
        if bad.height == table.height:
            job.warn(
                "No candidate is good: do not refine from the best of them. Look at the class averages, make other maps (other seeds, symmetry, "
                "more or cleaner classes) and compare again."
            )
        if self.symmetry.upper() != "C1":
            for row in table.filter(pl.col("symmetry_correlation") < ASYMMETRIC).iter_rows(named=True):
                job.warn(
                    f"{row['name']} has not the symmetry {self.symmetry}: its correlation with its symmetrised copy is "
                    f"{row['symmetry_correlation']:.2f} at the best axes."
                )

    def _outputs(self, job: Job, chosen: Classes2D, table: pl.DataFrame) -> Ranked:
        best = table.row(0, named=True)
        laid = pl.DataFrame(
            {
                "id": chosen.items["id"],
                "correlation": best["correlations"],
                "line_agreement": best["agreements"],
                **{name: best[name] for name in ("rot", "tilt", "psi", "origin_x", "origin_y")},
            }
        )
        meta = {
            "pixel_size": best["pixel_size"],
            "box_size": best["box_size"],
            "mask_diameter": self.mask_diameter,
            "symmetry": self.symmetry,
        }
        poses = ("correlations", "agreements", "rot", "tilt", "psi", "origin_x", "origin_y", "pixel_size", "resampled", "set")
        directions = {row["name"]: [row["rot"], row["tilt"]] for row in table.iter_rows(named=True)}
        told = {
            "directions": directions,
            "correlations": {row["name"]: sorted(row["correlations"]) for row in table.iter_rows(named=True)},
            "pairwise": self._pairwise(job, table),
        }
        rows = table.drop(poses)
        volumes = Volume(rows, job.root, meta=meta | told)
        return Ranked(chosen.with_columns(laid), volumes, Volume(rows.head(1), job.root, meta=meta))

    def _pairwise(self, job: Job, table: pl.DataFrame) -> list[list[float]]:
        """Return the correlations of all maps, laid on the best, at the finest detail compared."""
        import numpy as np
        import torch

        from cryoloom.numerics.filters.maps import lowpass
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.masks.soft import spherical_mask
        from cryoloom.numerics.reconstruct.grids import working_box

        size, box = float(table["pixel_size"][0]), int(table["box_size"][0])
        small = working_box(box * size / self.resolution + 2, box)
        sphere = spherical_mask(small, min(self.mask_diameter / 2 / size * small / box, small / 2 - 2), 2.0)
        maps = []
        for path in table["volume_path"]:
            whole = resample_volume(torch.from_numpy(read_mrc(job.root / path).data.astype(np.float32)), small).numpy()
            maps.append((lowpass(whole, size * box / small, self.resolution) * sphere).ravel())
        return np.atleast_2d(np.corrcoef(np.stack(maps))).round(4).tolist()

    def summary(self, out: Ranked) -> Mapping[str, Any]:
        table = out.volumes.items
        best = table.row(0, named=True)
        return {
            "candidates": table.height,
            "good": table.filter(pl.col("verdict") == "good").height,
            "bad": ", ".join(table.filter(pl.col("verdict") == "bad")["name"]) or "none",
            "best": f"{best['name']} ({best['verdict']})",
            "its correlation with the averages": round(best["correlation"], 3),
            "agreement at its poses": round(best["line_agreement"], 3),
            "hands changed to its": int(table["mirrored"].sum()),
        }

    def methods(self, out: Ranked) -> str:
        table = out.volumes.items
        return (
            f"{table.height} candidate first maps were judged by {len(out.classes)} class averages at up to {self.resolution:g} Å: by their correlation "
            "with reprojections, by their agreement along the common lines of the poses that a map gave them, and by the map reconstructed at these "
            f"poses. {table.filter(pl.col('verdict') == 'good').height} passed; {table['name'][0]} was ranked first."
        )

    def report(self, out: Ranked) -> list[Panel]:
        return ranking_panels(out.volumes, self.resolution, lambda path: read_mrc(out.volumes.file(path)).data)


def _usable(classes: Classes2D) -> pl.DataFrame:
    rows = classes.items.filter(pl.col("count") > 0)
    return rows.filter("enabled") if "enabled" in rows.columns else rows


def _name(path: str) -> str:
    """Return how a candidate is called: its file, and the run that made it."""
    place = Path(path)
    run = next((part for before, part in zip(place.parts[:-1], place.parts[1:], strict=True) if before == "runs"), "")
    return f"{run} {place.stem}".strip()


def _ranked(table: pl.DataFrame) -> pl.DataFrame:
    """Return the candidates, the best first, with ``rank`` and ``score``: good ones before others, then by how well they explain what there is."""
    score = pl.col("correlation") / pl.col("correlation").max()
    if table["particle_gain"].null_count() == 0:
        gain = pl.col("particle_gain").clip(lower_bound=0.0)
        score = (score + gain / pl.max_horizontal(gain.max(), pl.lit(1e-9))) / 2
    table = table.with_columns(score=score, order=pl.col("verdict").replace_strict(ORDER, return_dtype=pl.Int64))
    table = table.sort("order", -pl.col("score"), "id").drop("order")
    return table.with_columns(rank=pl.int_range(1, table.height + 1, dtype=pl.Int64))
