"""Movies, micrographs with their motion, CTFs and coordinates as RELION 3.1 keeps them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, CTFs, Micrographs, Movies
from cryoloom.formats.micrograph_table import on_micrographs, start_of, with_transfer_functions
from cryoloom.formats.relion_tables import enabled, item_table, optics_table, original_sizes, place_file, place_image
from cryoloom.formats.sources import image_suffix
from cryoloom.formats.star import write_star
from cryoloom.tables import Dataset

MOTION_COEFFICIENTS = 36


def export_movies(movies: Movies, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``movies.star`` with the movies (and the gain reference, in their orientation) beside it."""
    items = enabled(movies)
    for name, path in items.select("movie_name", "movie_path").iter_rows():
        place_file(movies.file(path), directory / movie_file(name, path))
    written = [directory / "movies.star"]
    rows = items.select(
        rlnMicrographMovieName=pl.Series(
            [movie_file(*row) for row in items.select("movie_name", "movie_path").iter_rows()], dtype=pl.String
        ),
        rlnOpticsGroup="optics_group",
    )
    sizes = movies.of_groups("pixel_size")
    write_star(written[0], {"optics": optics_table(movies.optics, original_pixel_size=sizes), "movies": rows})
    for name in ("gain", "dark", "defects"):  # RELION takes no dark reference: it lies there for programs that do
        if movies.meta.get(f"{name}_path"):
            written.append(place_file(movies.file(movies.meta[f"{name}_path"]), directory / f"{name}.mrc"))
    return written


def movie_file(name: str, path: str) -> str:
    """Return where the exported movie of `name` lies; RELION tells formats by their endings."""
    compressed = Path(path).suffix if Path(path).suffix.lower() in (".gz", ".bz2") else ""
    return f"movies/{name}{image_suffix(Path(path))}{compressed}"


def micrograph_file(name: str) -> str:
    """Return where the exported micrograph of `name` lies."""
    return f"micrographs/{name}.mrc"


def export_micrographs(micrographs: Micrographs, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``corrected_micrographs.star``, the micrographs, and one motion STAR a movie where the motion is known.

    ``rlnMicrographName`` is the dose-weighted sum where there is one, ``rlnMicrographNameNoDW`` then the other.
    """
    items = enabled(micrographs)
    rows, files = _micrographs(micrographs, items, directory, related)
    path = directory / "corrected_micrographs.star"
    write_star(path, {"optics": _micrograph_optics(micrographs, related), "micrographs": rows})
    return [path, *files]


def _micrographs(
    micrographs: Micrographs, items: pl.DataFrame, directory: Path, related: Mapping[str, Dataset]
) -> tuple[pl.DataFrame, list[Path]]:
    """Place micrographs and motion files; return RELION's rows of `items` and the motion files."""
    sizes = micrographs.of_groups("pixel_size")
    weighted = "weighted_path" in items.columns and not items["weighted_path"].is_null().all()
    for row in items.iter_rows(named=True):
        size = sizes[row["optics_group"]]
        best = row["weighted_path"] if weighted and row["weighted_path"] else row["micrograph_path"]
        place_image(micrographs.file(best), directory / micrograph_file(row["micrograph_name"]), size)
        if weighted:
            place_image(micrographs.file(row["micrograph_path"]), directory / _unweighted(row["micrograph_name"]), size)
    motion = _motion_files(micrographs, items, directory, related)
    columns = {"rlnMicrographName": [micrograph_file(name) for name in items["micrograph_name"]]}
    if weighted:
        columns["rlnMicrographNameNoDW"] = [_unweighted(name) for name in items["micrograph_name"]]
    if motion:
        columns["rlnMicrographMetadata"] = [motion.get(number, "") for number in items["id"]]
    rows = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).hstack(item_table(items, leave_out=("id",)))
    return rows, [directory / file for file in motion.values()]


def _unweighted(name: str) -> str:
    return f"micrographs/{name}_noDW.mrc"


def _micrograph_optics(micrographs: Micrographs, related: Mapping[str, Dataset]) -> pl.DataFrame:
    sizes = micrographs.of_groups("pixel_size")
    return optics_table(micrographs.optics, original_pixel_size=original_sizes(sizes, related), micrograph_pixel_size=sizes)


def _motion_files(micrographs: Micrographs, items: pl.DataFrame, directory: Path, related: Mapping[str, Dataset]) -> dict[int, str]:
    """Write the motion STAR of every micrograph whose trajectory is known; return them by micrograph id.

    None for those that show a part of their frames: RELION takes micrographs for whole frames, and would look for particles elsewhere.
    """
    if not {"shift_x", "shift_y"} <= set(items.columns):
        return {}
    movies = related.get("movies")
    known = {(row["id"], row["movie_name"]): row for row in movies.to_polars().iter_rows(named=True)} if movies is not None else {}
    gain = {"rlnMicrographGainName": "gain.mrc"} if movies is not None and movies.meta.get("gain_path") else {}
    groups = micrographs.groups
    files = {}
    for row in items.iter_rows(named=True):
        group, movie = groups[row["optics_group"]], known.get((row["id"], row["micrograph_name"]))
        if row["shift_x"] is None or _is_part(row, group, movie):
            continue
        files[row["id"]] = f"motion/{row['micrograph_name']}.star"
        blocks = _motion_blocks(row, group, movie, gain)
        write_star(directory / files[row["id"]], blocks)
    return files


