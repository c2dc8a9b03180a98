import numpy as np
import polars as pl
import pytest
import torch
from plain_job import PlainJob

from cryoloom.data import Classes2D, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.reconstruct.symmetry import turned_map
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import density, project
from cryoloom.protocols.initial.consensus import VolumeConsensus
from cryoloom.spec import Failure

BOX, PIXEL_SIZE = 32, 7.0
MASK = 170.0


@pytest.fixture(scope="module")
def truth():
    return density(p80(), BOX, PIXEL_SIZE)


def volume_of(root, name, data, pixel_size=PIXEL_SIZE):
    (root / "maps").mkdir(exist_ok=True)
    write_mrc(root / f"maps/{name}.mrc", np.asarray(data, np.float32), pixel_size, volume=True)
    items = pl.DataFrame({"id": [1], "volume_path": [f"maps/{name}.mrc"], "box_size": [len(data)]})
    return Volume(items, root, meta={"pixel_size": pixel_size})


def classes_of(root, count=24, **columns):
    rng = np.random.default_rng(3)
    clean = np.stack([project(p80(), pose_matrix(*pose), BOX, PIXEL_SIZE) for pose in uniform_poses(count, rng)])
    write_stack(root / "averages.mrcs", clean + rng.normal(size=clean.shape) * 0.4 * clean.std(), PIXEL_SIZE)
    ids = np.arange(1, count + 1)
    items = {"id": ids, "class_id": ids, "stack_path": ["averages.mrcs"] * count, "stack_index": ids - 1, "count": ids + 20} | columns
    return Classes2D(pl.DataFrame(items), root, meta={"pixel_size": PIXEL_SIZE, "box_size": BOX})


@pytest.fixture(scope="module")
def ranked(tmp_path_factory, truth):
    """Return what becomes of the truth turned and of the other hand, a coarser one of another box and pixel size, a ball, and one that is no map."""
    other = turned_map(mirrored_map(truth), rotation_from_vector(np.array([0.4, -0.7, 0.3])))
    coarse = resample_volume(torch.from_numpy(lowpass(truth, PIXEL_SIZE, 30.0)), 28).numpy()
    ball = spherical_mask(BOX, 8.0, 3.0)
    broken = np.where(ball > 0.5, np.nan, ball)
    made = {"truth": truth, "other": other, "ball": ball, "broken": broken}
    root = tmp_path_factory.mktemp("project")
    candidates = [volume_of(root, name, data) for name, data in made.items()] + [volume_of(root, "coarse", coarse, 8.0)]
    job = PlainJob(root / "runs/r001", root)
    return VolumeConsensus(volumes=tuple(candidates), classes=classes_of(root), mask_diameter=MASK).run(job), job


def test_candidates_are_ranked_laid_on_the_best_and_the_wrong_one_named(ranked, truth):
    out, job = ranked
    table = out.volumes.items
    assert table["verdict"].to_list() == ["good", "good", "good", "bad"] and table["rank"].to_list() == [1, 2, 3, 4]
    assert set(table["name"][:2]) == {"truth", "other"} and table["name"][2:].to_list() == ["coarse", "ball"]
    assert out.volume.items["volume_path"][0] == table["volume_path"][0]
    # Of the two hands one is changed, and all lie on the best.
    assert table["mirrored"][1] and not table["mirrored"][0]
    best = read_mrc(out.volumes.file(table["volume_path"][0])).data
    for path, least in zip(table["volume_path"][1:3], (0.9, 0.9), strict=True):
        moved = read_mrc(out.volumes.file(path))
        assert moved.data.shape == best.shape and moved.pixel_size == pytest.approx(PIXEL_SIZE)
        assert fourier_shell_correlation(moved.data, best)[:7].min() > least
    matrix = np.array(out.volumes.meta["pairwise"])
    assert matrix.shape == (4, 4) and matrix[0, 1] > 0.9 > matrix[0, 3]
    said = "\n".join(job.warnings)
    assert "ball is a bad first map" in said and "a blob" in said
    assert "broken cannot be judged" in said and "constant or holds values that are not finite" in said
    assert "28 voxels at 8 Å is resampled to 32 at 7 Å" in said and "No candidate is good" not in said


def test_the_averages_carry_the_poses_of_the_best_and_the_report_is_whole(ranked, truth):
    out, _ = ranked
    rows = out.classes.items
    assert {"rot", "tilt", "psi", "origin_x", "origin_y", "correlation", "line_agreement"} <= set(rows.columns) and rows.height == 24
    assert rows["correlation"].min() > 0.7
    assert VolumeConsensus.summary(None, out) | {"its correlation with the averages": 0, "agreement at its poses": 0} == {
        "candidates": 4, "good": 3, "bad": "ball", "best": f"{out.volumes.items['name'][0]} (good)", "its correlation with the averages": 0,
        "agreement at its poses": 0, "hands changed to its": int(out.volumes.items["mirrored"].sum()),
    }  # fmt: skip
    panels = VolumeConsensus.model_construct(resolution=20.0).report(out)
    titles = [panel.title for panel in panels]
    assert {"Verdicts", "Scores", "Maps, laid on the best", "Correlations of the maps", "Shell correlation with the best"} <= set(titles)
    assert sum(title.startswith("Worst explained") for title in titles) == 4 == sum(title.startswith("Viewing") for title in titles)
    assert all(panel.html() for panel in panels)


