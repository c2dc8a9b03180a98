"""import.movies: register movies as recorded, linked rather than copied."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import field_validator

from cryoloom.data import Movies, acquisition
from cryoloom.formats import sources
from cryoloom.formats.arrivals import in_order_of_arrival, settled
from cryoloom.formats.recorded import RECORDED, agreed, of_movie
from cryoloom.report.panels import ImageGrid, TableView
from cryoloom.spec import SOURCE, AbsolutePath, Failure, Hint, Item, Job, Outputs, Panel, Param, Patterns, Protocol, WrongUse
from cryoloom.tables import Dataset, Hashed
from cryoloom.units import AngstromPerPixel, Seconds

AT_ONCE = 200
"""Most new movies that a watch takes before the steps below hear of them."""


@dataclass(frozen=True)
class Imported(Outputs):
    movies: Movies


class ImportMovies(Protocol, id="import.movies", version=2, outputs=Imported, aliases=("ProtImportMovies",), streams=SOURCE):
    """Link movies into the project, read their headers, and record how they were taken."""

    folder: acquisition.Folder
    pattern: Patterns = Param(
        "Files", aliases=("filesPattern",), wizard="file-pattern",
        help="Movie files: MRC, TIFF or EER, with the shell's wildcards (`**` any folders, `#` a digit); a folder stands for all in it. "
        "Patterns that match gain or summed images too bring those in as movies.",
    )  # fmt: skip
    exclude: acquisition.Exclude
    copy_files: acquisition.CopyFiles
    pixel_size: AngstromPerPixel | None = Param(
        "Pixel size", None, gt=0, le=100, group="Acquisition", aliases=("samplingRate",),
        help="Å per pixel of the frames; empty takes what EPU, SerialEM or the movies' headers say. Every length that is measured later is "
        "wrong by the same factor as this.",
    )  # fmt: skip
    voltage: acquisition.Voltage
    cs: acquisition.SphericalAberration
    amplitude_contrast: acquisition.AmplitudeContrast
    dose_per_frame: acquisition.DosePerFrame
    pre_exposure: acquisition.PreExposure
    magnification: acquisition.Magnification
    ignore_header_pixel_size: acquisition.IgnoreHeaderPixelSize
    ignore_recorded: acquisition.IgnoreRecorded
    eer_grouping: int = Param(
        "EER frames a fraction", 40, ge=1, group="Detector", aliases=("eerFractions", "eerGrouping"),
        help="Hardware frames that are summed to one frame; of EER only. About 1 e/Å² a fraction is usual: fewer follow motion more finely but are noisier.",
    )  # fmt: skip
    eer_upsampling: Literal[1, 2] = Param(
        "EER upsampling", 1, group="Detector", advanced=True, aliases=("eerUpsampling",),
        help="2 reads 8k frames, with pixels of half the size, from a 4k sensor; of EER only. It costs four times the memory and rarely gains.",
    )  # fmt: skip
    gain: AbsolutePath = Param(
        "Gain reference", "", group="Detector", aliases=("gainFile",), wizard="file",
        help="Image that frames are multiplied by: MRC, TIFF, .gain, .dm3 or .dm4; empty: the movies are corrected already. A missing one leaves "
        "fixed patterns.",
    )  # fmt: skip
    gain_rotation: Literal[0, 90, 180, 270] = Param(
        "Rotate gain", 0, group="Detector", aliases=("gainRot",), wizard="gain-orientation",
        help="Degrees clockwise, as displayed with row 0 at the top. A wrong orientation doubles the fixed pattern instead of removing it.",
    )  # fmt: skip
    gain_flip: Literal["none", "upside-down", "left-right"] = Param(
        "Flip gain", "none", group="Detector", aliases=("gainFlip",), wizard="gain-orientation",
        help="Mirror the gain after its rotation. A wrong orientation doubles the fixed pattern instead of removing it.",
    )  # fmt: skip
    defects: AbsolutePath = Param(
        "Defects", "", group="Detector", aliases=("defectFile",), wizard="file",
        help="Bad pixels: an image (not 0 = bad), a text of `x y width height` a line, or RELION's hot pixels. Unlisted ones leave streaks.",
    )  # fmt: skip

    watch: bool = Param(
        "Watch the folder", False, group="Streaming", aliases=("dataStreaming",),
        help="Go on taking movies as they come, and let the steps below work on them meanwhile. `cryoloom close` ends it.",
    )  # fmt: skip
    watch_timeout: Seconds = Param(
        "End after", 43200.0, gt=0, group="Streaming", aliases=("timeout",), when="watch",
        help="Without a new movie. Too short ends the session during a break of the microscope.",
    )  # fmt: skip
    watch_settle: Seconds = Param(
        "Settled after", 30.0, ge=0, group="Streaming", aliases=("fileTimeout",), when="watch", advanced=True,
        help="Without a write to the file. Too short takes movies that are still being written, which are then unreadable.",
    )  # fmt: skip

    @field_validator("gain_rotation", "eer_upsampling", mode="before")
    @classmethod
    def _degrees(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    def check(self) -> Iterator[Hint]:
        if not any(self.pattern):
            yield Hint("pattern", "names no file")
        for name in ("gain", "defects"):
            path = getattr(self, name)
            if path and (wrong := sources.not_a_file(path)):
                yield Hint(name, wrong)
        if not self.gain and (self.gain_rotation or self.gain_flip != "none"):
            yield Hint("gain", "is empty, so its rotation and flip do nothing", error=False)

    def fingerprint(self) -> Any:
        from cryoloom.formats.recorded import beside

        files = self._files()
        said = [] if self.ignore_recorded else [place for place in map(beside, files) if place is not None]
        return sources.fingerprint([*files, *said, *(Path(path) for path in (self.gain, self.defects) if path)])

    def expects_more(self, quiet: float) -> bool:
        return self.watch and (quiet < self.watch_timeout or len(self._there()) > len(self._files()))

    def _files(self) -> list[Path]:
        return settled(self._there(), self.watch_settle) if self.watch else self._there()

    def _there(self) -> list[Path]:
        try:
            return sources.matching_files(self.pattern, leave_out=(*self.exclude, self.gain, self.defects))
        except WrongUse:
            if self.watch:
                return []  # they may come
            raise

    def run(self, job: Job) -> Imported:
        files, names = self._files(), None
        if self.watch:
            files, names = in_order_of_arrival(files, job.output("arrivals.json"), most=AT_ONCE if job.open else None)
        if not files:
            raise WrongUse(
                "no-files", f"no file that matches {', '.join(self.pattern)} has come.", "Correct the pattern, or watch for longer."
            )
        listed = sources.listing(files, "movie_name", names)
        result = job.map(self.register, Dataset(listed, job.root), name="movies")
        read = result.rows
        _demand_one_size(read)
        acquired = self._acquired(job, read)
        meta = self._detector(job, files, acquired["pixel_size"])
        read = read.drop("left_out", "unread", *RECORDED)
        if single := read.filter(frames=1).height:
            job.warn(
                f"{single} of {read.height} movies have a single frame: there is no motion to follow. Sums go in by import.micrographs."
            )
        items = listed.drop("source").join(read, on="id", how="left", maintain_order="left")
        counts = [pl.col(name).fill_null(0) for name in ("frames", "width", "height")]
        items = items.with_columns(
            *counts, pl.col("movie_path").fill_null(""), optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit("")
        )
        eer = {name: getattr(self, name) for name in ("eer_grouping", "eer_upsampling") if any(map(_is_eer, files))}
        movies = Movies(items, job.root, optics=[acquisition.optics_group(self, **acquired, **eer)], meta=meta)
        return Imported(movies.disable(result.failed) if result.failed else movies)

    def register(self, item: Item) -> Mapping[str, Any]:
        """Link one movie and read its header; a broken file raises what is wrong with it."""
        from cryoloom.formats.recorded import recorded_with

        source = Path(item["source"])
        with sources.named_only(source):
            movie = self._open(source)
            if source.suffix.lower() in (".gz", ".bz2"):
                movie.read(movie.frames - 1)  # only unpacking tells whether a compressed file is whole
        recorded, unread = None, ""
        try:
            recorded = None if self.ignore_recorded else recorded_with(source)
        except Failure as error:
            unread = error.message
        ending = "".join(source.suffixes[-2:]) if source.suffix.lower() in (".gz", ".bz2") else source.suffix
        target = sources.bring_in(source, item.folder / f"{item['movie_name']}{ending}", item.root, copy=self.copy_files)
        return {
            "movie_path": target,
            "frames": movie.frames,
            "width": movie.width,
            "height": movie.height,
            "header_pixel_size": movie.pixel_size,
            "movie_quick": Hashed.quickly(source).blake3,
            **of_movie(recorded, movie),
            "unread": unread,
        }

    def _open(self, path: Path) -> Any:
        from cryoloom.formats.movie import open_movie

        return open_movie(path, grouping=self.eer_grouping, upsampling=self.eer_upsampling)

    def _acquired(self, job: Job, read: pl.DataFrame) -> dict[str, Any]:
        """Return pixel size, voltage and dose: the form's and what the microscope wrote, which must agree."""
        acquired = agreed(read, self.pixel_size, self.voltage, self.dose_per_frame, warn=job.warn)
        acquired["magnification"] = self.magnification or acquired["magnification"]
        names = pl.col("movie_path").str.split("/").list.last()
        if acquired["pixel_size"] is None:
            told = pl.col("header_pixel_size")
            headers = read.select(recorded_by=names, value=pl.when(told != 1.0).then(told).otherwise(0.0))
            acquired["pixel_size"] = acquisition.settled(headers, None, "pixel size", "Å/px")
        if acquired["pixel_size"] is None:
            raise WrongUse("pixel-size", "Neither the movies nor the microscope's files say the pixel size.", "Give it: --pixel-size.")
        if not self.ignore_header_pixel_size:
            acquisition.demand_pixel_size(read.select("header_pixel_size", name=names), acquired["pixel_size"])
        if (unread := read.filter(pl.col("unread") != "")).height:
            job.warn(f"{unread.height} files beside movies tell nothing, such as {unread['unread'][0]}")
        if left := int(read["left_out"].max() or 0):  # type: ignore[arg-type]
            job.warn(f"The last {left} hardware frames of EER movies make no whole fraction of {self.eer_grouping} and are left out.")
        return acquired

    def _detector(self, job: Job, files: list[Path], pixel_size: float) -> dict[str, Any]:
        """Check the gain reference and the defects against the movies and write them in the movies' orientation."""
        if not self.gain and not self.defects:
            return {}
        import numpy as np
        from blake3 import blake3

        from cryoloom.formats.defects import read_defects
        from cryoloom.formats.gain import read_gain
        from cryoloom.formats.mrc import write_mrc

        shape = self._first_shape(files)
        meta: dict[str, Any] = {}
        if self.gain:
            gain = read_gain(self.gain, shape, self.gain_rotation, self.gain_flip)
            for note in gain.notes:
                job.warn(f"{Path(self.gain).name}: {note}.")
            write_mrc(job.output("gain.mrc"), gain.factors, pixel_size)
            meta["gain_path"] = job.output("gain.mrc")
        if self.defects:
            bad = read_defects(self.defects, shape)
            if bad.mean() > 0.1:
                job.warn(f"{Path(self.defects).name}: {100 * bad.mean():.0f} % of all pixels are bad; is the map inverted?")
            write_mrc(job.output("defects.mrc"), bad.astype(np.int8), pixel_size, mode=0)
            meta["defects_path"] = job.output("defects.mrc")
        # The files are named in meta, not in a column: their hashes stand there too, so that another gain makes other movies.
        hashes = {name.replace("_path", "_blake3"): blake3(path.read_bytes()).hexdigest() for name, path in meta.items()}
        return {**{name: path.relative_to(job.root).as_posix() for name, path in meta.items()}, **hashes}

    def _first_shape(self, files: list[Path]) -> tuple[int, int]:
        for path in files:
            try:
                return self._open(path).shape
            except Failure:
                continue
        raise WrongUse("no-movies", f"none of {len(files)} files can be read as a movie, such as {files[0]}.", "Check the pattern.")

    def summary(self, out: Imported) -> Mapping[str, Any]:
        items = out.movies.items
        good = items.filter("enabled")
        first = good.row(0, named=True)
        frames = sorted(set(good["frames"]))
        acquired = out.movies.optics[0]
        summary: dict[str, Any] = {
            "movies": good.height,
            "size (px)": f"{first['width']} × {first['height']}",
            "frames": f"{frames[0]}" if len(frames) == 1 else f"{frames[0]} to {frames[-1]}",
            "pixel size (Å)": acquired["pixel_size"],
        }
        if acquired["dose_per_frame"] is not None:
            summary["total dose (e/Å²)"] = round(self.pre_exposure + acquired["dose_per_frame"] * frames[-1], 3)
        if items.height > good.height:
            summary["unreadable"] = items.height - good.height
        return summary

    def methods(self, out: Imported) -> str:
        optics, good = out.movies.optics[0], out.movies.items.filter("enabled")
        frames = sorted(set(good["frames"]))
        told = f"{good.height} movies of {frames[0] if len(frames) == 1 else f'{frames[0]} to {frames[-1]}'} frames were recorded at "
        told += f"{optics['voltage']:g} kV (spherical aberration {optics['cs']:g} mm) with a pixel size of {optics['pixel_size']:.4g} Å"
        if self.dose_per_frame is None:
            return f"{told}."
        return f"{told} and a dose of {self.dose_per_frame:g} e/Å² per frame, {self.pre_exposure + self.dose_per_frame * frames[-1]:.3g} e/Å² in all."

    def report(self, out: Imported) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        items = out.movies.items
        first = items.filter("enabled").row(0, named=True)
        images, captions = [self._open(out.movies.file(first["movie_path"])).read(0).sum(axis=0)], [f"sum of {first['movie_name']}"]
        if "gain_path" in out.movies.meta:
            images.append(read_mrc(out.movies.file(out.movies.meta["gain_path"])).data)
            captions.append("gain reference")
        columns = {name: items[name].to_list() for name in ("movie_name", "frames", "width", "height", "enabled", "fail_reason")}
        return [
            ImageGrid(
                title="Raw sum and gain",
                images=images,
                captions=captions,
                size=260,
                caption="Structure of the gain must not show in both alike.",
            ),
            TableView(title="Movies", columns=columns),
        ]


def _is_eer(path: Path) -> bool:
    return path.suffix.lower() == ".eer"


def _demand_one_size(read: pl.DataFrame) -> None:
    sizes = Counter(read.select("width", "height").rows())
    if len(sizes) > 1:
        (common, most), (other, fewer) = sizes.most_common(2)
        example = read.filter((pl.col("width") == other[0]) & (pl.col("height") == other[1]))["movie_path"][0]
        raise Failure(
            "mixed-sizes",
            f"Movies of different sizes: {most} of {common[0]} × {common[1]} px, {fewer} of {other[0]} × {other[1]} px "
            f"such as {Path(example).name}{f', and {len(sizes) - 2} more sizes' if len(sizes) > 2 else ''}.",
            "Import each size in a run of its own, with its own pattern.",
        )
