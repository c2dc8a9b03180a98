"""validate.local_resolution on maps of which every place has a resolution that is known."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Mask, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre
from cryoloom.numerics.simulate.local_blur import locally_low_passed
from cryoloom.protocols.validate.local_resolution import LocalResolution
from cryoloom.spec import Failure

BOX, PIXEL = 64, 1.5
RADIUS = 22
FINE, COARSE = 4.0, 8.0
SEAM = 6
"""px beside the seam of the two halves that are not judged."""


def two_halves(snr=30.0, fine=FINE, coarse=COARSE, seed=0):
    """White detail in a ball, to 4 Å where x > 0 and to 8 Å where x < 0; its half maps with white noise."""
    rng = np.random.default_rng(seed)
    x = np.arange(BOX) - BOX // 2
    resolution = np.broadcast_to(np.where(x > 0, fine, coarse).astype(np.float32), (BOX,) * 3)
    detail = rng.standard_normal((BOX,) * 3).astype(np.float32)
    each = [locally_low_passed(detail, PIXEL, np.full_like(detail, value)) for value in (fine, coarse)]
    truth = np.where(resolution == fine, each[0] / each[0].std(), each[1] / each[1].std()) * cosine_edge(
        radius_from_centre(BOX) - RADIUS, 4.0
    )
    halves = [truth + np.sqrt(2 / snr) * rng.standard_normal(truth.shape) for _ in range(2)]
    return truth.astype(np.float32), [each.astype(np.float32) for each in halves], resolution


def ball():
    return (radius_from_centre(BOX) < RADIUS).astype(np.float32)


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes maps as a set of one volume; and one mask."""

    def save(halves=(), whole=None, *, mask=None, pixel_size=PIXEL, **meta):
        folder = tmp_path / "maps"
        folder.mkdir(exist_ok=True)
        if mask is not None:
            write_mrc(folder / "mask.mrc", mask, pixel_size, volume=True)
            rows = pl.DataFrame({"id": [1], "box_size": [len(mask)], "mask_path": ["maps/mask.mrc"]})
            return Mask(rows, tmp_path, meta={"pixel_size": pixel_size})
        names = {"volume_path": np.mean(halves, axis=0, dtype=np.float32) if whole is None else whole}
        names |= {f"half_map{number}_path": half for number, half in enumerate(halves, 1)}
        for name, data in names.items():
            write_mrc(folder / f"{name}.mrc", data, pixel_size, volume=True)
        rows = {"id": [1], "box_size": [BOX], **{name: [f"maps/{name}.mrc"] for name in names}}
        return Volume(pl.DataFrame(rows), tmp_path, meta={"pixel_size": pixel_size, **meta})

    return save


def measured(job, stored, halves, **values):
    """Run the protocol under the ball; return the map of resolutions, 0 outside, and the output."""
    out = LocalResolution(volume=stored(halves), mask=stored(mask=ball()), **{"low": 14.0, **values}).run(job)
    return read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data, out


