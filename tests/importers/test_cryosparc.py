"""Exports of cryoSPARC: tables, groups and folders of groups, used at once."""

from pathlib import Path

import numpy as np
import pytest

from cryoloom.app.session import create_project
from cryoloom.app.workflow import import_workflow
from cryoloom.formats.mrc import write_mrc
from cryoloom.importers.cryosparc import read_group
from cryoloom.spec import WrongUse

GROUP = """# exported
created: '2024-05-01 10:00:00'
group:
    description: All particles: that were "kept"
    name: {name}
    type: {kind}
results:
    {first}:
        metafile: '>{first}.cs'
        num_items: 2
        type: {kind}.{first}
    {second}:
        metafile: ">{second}.cs"
        num_items: 2
version: v4.4.1
"""


def table(path: Path, uids: list[int], **columns: object) -> None:
    """Write a table; a column's double underscore is a slash."""
    arrays = {"uid": np.array(uids, np.uint64), **{name.replace("__", "/"): np.array(value) for name, value in columns.items()}}
    data = np.empty(len(uids), dtype=[(name, each.dtype, each.shape[1:]) for name, each in arrays.items()])
    for name, each in arrays.items():
        data[name] = each
    with path.open("wb") as handle:
        np.save(handle, data)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Return an export folder: micrographs, positions on them, particles in two tables, a map with its halves."""
    folder = tmp_path / "export"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for name, shape in (
        ("mic.mrc", (96, 128)),
        ("boxes.mrc", (2, 16, 16)),
        ("map.mrc", (16,) * 3),
        ("a.mrc", (16,) * 3),
        ("b.mrc", (16,) * 3),
    ):
        write_mrc(folder / name, rng.normal(size=shape).astype(np.float32), 2.0)
    ctf = {"ctf__accel_kv": [200.0] * 2, "ctf__cs_mm": [1.4] * 2, "ctf__amp_contrast": [0.08] * 2}
    table(folder / "blob.cs", [7, 8], blob__path=[b">boxes.mrc"] * 2, blob__idx=[0, 1], blob__psize_A=[2.0] * 2, blob__sign=[-1.0] * 2)
    where = {"location__center_x_frac": [0.3, 0.6], "location__center_y_frac": [0.4, 0.5], "location__micrograph_shape": [[96, 128]] * 2}
    table(folder / "passthrough.cs", [8, 7], location__micrograph_path=[b"mic.mrc"] * 2, **where, **ctf)
    table(
        folder / "micrograph_blob.cs",
        [1],
        micrograph_blob__path=[b">mic.mrc"],
        micrograph_blob__psize_A=[2.0],
        **{k: v[:1] for k, v in ctf.items()},
    )
    table(folder / "location.cs", [7, 8], location__micrograph_path=[b"mic.mrc"] * 2, **where)
    halves = {"map_half_A__path": [b">a.mrc"], "map_half_B__path": [b">b.mrc"]}
    table(folder / "map.cs", [1], map__path=[b">map.mrc"], map__psize_A=[2.0], **halves)
    table(folder / "other.cs", [1], strange__value=[1.0])
    for name, kind, first, second in (
        ("J5_particles", "particle", "passthrough", "blob"), ("J3_micrographs", "exposure", "micrograph_blob", "micrograph_blob"),
        ("J4_picks", "particle", "location", "location"), ("J6_volume", "volume", "map", "map"), ("J7_other", "other", "other", "other"),
    ):  # fmt: skip
        (folder / f"{name}.csg").write_text(GROUP.format(name=name, kind=kind, first=first, second=second))
    return folder


def test_a_folder_of_groups_can_be_used_at_once(export, tmp_path):
    project = create_project(tmp_path / "project")
    done = project.import_workflow(export)
    assert done.results and done.counts == {"groups": 5, "imports": 4, "placeholders": 1}
    assert sorted(run.protocol for run in project.carry_out(threads=1)) == [
        "import.coordinates", "import.micrographs", "import.particles", "import.volume",
    ]  # fmt: skip
    particles = project.find("J5_particles").outputs.particles
    assert particles.count == 2 and particles.optics[0]["voltage"] == 200 and "x" in particles.items.columns
    assert project.find("J4_picks").outputs.coordinates.items["x"].to_list() == pytest.approx([0.3 * 128, 0.6 * 128])
    assert project.find("J3_micrographs").parameters["cs"] == 1.4 and project.find("J6_volume").parameters["half_map2"].endswith("b.mrc")
    assert project.find("J7_other").state == "needs-you" and project.find("J7_other").placeholder


def test_positions_alone_ask_for_micrographs(export, tmp_path):
    project = create_project(tmp_path / "project")
    project.run("import.micrographs", pattern=str(export / "mic.mrc"), pixel_size=2.0, name="mics", threads=1)
    alone = project.import_workflow(export / "location.cs").planted
    assert alone and "micrographs has to be given" in alone.runs["location"].reason
    project.import_workflow(export / "location.cs", {"location.micrographs": "mics"})
    assert [run.outputs.coordinates.count for run in project.carry_out(threads=1)] == [2]


def test_a_table_finds_the_passthrough_of_its_job(export):
    (export / "blob.cs").rename(export / "P1_J9_particles.cs")
    (export / "passthrough.cs").rename(export / "P1_J9_passthrough_particles.cs")
    node = import_workflow(None, export / "P1_J9_particles.cs").workflow.nodes[0]
    assert node.origin and node.origin.record["passthrough"] == "P1_J9_passthrough_particles.cs" and "passthrough" in node.parameters


def test_groups_are_read_as_they_are_written(export):
    group = read_group(export / "J5_particles.csg")
    assert group["group"] == {"description": 'All particles: that were "kept"', "name": "J5_particles", "type": "particle"}
    assert group["results"]["blob"] == {"metafile": ">blob.cs", "num_items": "2"} and group["version"] == "v4.4.1"


def test_a_group_without_its_tables_is_refused(export):
    (export / "blob.cs").unlink()
    with pytest.raises(WrongUse, match="blob.cs is not there"):
        import_workflow(None, export / "J5_particles.csg")


def test_real_tables(test_data):
    for path in sorted((test_data / "cryosparc-cs").glob("*particles*.cs")):
        assert import_workflow(None, path).workflow.nodes[0].protocol == "import.particles"
