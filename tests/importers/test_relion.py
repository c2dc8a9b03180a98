"""A RELION project: what its jobs gave can be used at once, the rest is kept on record."""

import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cryoloom.app.session import create_project
from cryoloom.app.workflow import import_workflow, known
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.star import read_star, write_star
from cryoloom.importers import relion
from cryoloom.spec import WrongUse

OPTICS = {
    "rlnOpticsGroupName": "og1",
    "rlnOpticsGroup": 1,
    "rlnVoltage": 200.0,
    "rlnSphericalAberration": 1.4,
    "rlnAmplitudeContrast": 0.08,
}


def pipeline(root: Path, jobs: dict[str, tuple[int, str, list[str], dict[str, int]]]) -> None:
    """Write a pipeline: job to type, alias, files taken, files given with their types."""
    nodes = {file: kind for _, _, _, files in jobs.values() for file, kind in files.items()}
    taken = [(file, job) for job, (_, _, files, _) in jobs.items() for file in files]
    given = [(job, file) for job, (_, _, _, files) in jobs.items() for file in files]
    write_star(
        root / "default_pipeline.star",
        {
            "pipeline_general": {"rlnPipeLineJobCounter": len(jobs) + 1},
            "pipeline_processes": pl.DataFrame(
                [(job, alias, kind, 2) for job, (kind, alias, _, _) in jobs.items()], orient="row",
                schema=["rlnPipeLineProcessName", "rlnPipeLineProcessAlias", "rlnPipeLineProcessType", "rlnPipeLineProcessStatus"],
            ),
            "pipeline_nodes": pl.DataFrame(list(nodes.items()), orient="row", schema=["rlnPipeLineNodeName", "rlnPipeLineNodeType"]),
            "pipeline_input_edges": pl.DataFrame(taken, orient="row", schema=["rlnPipeLineEdgeFromNode", "rlnPipeLineEdgeProcess"]),
            "pipeline_output_edges": pl.DataFrame(given, orient="row", schema=["rlnPipeLineEdgeProcess", "rlnPipeLineEdgeToNode"]),
        },
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small RELION project: micrographs, coordinates, particles, a refinement with its half maps, and what nobody can import."""
    root = tmp_path / "relion"
    rng = np.random.default_rng(3)
    names = [f"MotionCorr/job002/movies/m{number}.mrc" for number in (1, 2)]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_mrc(root / name, rng.normal(size=(96, 128)).astype(np.float32), 2.0)
    rows = pl.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": [1, 1]})
    write_star(
        root / "MotionCorr/job002/corrected_micrographs.star", {"optics": {**OPTICS, "rlnMicrographPixelSize": 2.0}, "micrographs": rows}
    )
    for name in names:
        places = pl.DataFrame({"rlnCoordinateX": [30.0, 70.0], "rlnCoordinateY": [40.0, 50.0]})
        write_star(root / f"AutoPick/job003/movies/{Path(name).stem}_autopick.star", {"": places})
    (root / "AutoPick/job003/coords_suffix_autopick.star").write_text("MotionCorr/job002/corrected_micrographs.star\n")
    options = pl.DataFrame({"rlnJobOptionVariable": ["log_diam_max", "fn_ref"], "rlnJobOptionValue": ["160", "with space"]})
    write_star(root / "AutoPick/job003/job.star", {"job": {"rlnJobType": 4}, "joboptions_values": options})
    (root / "Extract/job004").mkdir(parents=True)
    write_mrc(root / "Extract/job004/m.mrcs", rng.normal(size=(4, 16, 16)).astype(np.float32), 2.0)
    images = {"rlnImageName": [f"{number}@Extract/job004/m.mrcs" for number in range(1, 5)], "rlnMicrographName": names * 2}
    ctf = {"rlnDefocusU": [1e4] * 4, "rlnDefocusV": [1e4] * 4, "rlnDefocusAngle": [0.0] * 4, "rlnOpticsGroup": [1] * 4}
    optics = {**OPTICS, "rlnImagePixelSize": 2.0, "rlnImageSize": 16, "rlnImageDimensionality": 2}
    write_star(root / "Extract/job004/particles.star", {"optics": optics, "particles": pl.DataFrame(images | ctf)})
    (root / "Refine3D/job005").mkdir(parents=True)
    for name in ("run_class001", "run_half1_class001_unfil", "run_half2_class001_unfil"):
        write_mrc(root / f"Refine3D/job005/{name}.mrc", rng.normal(size=(16, 16, 16)).astype(np.float32), 2.0)
    pipeline(
        root,
        {
            "MotionCorr/job002/": (1, "None", [], {"MotionCorr/job002/corrected_micrographs.star": 1, "MotionCorr/job002/logfile.pdf": 13}),
            "AutoPick/job003/": (
                4, "AutoPick/log/", ["MotionCorr/job002/corrected_micrographs.star"], {"AutoPick/job003/coords_suffix_autopick.star": 2},
            ),
            "Extract/job004/": (5, "None", ["AutoPick/job003/coords_suffix_autopick.star"], {"Extract/job004/particles.star": 3}),
            "Refine3D/job005/": (
                10, "Refine3D/first/", ["Extract/job004/particles.star"],
                {"Refine3D/job005/run_half1_class001_unfil.mrc": 10, "Refine3D/job005/run_class001.mrc": 6},
            ),
            "LocalRes/job006/": (16, "None", ["Refine3D/job005/run_half1_class001_unfil.mrc"], {"LocalRes/job006/flowchart.pdf": 13}),
            "LocalRes/job007/": (16, "None", ["Refine3D/job005/run_class001.mrc"], {"LocalRes/job007/relion_locres.mrc": 12}),
        },
    )  # fmt: skip
    return root


def test_what_jobs_gave_can_be_used_at_once(root, tmp_path):
    project = create_project(tmp_path / "project")
    done = project.import_workflow(root)
    assert done.results and done.counts == {
        "jobs": 6, "imports": 4, "placeholders": 2, "files imported": 4, "files left aside": 4, "edges": 5,
    }  # fmt: skip
    assert [run.protocol for run in project.carry_out(threads=1)] == [
        "import.micrographs", "import.coordinates", "import.particles", "import.volume",
    ]  # fmt: skip
    micrographs = project.find("MotionCorr job002")
    assert micrographs.outputs.micrographs.count == 2 and micrographs.outputs.micrographs.optics[0]["voltage"] == 200
    assert project.find("log").outputs.coordinates.count == 4
    assert project.find("Extract job004").outputs.particles.count == 4
    volume = project.find("first").outputs.volume.items.row(0, named=True)
    assert any("half" in name and value for name, value in volume.items())
    assert project.find("log").folder.origin()["record"]["options"] == {"log_diam_max": "160", "fn_ref": "with space"}
    waiting = [run for run in project.runs() if run.placeholder]
    assert [run.protocol for run in waiting] == ["relion:LocalRes"] * 2 and all(run.state == "needs-you" for run in waiting)
    assert waiting[1].inputs["input"][0]["run"] == project.find("first").id


def test_transfer_functions_come_with_their_micrographs(root):
    star = root / "MotionCorr/job002/corrected_micrographs.star"
    blocks = read_star(star)
    fitted = blocks["micrographs"].with_columns(rlnDefocusU=pl.lit(1e4), rlnDefocusV=pl.lit(1e4), rlnDefocusAngle=pl.lit(0.0))
    write_star(star, {**blocks, "micrographs": fitted})
    found = relion.read(root, {}, lambda name: known("import.micrographs") if name == "import.ctfs" else known(name))
    node = next(node for node in found.workflow.nodes if node.protocol == "import.ctfs")
    assert node.inputs == {"micrographs": "MotionCorr-job002-micrographs.micrographs"} and node.parameters["path"].value == [str(star)]


def test_the_pipeline_itself_will_do(root):
    assert relion.recognises(root / "default_pipeline.star") and relion.recognises(root) and not relion.recognises(root.parent)
    assert import_workflow(None, root / "default_pipeline.star").counts["jobs"] == 6


def test_a_job_outside_the_project_is_refused(root):
    text = (root / "default_pipeline.star").read_text()
    (root / "default_pipeline.star").write_text(text.replace("LocalRes/job006/", "../../job006/"))
    with pytest.raises(WrongUse, match="no job of a RELION project"):
        import_workflow(None, root)


def test_a_real_pipeline_is_read(test_data, tmp_path):
    (tmp_path / "default_pipeline.star").write_bytes((test_data / "relion-star/default_pipeline.star").read_bytes())
    done = import_workflow(None, tmp_path)
    assert done.counts["jobs"] == 31 and done.counts["imports"] + done.counts["placeholders"] == len(done.workflow.nodes)
    node = next(node for node in done.workflow.nodes if node.id == "Refine3D-job019-volume")
    assert node.label == "first3dref volume" and node.origin and node.origin.record["process"]["rlnPipeLineProcessType"] == 10


@pytest.mark.relion
def test_a_project_that_relion_made(tmp_path):
    """Movies imported and picked by RELION's own pipeliner."""
    root = tmp_path / "relion"
    root.mkdir()
    rng = np.random.default_rng(5)
    for number in (1, 2):
        write_mrc(root / f"mic{number}.mrc", rng.normal(size=(256, 256)).astype(np.float32), 4.0)
    (root / "default_pipeline.star").write_text(
        "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter                       1\n\n"
    )
    acquired = "is_multiframe == No;angpix == 4;kV == 300;Cs == 2.0;Q0 == 0.1;do_raw == Yes"
    jobs = [
        ("Import", f"fn_in_raw == mic*.mrc;{acquired}"),
        (
            "AutoPick",
            "fn_input_autopick == Import/job001/micrographs.star;do_log == Yes;log_diam_min == 90;log_diam_max == 130;nr_mpi == 1",
        ),
    ]
    for number, (kind, options) in enumerate(jobs, 1):
        try:
            for words in (
                ["--addJob", kind, "--addJobOptions", options],
                ["--RunJobs", f"{kind}/job{number:03d}/", "--sec_wait_after", "0"],
            ):
                subprocess.run(["relion_pipeliner", *words], cwd=root, capture_output=True, check=False, timeout=120)
        except FileNotFoundError:
            pytest.skip("relion_pipeliner is not installed")
    project = create_project(tmp_path / "project")
    project.import_workflow(root)
    done = list(project.carry_out(threads=1))
    assert [run.protocol for run in done] == ["import.micrographs", "import.coordinates"]
    assert done[0].outputs.micrographs.count == 2 and done[0].parameters["pixel_size"] == 4 and done[1].outputs.coordinates.count > 0
