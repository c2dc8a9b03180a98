"""import.movies: register movies as recorded, linked rather than copied."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import field_validator

from cryoloom.data import Movies, acquisition
from cryoloom.formats import sources
from cryoloom.formats.arrivals import in_order_of_arrival, settled
from cryoloom.formats.individual import FrameFiles, gathered, usual_count, write_frames
from cryoloom.formats.recorded import RECORDED, agreed, of_movie
from cryoloom.formats.rejection import Rejection
from cryoloom.report.panels import ImageGrid, TableView
from cryoloom.spec import SOURCE, AbsolutePath, Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Patterns, Protocol, WrongUse
from cryoloom.tables import Dataset, Hashed
from cryoloom.units import AngstromPerPixel, ElectronsPerPixelAndSecond, Micrometres, Seconds

if TYPE_CHECKING:
    from cryoloom.formats.detector import Detector

AT_ONCE = 200
"""Most new movies that a watch takes before the steps below hear of them."""


SHOWN_FRAMES = 100
"""Frames whose average the report shows."""


@dataclass(frozen=True)
class Imported(Outputs):
    movies: Movies


class ImportMovies(Protocol, id="import.movies", version=2, outputs=Imported, aliases=("ProtImportMovies",), streams=SOURCE):
    """Link movies into the project, read their headers, and record how they were taken."""

    folder: acquisition.Folder
    pattern: Patterns = Param(
        "Files", aliases=("filesPattern",), wizard="file-pattern",
        help="Movie files: MRC, TIFF or EER, with the shell's wildcards (`**` any folders); a folder stands for all in it. `#` is a digit of the "
        "movie's id, `%` what is its name. Patterns that match gain or summed images too bring those in as movies.",
    )  # fmt: skip
    exclude: acquisition.Exclude
    exclude_list: acquisition.ExcludeList
    exclude_regexps: acquisition.ExcludeRegexps
    exclude_from: acquisition.ExcludeFrom
    exclude_to: acquisition.ExcludeTo
    exclude_movies: Movies | None = Input(
        "Movies to leave out",
        optional=True,
        aliases=("blacklistSet",),
        help="Movies of the same names are not taken: what another import has.",
    )
    copy_files: acquisition.CopyFiles
    individual_frames: bool = Param(
        "One file a frame", False, group="Frames", aliases=("inputIndividualFrames",),
        help="The files are single frames, whose names end with their number; each movie's are written as one stack. Wrong, and every file is a movie.",
    )  # fmt: skip
    frames_per_movie: int | None = Param(
        "Frames a movie", None, ge=1, group="Frames", when="individual_frames", aliases=("numberOfIndividualFrames",),
        help="Movies of another number of frames are disabled; empty: the number that most have. A wrong one disables all.",
    )  # fmt: skip
    pixel_size_mode: Literal["image", "scanner"] = Param(
        "Pixel size from", "image", group="Acquisition", advanced=True, aliases=("samplingRateMode",),
        help="image: as given or written in the files; scanner: a pixel of the detector or scanner, divided by the magnification.",
    )  # fmt: skip
    scanned_pixel_size: Micrometres = Param(
        "Scanned pixel size", 7.0, gt=0, le=1000, group="Acquisition", advanced=True, when="pixel_size_mode=scanner", aliases=("scannedPixelSize",),
        help="Of the detector or scanner. With the magnification it gives the pixel size, and all lengths are wrong as it is.",
    )  # fmt: skip
    pixel_size: AngstromPerPixel | None = Param(
        "Pixel size", None, gt=0, le=100, group="Acquisition", when="pixel_size_mode=image", aliases=("samplingRate",),
        help="Å per pixel of the frames; empty takes what EPU, SerialEM or the movies' headers say. Every length that is measured later is "
        "wrong by the same factor as this.",
    )  # fmt: skip
    voltage: acquisition.Voltage
    cs: acquisition.SphericalAberration
    amplitude_contrast: acquisition.AmplitudeContrast
    dose_per_frame: acquisition.DosePerFrame
    dose_rate: ElectronsPerPixelAndSecond | None = Param(
        "Dose rate", None, gt=0, group="Acquisition", advanced=True, aliases=("doseRate",),
        help="On the camera, for a dose per frame that is left empty: rate · exposure / (frames · pixel size²). Wrong as that dose then is.",
    )  # fmt: skip
    exposure: Seconds | None = Param(
        "Exposure", None, gt=0, group="Acquisition", advanced=True, aliases=("exposureTime",),
        help="Of a whole movie, for a dose per frame that is left empty. Wrong as that dose then is.",
    )  # fmt: skip
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
        help="Image that frames are multiplied by: MRC, TIFF, .gain, .dm3 or .dm4, with wildcards if they match one file; empty: the movies are "
        "corrected already. A missing one leaves fixed patterns.",
    )  # fmt: skip
    gain_orientation: Literal["given", "auto"] = Param(
        "Gain orientation", "given", group="Detector", wizard="gain-orientation", when="gain",
        help="auto finds rotation, flip and sense from 200 frames of the movies, or refuses; given takes them as below, and warns if another fits.",
    )  # fmt: skip
    gain_rotation: Literal[0, 90, 180, 270] = Param(
        "Rotate gain", 0, group="Detector", aliases=("gainRot",), wizard="gain-orientation",
        help="Degrees clockwise, as displayed with row 0 at the top. A wrong orientation doubles the fixed pattern instead of removing it.",
    )  # fmt: skip
    gain_flip: Literal["none", "upside-down", "left-right"] = Param(
        "Flip gain", "none", group="Detector", aliases=("gainFlip",), wizard="gain-orientation",
        help="Mirror the gain after its rotation. A wrong orientation doubles the fixed pattern instead of removing it.",
    )  # fmt: skip
    gain_reciprocal: bool = Param(
        "Divide by gain", False, group="Detector", advanced=True,
        help="Frames are divided by the reference, as some conversions of EER references want. Wrong, it doubles the fixed pattern.",
    )  # fmt: skip
    dark: AbsolutePath = Param(
        "Dark reference", "", group="Detector", advanced=True, aliases=("darkFile",), wizard="file",
        help="Image that is taken off frames before the gain, lying as the gain does. A wrong one leaves its own pattern in every image.",
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

    @field_validator("gain", "dark", "defects")
    @classmethod
    def _one_file(cls, value: str) -> str:
        return sources.only_match(value)

    def check(self) -> Iterator[Hint]:
        if not any(self.pattern):
            yield Hint("pattern", "names no file")
        for name in ("gain", "dark", "defects", "exclude_list"):
            path = getattr(self, name)
            if path and (wrong := sources.not_a_file(path)):
                yield Hint(name, wrong)
        if not self.gain and (self.gain_rotation or self.gain_flip != "none" or self.gain_reciprocal or self.gain_orientation == "auto"):
            yield Hint("gain", "is empty, so its orientation does nothing", error=False)
        if self.watch:
            if self.gain_orientation == "auto":
                yield Hint(
                    "gain_orientation", "auto looks at movies that are there, which a watch waits for: see `cryoloom preview`", fix="given"
                )
            if any("%" in pattern for pattern in self.pattern):
                yield Hint("pattern", "with % cannot be watched: a movie to come may bear the name of one that is there")
            if self.individual_frames:
                yield Hint("individual_frames", "cannot be watched: nobody knows when a movie has all its frames", fix=False)
        if self.pixel_size_mode == "scanner" and self.magnification is None:
            yield Hint("magnification", "is needed to scale the scanned pixel size")
        if (self.dose_rate is None) != (self.exposure is None):
            yield Hint("exposure" if self.exposure is None else "dose_rate", "is needed too, to know the dose per frame")

    def fingerprint(self) -> Any:
        from cryoloom.formats.recorded import beside

        files = self._files()
        said = [] if self.ignore_recorded else [place for place in map(beside, files) if place is not None]
        others = (self.gain, self.dark, self.defects, self.exclude_list)
        return sources.fingerprint([*files, *said, *(Path(path) for path in others if path)])

    def expects_more(self, quiet: float) -> bool:
        return self.watch and (quiet < self.watch_timeout or len(self._there()) > len(self._files()))

    def _files(self) -> list[Path]:
        return settled(self._there(), self.watch_settle) if self.watch else self._there()

    def _there(self) -> list[Path]:
        try:
            found = sources.matching_files(self.pattern, leave_out=(*self.exclude, self.gain, self.dark, self.defects))
            known = () if self.exclude_movies is None else self.exclude_movies.items["movie_name"]
            return Rejection.of(self, known).wanted(found)
        except WrongUse as error:
            if self.watch and error.code == "no-files":
                return []  # they may come
            raise

    def run(self, job: Job) -> Imported:
        files, names = self._files(), None
        movies = gathered(files) if self.individual_frames else []
        if movies:
            files = [each.movie for each in movies]
        if self.watch:
            files, names = in_order_of_arrival(files, job.output("arrivals.json"), most=AT_ONCE if job.open else None)
        if not files:
            raise WrongUse(
                "no-files", f"no file that matches {', '.join(self.pattern)} has come.", "Correct the pattern, or watch for longer."
            )
        listed = self._listed(files, names, movies)
        result = job.map(self.alone().register, Dataset(listed, job.root), name="movies")
        read = result.rows
        _demand_one_size(read)
        acquired = self._acquired(job, read)
        meta = self._corrections(job, read["movie_path"].to_list(), acquired["pixel_size"])
        read = read.drop("left_out", "unread", *RECORDED)
        if single := read.filter(frames=1).height:
            job.warn(
                f"{single} of {read.height} movies have a single frame: there is no motion to follow. Sums go in by import.micrographs."
            )
        items = listed.drop("source", "frame_files", "wanted_frames", strict=False).join(read, on="id", how="left", maintain_order="left")
        counts = [pl.col(name).fill_null(0) for name in ("frames", "width", "height")]
        items = items.with_columns(
            *counts, pl.col("movie_path").fill_null(""), optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit("")
        )
        eer = {name: getattr(self, name) for name in ("eer_grouping", "eer_upsampling") if any(map(_is_eer, files))}
        movies = Movies(items, job.root, optics=[acquisition.optics_group(self, **acquired, **eer)], meta=meta)
        return Imported(movies.disable(result.failed) if result.failed else movies)

    def _listed(self, files: list[Path], names: list[str] | None, movies: list[FrameFiles]) -> pl.DataFrame:
        """Return one row a movie, with the ids and names that the pattern says, and the files of individual frames."""
        said, own = sources.said_by_names(self.pattern, files)
        if own and names is None:
            names = [own.get(file, name) for file, name in zip(files, sources.item_names(files), strict=True)]
            if twice := next((name for name, count in Counter(names).items() if count > 1), ""):
                raise WrongUse("names-repeated", f"several files would be called {twice}.", "Write * instead of %.")
        listed = sources.listing(files, "movie_name", names)
        if said is not None:
            listed = listed.with_columns(id=pl.Series(said, dtype=pl.Int64))
        if movies:
            listed = listed.with_columns(
                frame_files=pl.Series([[str(path) for path in each.frames] for each in movies]),
                wanted_frames=pl.lit(self.frames_per_movie or usual_count(movies)),
            )
        return listed

    def register(self, item: Item) -> Mapping[str, Any]:
        """Link one movie and read its header; a broken file raises what is wrong with it."""
        from cryoloom.formats.recorded import recorded_with

        source = named = Path(item["source"])
        if frames := item.row.get("frame_files"):
            source = self._stacked(item, [Path(frame) for frame in frames])
        with sources.named_only(source):
            movie = self._open(source)
            if source.suffix.lower() in (".gz", ".bz2"):
                movie.read(movie.frames - 1)  # only unpacking tells whether a compressed file is whole
        recorded, unread = None, ""
        try:
            recorded = None if self.ignore_recorded else recorded_with(named)
        except Failure as error:
            unread = error.message
        ending = "".join(source.suffixes[-2:]) if source.suffix.lower() in (".gz", ".bz2") else source.suffix
        target = (
            source if frames else sources.bring_in(source, item.folder / f"{item['movie_name']}{ending}", item.root, copy=self.copy_files)
        )
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

    def _stacked(self, item: Item, frames: list[Path]) -> Path:
        """Write the frames of a movie as one stack."""
        if len(frames) != item["wanted_frames"]:
            message = f"{item['movie_name']}: expected {item['wanted_frames']} frames, found {len(frames)}."
            raise Failure("frame-count", message, "Copy the others too, or leave the movie out.")
        item.folder.mkdir(parents=True, exist_ok=True)
        target = item.folder / f"{item['movie_name']}_frames.mrcs"
        with sources.named_only(frames[0].parent):
            write_frames(frames, target)
        return target

    def _open(self, path: Path) -> Any:
        from cryoloom.formats.movie import open_movie

        return open_movie(path, grouping=self.eer_grouping, upsampling=self.eer_upsampling)

    def _acquired(self, job: Job, read: pl.DataFrame) -> dict[str, Any]:
        """Return pixel size, voltage and dose: the form's and what the microscope wrote, which must agree."""
        acquired = agreed(read, self._given_pixel_size(), self.voltage, self.dose_per_frame, warn=job.warn)
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
        calculated = self._calculated_dose(int(read["frames"][0]), acquired["pixel_size"], _is_eer(Path(read["movie_path"][0])))
        if self.dose_per_frame is None and calculated is not None:
            acquired["dose_per_frame"] = round(calculated, 6)
        if (unread := read.filter(pl.col("unread") != "")).height:
            job.warn(f"{unread.height} files beside movies tell nothing, such as {unread['unread'][0]}")
        if left := max(read["left_out"].to_list(), default=0):
            job.warn(f"The last {left} hardware frames of EER movies make no whole fraction of {self.eer_grouping} and are left out.")
        return acquired

    def _given_pixel_size(self) -> float | None:
        if self.pixel_size_mode == "image" or self.magnification is None:
            return self.pixel_size
        return 1e4 * self.scanned_pixel_size / self.magnification

    def _calculated_dose(self, frames: int, pixel_size: float, eer: bool) -> float | None:
        """Return the dose of a frame that dose rate and exposure make, None without them; the pixel that is meant is the camera's."""
        if self.dose_rate is None or self.exposure is None:
            return None
        return acquisition.dose_of_frame(self.dose_rate, self.exposure, frames, pixel_size * (self.eer_upsampling if eer else 1))

    def _camera(self) -> "Detector":
        from cryoloom.formats.detector import Detector

        search = self.gain_orientation == "auto"
        return Detector(self.gain, self.dark, self.defects, self.gain_rotation, self.gain_flip, self.gain_reciprocal, search)

    def _corrections(self, job: Job, files: Sequence[str], pixel_size: float) -> dict[str, Any]:
        """Check references and defects against the movies, write them in the movies' orientation, and return what the set says of them."""
        if not self.gain and any(_is_eer(Path(file)) for file in files):
            job.warn(
                "EER movies are never corrected by the camera: without its gain reference a fixed pattern stays in them. Give it: --gain."
            )
        if not (self.gain or self.dark or self.defects):
            return {}
        movies = [self._open(job.root / file) for file in files[: self._camera().movies]]
        found = self._camera().write(job.output, movies, pixel_size, job.warn, judge=not self.watch)
        return {name: value.relative_to(job.root).as_posix() if isinstance(value, Path) else value for name, value in found.items()}

    def preview(self) -> Mapping[str, int | float | str]:
        """Return how many files match, the first and the last, what the first one is, the dose, and how the gain reference lies."""
        files = self._files()
        if not files:
            return {"files": 0}
        told: dict[str, int | float | str] = {"files": len(files), "first": files[0].name, "last": files[-1].name}
        first = self._open(files[0])
        frames = first.frames
        if self.individual_frames:
            movies = gathered(files)
            frames = self.frames_per_movie or usual_count(movies)
            told |= {"movies": len(movies)}
        told |= {"frames": frames, "size (px)": f"{first.width} × {first.height}"}
        size = self._given_pixel_size() or first.pixel_size
        if size:
            told["pixel size (Å)"] = round(size, 5)
        dose = self.dose_per_frame or (self._calculated_dose(frames, size, _is_eer(files[0])) if size else None)
        if dose:
            told |= {"dose per frame (e/Å²)": round(dose, 4), "total dose (e/Å²)": round(self.pre_exposure + frames * dose, 3)}
        if self.gain and self.gain_orientation == "auto":
            found = self._camera().orientation([self._open(path) for path in files[: self._camera().movies]])
            told["gain"] = "no frame can be read" if found is None else str(found) if found.decided else f"undecided, perhaps {found}"
            if found is not None:
                told["σ above the next"] = round(found.ahead, 1)
        return told

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
        if told := out.movies.meta.get("gain_orientation"):
            summary["gain"] = told
        if items.height > good.height:
            summary["unreadable"] = items.height - good.height
        return summary

    def methods(self, out: Imported) -> str:
        optics, good = out.movies.optics[0], out.movies.items.filter("enabled")
        frames = sorted(set(good["frames"]))
        told = f"{good.height} movies of {frames[0] if len(frames) == 1 else f'{frames[0]} to {frames[-1]}'} frames were recorded at "
        told += f"{optics['voltage']:g} kV (spherical aberration {optics['cs']:g} mm) with a pixel size of {optics['pixel_size']:.4g} Å"
        dose = optics["dose_per_frame"]
        if dose is None:
            return f"{told}."
        return f"{told} and a dose of {dose:g} e/Å² per frame, {self.pre_exposure + dose * frames[-1]:.3g} e/Å² in all."

    def report(self, out: Imported) -> list[Panel]:
        from cryoloom.formats.gain_orientation import average_frames
        from cryoloom.formats.mrc import read_mrc

        items, meta, dose = out.movies.items, out.movies.meta, out.movies.optics[0]["dose_per_frame"]
        good = items.filter("enabled")
        averages = average_frames([self._open(out.movies.file(path)) for path in good["movie_path"].head(20)], SHOWN_FRAMES)
        panels: list[Panel] = []
        if averages is not None:
            images, captions = [averages.all], [f"average of {averages.frames} raw frames"]
            if "gain_path" in meta:
                gain = read_mrc(out.movies.file(meta["gain_path"])).data
                dark = read_mrc(out.movies.file(meta["dark_path"])).data if "dark_path" in meta else 0
                images += [gain, (averages.all - dark) * gain]
                captions += [f"gain reference, {meta['gain_orientation']}", "average times gain"]
            caption = "The product is flat if the reference is of these movies and lies as they do."
            panels.append(ImageGrid(title="Raw average and gain", images=images, captions=captions, size=260, caption=caption))
        columns = {name: items[name].to_list() for name in ("movie_name", "frames", "width", "height")}
        if dose is not None:
            columns["dose (e/Å²)"] = [self.pre_exposure + frames * dose for frames in items["frames"]]
        columns |= {name: items[name].to_list() for name in ("enabled", "fail_reason")}
        return [*panels, TableView(title="Movies", columns=columns)]


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