def errors(found, resolution):
    x = np.broadcast_to(np.arange(BOX) - BOX // 2, found.shape)
    judged = (found > 0) & (np.abs(x) > SEAM)
    return {side: np.median(found[judged & (resolution == side)]) for side in (FINE, COARSE)}, (found < 6) == (resolution < 6), judged


@pytest.fixture(scope="module")
def at_30():
    return two_halves(30.0)


def test_each_half_has_its_resolution_and_less_noise_never_worsens_it(checkpoint_job, stored, at_30):
    medians = {}
    for snr, (_, halves, resolution) in ((30.0, at_30), (5.0, two_halves(5.0))):
        job = checkpoint_job()
        found, out = measured(job, stored, halves)
        medians[snr], right, judged = errors(found, resolution)
        assert right[judged].mean() >= 0.97
        assert not job.warnings
    shells = np.array([BOX * PIXEL / shell for shell in out.volume.meta["steps"]["shell"]])
    for side in (FINE, COARSE):
        near = np.sort(np.abs(shells - side))
        assert abs(medians[30.0][side] - side) <= near[1], "within one analysed shell"
        tried = {snr: shells[np.argmin(np.abs(shells - each[side]))] for snr, each in medians.items()}
        assert tried[30.0] <= tried[5.0], "the analysed shell that is nearest"
    assert medians[5.0] == {FINE: pytest.approx(4.4, rel=0.15), COARSE: pytest.approx(8.6, rel=0.15)}


def test_report_script_and_maps(checkpoint_job, stored, at_30):
    job = checkpoint_job()
    found, out = measured(job, stored, at_30[1], coloured=None)
    row = out.volume.items.row(0, named=True)
    script = out.volume.file(row["script_path"]).read_text(encoding="utf-8")
    folder = out.volume.file(row["script_path"]).parent
    opened = [line.split()[1] for line in script.splitlines() if line.startswith("open")]
    assert len(opened) == 2 and all((folder / name).is_file() for name in opened)
    filled, mask = (read_mrc(folder / name).data for name in ("resolution_filled.mrc", "mask.mrc"))
    assert np.array_equal(mask > 0, found > 0)
    assert np.allclose(filled[mask == 0], out.volume.meta["median"]) and np.array_equal(filled[mask > 0], found[mask > 0])
    meta = out.volume.meta
    assert sum(meta["histogram"]["voxels"]) == meta["voxels"] <= meta["voxels_of_mask"] == np.count_nonzero(found)
    surface = read_mrc(folder / "coloured.mrc").data
    inside = filled[(mask > 0) & (surface >= np.quantile(surface, 0.99))]
    low, high = meta["surface_limits"]
    assert inside.min() <= low <= high <= inside.max() and f"palette {low:.3f}," in script
    protocol = LocalResolution(volume=stored(at_30[1]))
    panels = protocol.report(out)
    assert [type(panel).__name__ for panel in panels] == ["Histogram", "MapSlices", "MapSlices", "MapSurface", "LinePlot", "TableView"]
    assert all(panel.html() for panel in panels)
    assert "half maps" in protocol.methods(out) and protocol.summary(out)["voxels of the specimen"] == meta["voxels"]


def test_a_homogeneous_map_has_the_resolution_of_its_fsc_whatever_solvent_the_mask_takes_along(checkpoint_job, stored):
    _, halves, _ = two_halves(10.0, 6.0, 6.0)
    _, out = measured(checkpoint_job(), stored, halves)
    meta = out.volume.meta
    assert meta["median"] == pytest.approx(meta["global_resolution"], rel=0.15)
    shell = BOX * PIXEL / meta["median"]
    assert meta["quartile3"] - meta["quartile1"] <= BOX * PIXEL / (shell - 0.5) - BOX * PIXEL / (shell + 0.5)
    wide = (radius_from_centre(BOX) < BOX // 2 - 1).astype(np.float32)
    loose = LocalResolution(volume=stored(halves), mask=stored(mask=wide), low=14.0).run(checkpoint_job("r002")).volume.meta
    edge = float(np.count_nonzero(radius_from_centre(BOX) < RADIUS + 4))
    assert loose["voxels_of_mask"] > 1.5 * edge and loose["voxels"] <= edge
    assert loose["median"] == pytest.approx(meta["median"], rel=0.05)


def test_noise_is_not_resolved(checkpoint_job, stored):
    rng = np.random.default_rng(3)
    noise = [rng.standard_normal((BOX,) * 3).astype(np.float32) for _ in range(2)]
    found, _ = measured(checkpoint_job(), stored, noise)
    inside = ball() > 0
    assert np.mean((found[inside] == 0) | (found[inside] > 12.0)) >= 0.9


def test_scale_and_a_constant_do_not_matter(checkpoint_job, stored, at_30):
    halves = at_30[1]
    found, out = measured(checkpoint_job(), stored, halves)
    changed, _ = measured(checkpoint_job("r002"), stored, [np.float32(1000) * half + np.float32(500) for half in halves])
    inside = found > 0
    shells = BOX * PIXEL / found[inside] - BOX * PIXEL / changed[inside]
    assert np.abs(shells).max() <= 1.0


def test_a_map_without_halves_is_told_by_its_solvent(checkpoint_job, stored, at_30):
    truth, halves, resolution = at_30
    whole = np.mean(halves, axis=0, dtype=np.float32)
    job = checkpoint_job()
    volume = stored(whole=whole)
    hints = list(LocalResolution(volume=volume, mask=stored(mask=ball())).check())
    assert [(hint.parameter, hint.error) for hint in hints] == [("use_half_maps", False)]
    out = LocalResolution(volume=volume, mask=stored(mask=ball()), low=14.0).run(job)
    found = read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data
    medians, _, _ = errors(found, resolution)
    assert medians[FINE] == pytest.approx(FINE, rel=0.15) and medians[COARSE] == pytest.approx(COARSE, rel=0.15)
    assert out.volume.meta["noise"] == "solvent" and any("no gold standard" in text for text in job.warnings)


def test_windows_tell_the_halves_apart(checkpoint_job, stored):
    _, halves, resolution = two_halves(2.0)
    found, out = measured(checkpoint_job(), stored, halves, method="windows", window=20.0)
    medians, _, _ = errors(found, resolution)
    assert medians[FINE] == pytest.approx(FINE, rel=0.2) and 6.0 < medians[COARSE] < 9.0
    assert "windows of 20 Å" in LocalResolution(volume=stored(halves), method="windows", window=20.0).methods(out)


def test_the_mask_is_found(checkpoint_job, stored):
    _, halves, _ = two_halves(20.0)
    out = LocalResolution(volume=stored([half + 2 * ball() for half in halves]), low=14.0).run(checkpoint_job())
    mask = read_mrc(out.mask.file(out.mask.items.item(0, "mask_path"))).data
    assert mask[ball() > 0].mean() > 0.95 and mask[radius_from_centre(BOX) > RADIUS + 8].mean() < 0.01


def test_the_same_bits_with_two_threads_and_after_a_kill(checkpoint_job, stored, at_30):
    halves = at_30[1]
    found, _ = measured(checkpoint_job(threads=1), stored, halves)
    assert np.array_equal(found, measured(checkpoint_job("r002", threads=2), stored, halves)[0])
    killed = checkpoint_job("r003", kill_after=6)
    with pytest.raises(Exception, match="^$"):
        measured(killed, stored, halves)
    resumed = checkpoint_job("r003", resume=killed.last)
    assert np.array_equal(found, measured(resumed, stored, halves)[0])


def test_masked_halves_are_said_to_be(checkpoint_job, stored, at_30):
    job = checkpoint_job()
    measured(job, stored, [half * ball() for half in at_30[1]])
    assert any("was masked" in text for text in job.warnings)


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"high": 9.0, "low": 8.0}, "high"),
        ({"low": 90.0}, "low"),
        ({"low": 2.5}, "low"),
    ],
)
def test_ranges_that_cannot_be_are_said(stored, at_30, values, parameter):
    assert [hint.parameter for hint in LocalResolution(volume=stored(at_30[1]), **values).check()] == [parameter]


