"""Exports of cryoSPARC: a table (``.cs``), a group of tables (``.csg``) or a folder of groups, as imports that can be used at once."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from cryoloom.formats.cryosparc import read_cs
from cryoloom.formats.sources import patterns_of, resolved
from cryoloom.spec import Protocol, WrongUse
from cryoloom.spec.workflow import Node, Origin, Reading, Value, Workflow

PROGRAM = "cryosparc"

Find = Callable[[str], type[Protocol] | None]

_LINE = re.compile(r"(?P<indent> *)(?:- )?(?P<key>[^:#]+?):(?: +(?P<value>.*?))?\s*")


def recognises(path: Path) -> bool:
    """Return whether `path` is a table or group of cryoSPARC, or a folder with groups."""
    return path.suffix in (".cs", ".csg") if path.is_file() else any(path.glob("*.csg"))


def read(path: Path, given: dict[str, str], find: Find) -> Reading:
    """Read the tables and say which imports bring them in."""
    path = path.absolute()
    groups = sorted(path.glob("*.csg")) if path.is_dir() else [path]
    nodes: list[Node] = []
    messages: list[str] = []
    for place, group in enumerate(groups):
        node, told = _node(group, place)
        nodes.append(node)
        messages += told
    micrographs = next((node.id for node in nodes if node.protocol == "import.micrographs"), "")
    for node in nodes:
        if node.protocol == "import.coordinates" and micrographs:
            node.inputs["micrographs"] = f"{micrographs}.micrographs"
    placeholders = sum(":" in node.protocol for node in nodes)
    counts = {"groups": len(groups), "imports": len(nodes) - placeholders, "placeholders": placeholders}
    return Reading(Workflow(name=path.stem, program="cryoSPARC", nodes=nodes), counts, messages, results=True)


def _node(group: Path, place: int) -> tuple[Node, list[str]]:
    record, tables = _tables(group)
    columns = [read_cs(table) for table in tables]
    names = {name for table in columns for name in table.dtype.names or ()}
    protocol, parameters = _import(tables, columns, names)
    name = re.sub(r"[^\w-]+", "_", group.stem)
    origin = Origin(program=PROGRAM, name=group.name, record=record, position=place, source=blake3(group.read_bytes()).hexdigest()[:16])
    node = Node(id=name, protocol=protocol or f"{PROGRAM}:{group.suffix[1:]}", label=name, origin=origin)
    node.parameters = {key: Value(value=value) for key, value in parameters.items() if value not in (None, "", [])}
    if not protocol:
        node.needs[""] = "holds neither images, positions nor maps that could be imported; it is kept as a record and never run"
    told = [f"{group.name}: {len(tables)} tables; the first two are read."] if len(tables) > 2 else []
    return node, told


def _tables(group: Path) -> tuple[dict[str, Any], list[Path]]:
    """Return what a group says, and its tables, the one with images or poses first."""
    if group.suffix == ".csg":
        record = read_group(group)
        found = dict.fromkeys(str(each.get("metafile", "")).removeprefix(">") for each in record.get("results", {}).values())
        tables = [resolved(file, group) for file in found if file]
        missing = [file for file, table in zip((file for file in found if file), tables, strict=True) if table is None]
        if missing or not tables:
            what = f"{missing[0]} is not there" if missing else "it names no table"
            raise WrongUse("cryosparc-group", f"{group}: {what}.", "Copy the whole export folder.")
        return record, sorted((table for table in tables if table), key=lambda table: "passthrough" in table.name)
    beside = _passthrough(group)
    return {"metafile": group.name, **({"passthrough": beside.name} if beside else {})}, [group, *([beside] if beside else [])]


def _passthrough(table: Path) -> Path | None:
    """Return the passthrough table of the same job that holds all particles of `table`."""
    job = re.search(r"J\d+", table.name)
    if job is None or "passthrough" in table.name:
        return None
    wanted = read_cs(table)["uid"]
    for other in sorted(table.parent.glob("*passthrough*.cs")):
        same = re.search(r"J\d+", other.name)
        if same and same[0] == job[0] and np.isin(wanted, read_cs(other)["uid"]).all():
            return other
    return None


def read_group(path: Path) -> dict[str, Any]:
    """Read the part of YAML that cryoSPARC writes groups in: names and plain values, nested by indentation; nothing else is understood."""
    root: dict[str, Any] = {}
    levels: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        indent = len(match["indent"])
        while levels[-1][0] >= indent:
            levels.pop()
        below: dict[str, Any] = {}
        levels[-1][1][_unquoted(match["key"])] = _unquoted(match["value"]) if match["value"] else below
        if not match["value"]:
            levels.append((indent, below))
    return root


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _import(tables: list[Path], columns: list[Any], names: set[str]) -> tuple[str, dict[str, Any]]:
    """Return the import that brings tables in, and its parameters; an empty id where there is none."""

    def column(name: str) -> list[Any]:
        for table in columns:
            if name in (table.dtype.names or ()):
                return table[name].tolist()
        return []

    def first(*wanted: str) -> Any:
        return next((round(float(values[0]), 6) for name in wanted if (values := column(name))), None)

    def places(name: str) -> list[Path]:
        texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in column(name)]
        plain = [text.removeprefix(">") for text in texts]
        return [resolved(text, tables[0]) or tables[0].parent / text for text in plain]

    scope = {
        "voltage": first("mscope_params/accel_kv", "ctf/accel_kv"),
        "cs": first("mscope_params/cs_mm", "ctf/cs_mm"),
        "amplitude_contrast": first("ctf/amp_contrast"),
    }
    if "blob/path" in names:
        return "import.particles", {"path": str(tables[0]), "passthrough": str(tables[1]) if len(tables) > 1 else ""}
    if "micrograph_blob/path" in names:
        images = {"pattern": patterns_of(places("micrograph_blob/path")), "pixel_size": first("micrograph_blob/psize_A")}
        return "import.micrographs", images | scope
    if "movie_blob/path" in names:
        gains = [str(place) for place in places("gain_ref_blob/path") if place.is_file()]
        frames, dose = column("movie_blob/shape"), first("mscope_params/total_dose_e_per_A2")
        per_frame = round(dose / frames[0][0], 6) if dose and frames else None
        images = {"pattern": patterns_of(places("movie_blob/path")), "pixel_size": first("movie_blob/psize_A"), "dose_per_frame": per_frame}
        return "import.movies", images | scope | {"gain": gains[0] if gains else ""}
    if "location/center_x_frac" in names:
        holder = next(table for table, data in zip(tables, columns, strict=True) if "location/center_x_frac" in (data.dtype.names or ()))
        return "import.coordinates", {"path": [str(holder)]}
    if "map/path" in names:
        maps = {"path": places("map/path"), "half_map1": places("map_half_A/path"), "half_map2": places("map_half_B/path")}
        return "import.volume", {name: str(found[0]) for name, found in maps.items() if found} | {"pixel_size": first("map/psize_A")}
    return "", {}
