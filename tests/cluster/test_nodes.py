"""Runs over both nodes of a real Slurm of two, which are killed while they work."""

import pytest

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.xdist_group("slurm")]

pytest.importorskip("dask_jobqueue", reason="needs cryoloom[cluster]")

THREADS = 3
"""Of the four of a node, so that no node has two of a run's jobs."""


def hashes(run):
    return [output.hash for output in run.outputs]


def test_a_map_over_two_nodes_gives_the_hashes_of_a_local_run(project, cluster, tmp_path):
    from cryoloom.app.session import create_project

    other = create_project(tmp_path / "other")
    local = other.run("toy.add", things=other.run("toy.source", count=40).outputs.things, seed=5)
    source = project.run("toy.source", count=40)
    far = project.run("toy.add", {"pause": 0.5}, things=source.outputs.things, seed=5, target="slurm", threads=THREADS, nodes=2)
    assert far.state == "finished"
    assert {path.name for path in (far.folder.path / "places").iterdir()} == {"n1", "n2"}
    assert far.outputs.things.items.equals(local.outputs.things.items)
    assert not (far.folder.path / "nodes").exists()
    assert far.folder.of_attempt("launch", 1)["job_name"] not in cluster.command("squeue", "--noheader", "--states=R,PD", "--format=%j")