def _is_part(row: dict[str, Any], group: dict[str, Any], movie: dict[str, Any] | None) -> bool:
    """Return whether a micrograph shows a part of its movie's frames."""
    if any(start_of(group)):
        return True
    binning = 1.0 if movie is None else group["pixel_size"] / movie["pixel_size"]
    return movie is not None and any(movie[side] - row[side] * binning > binning for side in ("width", "height"))


def _motion_blocks(row: dict[str, Any], group: dict[str, Any], movie: dict[str, Any] | None, gain: dict[str, str]) -> dict[str, Any]:
    first = int(row.get("first_frame") or 1)
    count = len(row["shift_x"])
    size = movie["pixel_size"] if movie else group.get("original_pixel_size", group["pixel_size"])
    binning = group["pixel_size"] / size
    frames = movie["frames"] if movie else first - 1 + count
    # A trajectory of all frames starts at frame 1; one of the used frames starts at the first of them.
    start = 1 if count == frames else first
    acquired = movie or group
    model = row.get("motion_model")
    general = {
        "rlnImageSizeX": movie["width"] if movie else round(row["width"] * binning),
        "rlnImageSizeY": movie["height"] if movie else round(row["height"] * binning),
        "rlnImageSizeZ": frames,
        "rlnMicrographMovieName": movie_file(movie["movie_name"], movie["movie_path"]) if movie else row["micrograph_name"],
        **gain,
        "rlnMicrographBinning": round(binning, 6),
        "rlnMicrographOriginalPixelSize": size,
        "rlnMicrographDoseRate": acquired.get("dose_per_frame") or 0.0,
        "rlnMicrographPreExposure": acquired.get("pre_exposure") or 0.0,
        "rlnVoltage": group["voltage"],
        "rlnMicrographStartFrame": first,
        "rlnMotionModelVersion": 0 if model is None else 1,
    }
    if movie and movie.get("eer_grouping"):
        general |= {"rlnEERGrouping": movie["eer_grouping"], "rlnEERUpsampling": movie["eer_upsampling"]}
    shifts = {
        "rlnMicrographFrameNumber": range(start, start + count),
        "rlnMicrographShiftX": row["shift_x"],
        "rlnMicrographShiftY": row["shift_y"],
    }
    blocks: dict[str, Any] = {"general": general, "global_shift": pl.DataFrame(shifts)}
    if model is not None:
        if len(model) != MOTION_COEFFICIENTS:
            raise ValueError(
                f"motion_model of {row['micrograph_name']}: {len(model)} coefficients, RELION's model has {MOTION_COEFFICIENTS}"
            )
        coefficients = {"rlnMotionModelCoeffsIdx": range(MOTION_COEFFICIENTS), "rlnMotionModelCoeff": model}
        blocks["local_motion_model"] = pl.DataFrame(coefficients)
    return blocks


def export_ctfs(ctfs: CTFs, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``micrographs_ctf.star``: the micrographs of `related` with the CTF of each; those without one are left out."""
    micrographs, items = with_transfer_functions(ctfs, related)
    rows, _ = _micrographs(micrographs, items, directory, related)
    rows = rows.with_columns(rlnCtfAstigmatism=(pl.col("rlnDefocusU") - pl.col("rlnDefocusV")).abs())
    path = directory / "micrographs_ctf.star"
    write_star(path, {"optics": _micrograph_optics(micrographs, related), "micrographs": rows})
    return [path]


def export_coordinates(coordinates: Coordinates, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    """Write one STAR a micrograph below ``autopick/``, RELION 3.1's ``coords_suffix_autopick.star`` and RELION 4's ``autopick.star``.

    For ``relion_preprocess``: ``--coord_dir autopick/ --coord_suffix _autopick.star``.
    """
    items = enabled(coordinates).sort("micrograph_id", maintain_order=True)
    items = on_micrographs(items, coordinates.groups, related.get("micrographs"), picked_at="pixel_size")
    listed = []
    for (name,), rows in items.group_by("micrograph_name", maintain_order=True):
        file = f"autopick/micrographs/{name}_autopick.star"
        table = item_table(rows, leave_out=("optics_group",))
        if "rlnAutopickFigureOfMerit" in table.columns:
            table = table.with_columns(pl.col("rlnAutopickFigureOfMerit").fill_null(-999.0))
        write_star(directory / file, {"": table})
        listed.append((micrograph_file(str(name)), file))
    path = directory / "autopick.star"
    schema = {"rlnMicrographName": pl.String, "rlnMicrographCoordinates": pl.String}
    write_star(path, {"coordinate_files": pl.DataFrame(listed, schema=schema, orient="row")})
    suffix = directory / "autopick" / "coords_suffix_autopick.star"
    suffix.write_text("corrected_micrographs.star\n", encoding="utf-8")
    return [path, suffix]
