"""Runs over both nodes of a real Slurm of two, which are killed while they work."""

import pytest

from cryoloom.engine import launch
from cryoloom.spec import Failure

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.xdist_group("slurm")]

pytest.importorskip("dask_jobqueue", reason="needs cryoloom[cluster]")

THREADS = 3
"""Of the four of a node, so that no node has two of a run's jobs."""


def hashes(run):
    return [output.hash for output in run.outputs]


def test_a_map_over_two_nodes_gives_the_hashes_of_a_local_run(project, cluster, until, tmp_path):
    from cryoloom.app.session import create_project

    other = create_project(tmp_path / "other")
    local = other.run("toy.add", things=other.run("toy.source", count=40).outputs.things, seed=5)
    source = project.run("toy.source", count=40)
    far = project.run("toy.add", {"pause": 0.5}, things=source.outputs.things, seed=5, target="slurm", threads=THREADS, nodes=2)
    assert far.state == "finished"
    assert {path.name for path in (far.folder.path / "places").iterdir()} == {"n1", "n2"}
    assert hashes(far) == hashes(local)
    assert not (far.folder.path / "nodes").exists()
    until(lambda: not _in_queue(cluster), "an empty queue")


def _begun(project, cluster, until, things):
    """Return a run over two nodes that is at work on both."""
    run = project.run("toy.add", {"pause": 0.7}, things=things, target="slurm", threads=THREADS, nodes=2, wait=False)
    until(lambda: {path.name for path in (run.folder.path / "places").glob("*")} == {"n1", "n2"}, "work on both nodes", 50)
    return run


def _lead_node(cluster, run):
    job = run.folder.of_attempt("launch", 1)["job"]
    return cluster.command("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()


def _in_queue(cluster):
    return cluster.command("squeue", "--noheader", "--format=%j").split()


def test_a_node_is_killed_and_its_items_are_computed_elsewhere(project, cluster, until):
    source = project.run("toy.source", count=100)
    run = _begun(project, cluster, until, source.outputs.things)
    other = next(node for node in ("n1", "n2") if node != _lead_node(cluster, run))
    cluster.kill_node(other)
    cluster.start_node(other)
    until(lambda: len(list(run.folder.path.glob("log.1.node-*"))) == 2, "another job in the place of the lost one", 50)
    assert run.wait().state == "finished"
    assert run.folder.attempt() == 1 and not run.describe()["failed_items"]
    assert run.outputs.things.items["value"].to_list() == [10.0 * n + 1 for n in range(1, 101)]


def test_scancel_of_the_lead_leaves_no_job(project, cluster, until):
    run = _begun(project, cluster, until, project.run("toy.source", count=200).outputs.things)
    assert len(_in_queue(cluster)) == 2
    cluster.command("scancel", run.folder.of_attempt("launch", 1)["job"])
    until(lambda: not _in_queue(cluster), "an empty queue", 40)
    assert run.state == "stopped" and launch.nodes_of(run.folder) == 2


def test_when_the_node_of_the_lead_is_gone_so_are_the_others(project, cluster, until):
    run = _begun(project, cluster, until, project.run("toy.source", count=200).outputs.things)
    lead = _lead_node(cluster, run)
    cluster.kill_node(lead)
    try:
        until(
            lambda: (
                cluster.command("sinfo", "--noheader", "--Node", f"--nodes={'n1' if lead == 'n2' else 'n2'}", "--format=%t").strip()
                == "idle"
            ),
            "the other node idle",
            40,
        )
    finally:
        cluster.start_node(lead)


def test_blocks_over_two_nodes_one_of_which_is_killed_are_those_of_threads(project, cluster, until):
    whole = project.run("toy.blocks", seed=3, threads=2)
    run = project.run("toy.blocks", {"pause": 0.3}, seed=3, target="slurm", threads=THREADS, nodes=2, wait=False)
    until(lambda: {path.name for path in (run.folder.path / "places").glob("*")} == {"n1", "n2"}, "work on both nodes", 50)
    other = next(node for node in ("n1", "n2") if node != _lead_node(cluster, run))
    cluster.kill_node(other)
    try:
        assert run.wait().folder.attempt() == 1
    finally:
        cluster.start_node(other)
    assert run.outputs.things.items.equals(whole.outputs.things.items)


def test_where_compute_nodes_may_not_submit_the_cure_is_named(project, tmp_path):
    (tmp_path / "cluster.toml").write_text('memory = "500M"\npoll = 0.5\nprologue = ["export PATH=/nowhere"]\n')
    source = project.run("toy.source", count=10)
    with pytest.raises(Failure, match="cannot be submitted from the node of the run.*no sbatch") as caught:
        project.run("toy.add", things=source.outputs.things, target="slurm", threads=THREADS, nodes=2)
    assert "--nodes 1" in str(caught.value)


def test_a_refinement_over_two_nodes_has_the_bits_of_a_local_one(project, tmp_path):
    from cryoloom.app.session import create_project
    from cryoloom.app.simulation import simulate

    simulate(tmp_path / "data", "s0", 3, overrides={"particles": "100", "box": "32", "pixel_size": "7"}, threads=1)

    def refined(where, name, **how):
        particles = where.run("import.particles", path=str(tmp_path / "data/particles.star")).outputs.particles
        reference = where.run("import.volume", path=str(tmp_path / "data/truth/volume.mrc")).outputs.volume
        asked = {"particles": particles, "reference": reference, "mask_diameter": 170.0, "initial_lowpass": 50.0, "iterations": 3}
        return where.run("refine.auto", asked, name=name, **how)

    refined(create_project(tmp_path / "first"), "first", threads=1)  # compiles every kernel: before it is kept, its last bit may differ
    local = refined(create_project(tmp_path / "other"), "local", threads=1)
    far = refined(project, "far", threads=THREADS, target="slurm", nodes=2)
    assert hashes(far) == hashes(local)