def test_the_range_is_suggested(stored, at_30):
    volume = stored(at_30[1], resolution=4.2)
    assert LocalResolution(volume=volume).automatic() == {"high": 2 * PIXEL, "low": 16.8}


def test_what_cannot_be_measured_is_refused(checkpoint_job, stored, at_30):
    halves, job = at_30[1], checkpoint_job()
    one = stored(halves)
    one = Volume(one.items.drop("half_map2_path"), one.root, meta=one.meta)
    assert [hint.parameter for hint in LocalResolution(volume=one).check()] == ["volume"]
    same = [halves[0], halves[0]]
    cases = [
        ("half-map-missing", lambda: LocalResolution(volume=one).run(job)),
        ("half-maps-same", lambda: LocalResolution(volume=stored(same)).run(job)),
        ("mask-empty", lambda: LocalResolution(volume=stored(halves), mask=stored(mask=0.2 * ball())).run(job)),
        ("mask-range", lambda: LocalResolution(volume=stored(halves), mask=stored(mask=2 * ball())).run(job)),
        ("mask-box", lambda: LocalResolution(volume=stored(halves), mask=stored(mask=ball()[:32, :32, :32].copy() + np.eye(32))).run(job)),
        ("mask-pixel-size", lambda: LocalResolution(volume=stored(halves), mask=stored(mask=ball(), pixel_size=2.0)).run(job)),
    ]
    for code, attempt in cases:
        with pytest.raises(Failure) as refused:
            attempt()
        assert refused.value.code == code