def test_one_bad_map_alone_is_bad_and_particles_count_too(tmp_path, truth, simulated, checkpoint_job):
    ball, job = volume_of(tmp_path, "ball", spherical_mask(BOX, 8.0, 3.0)), checkpoint_job()
    out = VolumeConsensus(volumes=(ball,), classes=classes_of(tmp_path), mask_diameter=MASK).run(job)
    assert out.volume.items["verdict"].to_list() == ["bad"] and any("No candidate is good" in said for said in job.warnings)
    data = simulated(count=60, box=BOX, pixel_size=PIXEL_SIZE, snr=0.5, seed=6)
    both = (ball, data.volume)
    out = VolumeConsensus(volumes=both, classes=classes_of(tmp_path), mask_diameter=MASK, particles=data.particles, sample=50).run(
        checkpoint_job("r2")
    )
    gains = dict(out.volumes.items.select("name", "particle_gain").iter_rows())
    # The particles are of the second map, the averages are not.
    assert gains["truth"] > 1.5 * gains["ball"] > 0


def test_the_same_work_gives_the_same_bits(tmp_path, truth, checkpoint_job):
    maps = (volume_of(tmp_path, "truth", truth), volume_of(tmp_path, "mirror", mirrored_map(truth)))
    protocol = VolumeConsensus(volumes=maps, classes=classes_of(tmp_path, 12), mask_diameter=MASK)
    one, two = (protocol.run(checkpoint_job(name, threads=threads)) for name, threads in (("r1", 1), ("r2", 2)))
    paths = ("volume_path", "worst_path")
    assert one.volumes.items.drop(paths).equals(two.volumes.items.drop(paths))
    for path in paths:
        for first, second in zip(one.volumes.items[path], two.volumes.items[path], strict=True):
            assert one.volumes.file(first).read_bytes() == two.volumes.file(second).read_bytes()


def test_a_symmetry_that_a_map_has_not_is_said(tmp_path, truth, checkpoint_job):
    job = checkpoint_job()
    VolumeConsensus(volumes=(volume_of(tmp_path, "truth", truth),), classes=classes_of(tmp_path), mask_diameter=MASK, symmetry="C4").run(
        job
    )
    assert any("truth has not the symmetry C4" in said for said in job.warnings)


def test_what_cannot_be_done_is_refused(tmp_path, truth, checkpoint_job):
    volume = volume_of(tmp_path, "truth", truth)

    def hints(classes, volumes=(volume,), **values):
        protocol = VolumeConsensus(volumes=volumes, classes=classes, mask_diameter=MASK, **values)
        return {hint.parameter: hint.message for hint in protocol.check() if hint.error}

    four, classes = classes_of(tmp_path, 4), classes_of(tmp_path)
    assert not hints(classes)
    assert "no map" in hints(classes, volumes=())["volumes"]
    empty = Classes2D(classes.items.with_columns(count=pl.lit(0)), tmp_path, meta=classes.meta)
    assert "4 averages" in hints(four)["classes"] and "0 averages" in hints(empty)["classes"]
    assert "pixel size" in hints(Classes2D(classes.items, tmp_path))["classes"]
    assert "symmetry" in hints(classes, symmetry="Q2")
    write_stack(tmp_path / "larger.mrcs", np.zeros((1, 40, 40), np.float32), PIXEL_SIZE)
    mixed = classes.items.with_columns(
        stack_path=pl.when(pl.col("id") == 24).then(pl.lit("larger.mrcs")).otherwise("stack_path"),
        stack_index=pl.when(pl.col("id") == 24).then(0).otherwise("stack_index"),
    )
    with pytest.raises(Failure, match="40"):
        VolumeConsensus(volumes=(volume,), classes=Classes2D(mixed, tmp_path, meta=classes.meta), mask_diameter=MASK).run(checkpoint_job())
    flat = classes.items.with_columns(stack_path=pl.lit("flat.mrcs"))
    write_stack(tmp_path / "flat.mrcs", np.ones((24, BOX, BOX), np.float32), PIXEL_SIZE)
    with pytest.raises(Failure, match="constant"):
        VolumeConsensus(volumes=(volume,), classes=Classes2D(flat, tmp_path, meta=classes.meta), mask_diameter=MASK).run(
            checkpoint_job("r2")
        )
