import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
import starfile
from scipy.ndimage import gaussian_filter

from cryoloom.app.simulation.particle_set import simulate_particles
from cryoloom.app.simulation.presets import ParticlePreset
from cryoloom.data import FSC, Classes2D, Classes3D, Coordinates, CTFs, Mask, Micrographs, Movies, Particles, Volume
from cryoloom.formats.alignment import alignable
from cryoloom.formats.exchange import format_named
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.particle_table import read_particles_star, with_identities
from cryoloom.formats.relion import export_relion
from cryoloom.formats.stack import write_stack
from cryoloom.formats.star import read_star
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.fsc.shells import crossing_shell, fourier_shell_correlation
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.sums import divided
from cryoloom.spec import Failure

RNG = np.random.default_rng(0)
FRAMES, HEIGHT, WIDTH = 5, 96, 128
NAMES = ("mic_a", "mic_b")
OPTICS = {"optics_group": 1, "optics_group_name": "opticsGroup1", "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
GOOD = {"enabled": [True, True], "fail_reason": ["", ""]}
relion = [pytest.mark.relion, pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")]


def call(folder, *command):
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two movies with their micrographs (binned by 2), motion, CTFs and coordinates, as protocols leave them."""
    root = tmp_path_factory.mktemp("project")
    for name in NAMES:
        write_mrc(root / f"{name}_movie.mrcs", RNG.poisson(5, size=(FRAMES, HEIGHT, WIDTH)), 1.5, mode=1)
        write_mrc(root / f"{name}.mrc", RNG.normal(size=(HEIGHT // 2, WIDTH // 2)), 3.0)
        write_mrc(root / f"{name}_DW.mrc", RNG.normal(size=(HEIGHT // 2, WIDTH // 2)), 3.0, mode=12)
    write_mrc(root / "gain.mrc", np.ones((HEIGHT, WIDTH)), 1.5)
    movies = Movies(
        pl.DataFrame(
            {
                "id": [1, 2],
                "movie_name": NAMES,
                "movie_path": [f"{name}_movie.mrcs" for name in NAMES],
                "frames": [FRAMES] * 2,
                "width": [WIDTH] * 2,
                "height": [HEIGHT] * 2,
                "optics_group": [1, 1],
                **GOOD,
            }
        ),
        root,
        optics=[{**OPTICS, "pixel_size": 1.5, "dose_per_frame": 1.2, "pre_exposure": 0.0}],
        meta={"gain_path": "gain.mrc"},
    )
    shifts = np.cumsum(RNG.normal(size=(2, FRAMES)), axis=1)
    micrographs = Micrographs(
        pl.DataFrame(
            {
                "id": [1, 2],
                "micrograph_name": NAMES,
                "micrograph_path": [f"{name}.mrc" for name in NAMES],
                "weighted_path": [f"{name}_DW.mrc" for name in NAMES],
                "width": [WIDTH // 2] * 2,
                "height": [HEIGHT // 2] * 2,
                "optics_group": [1, 1],
                "motion_total": [3.5, 4.5],
                "shift_x": [shifts[0].tolist(), shifts[1, 1:].tolist()],
                "shift_y": [shifts[1].tolist(), shifts[0, 1:].tolist()],
                "first_frame": [1, 2],
                "motion_model": [np.linspace(-1, 1, 36).tolist(), None],
                **GOOD,
            }
        ),
        root,
        optics=[{**OPTICS, "pixel_size": 3.0, "dose_per_frame": 1.2, "pre_exposure": 0.0}],
    )
    ctfs = CTFs(
        pl.DataFrame(
            {
                "id": [1, 2],
                "micrograph_id": [1, 2],
                "defocus_u": [12000.0, 15000.0],
                "defocus_v": [11800.0, 14500.0],
                "defocus_angle": [10.0, -20.0],
                "phase_shift": [0.0, 0.0],
                "ctf_resolution": [6.0, 7.0],
                "ctf_score": [0.1, 0.2],
                **GOOD,
            }
        ),
        root,
        optics=micrographs.optics,
    )
    coordinates = Coordinates(
        pl.DataFrame(
            {
                "id": [(1 << 20), (1 << 20) + 1, (2 << 20)],
                "micrograph_id": [1, 1, 2],
                "micrograph_name": [NAMES[0], NAMES[0], NAMES[1]],
                "x": [30.0, 25.0, 40.0],
                "y": [20.0, 30.0, 24.0],
                "score": [0.5, None, 0.7],
                "optics_group": [1, 1, 1],
            }
        ),
        root,
        optics=micrographs.optics,
        meta={"diameter": 30.0},
    )
    return {"root": root, "movies": movies, "micrographs": micrographs, "ctfs": ctfs, "coordinates": coordinates}


@pytest.fixture
def written(project, tmp_path):
    related = {name: project[name] for name in ("movies", "micrographs", "ctfs", "coordinates")}
    for name, dataset in related.items():
        for path in export_relion(dataset, name, tmp_path, related=related):
            assert path.is_file()
    return tmp_path


def test_movies(written, project):
    blocks = read_star(written / "movies.star")
    assert blocks["optics"].columns == [
        "rlnOpticsGroupName", "rlnOpticsGroup", "rlnMicrographOriginalPixelSize", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"
    ]  # fmt: skip
    assert blocks["movies"].rows() == [("movies/mic_a.mrcs", 1), ("movies/mic_b.mrcs", 1)]
    assert (written / "movies/mic_a.mrcs").stat().st_ino == (project["root"] / "mic_a_movie.mrcs").stat().st_ino, "hard-linked"
    assert (written / "gain.mrc").is_file()


def test_micrographs_and_their_motion(written, project):
    blocks = read_star(written / "corrected_micrographs.star")
    optics = blocks["optics"].row(0, named=True)
    assert optics["rlnMicrographOriginalPixelSize"] == 1.5
    assert optics["rlnMicrographPixelSize"] == 3.0
    row = blocks["micrographs"].row(0, named=True)
    assert row["rlnMicrographName"] == "micrographs/mic_a.mrc"
    assert row["rlnMicrographNameNoDW"] == "micrographs/mic_a_noDW.mrc"
    assert row["rlnMicrographMetadata"] == "motion/mic_a.star"
    assert row["rlnAccumMotionTotal"] == 3.5
    weighted = read_mrc(written / row["rlnMicrographName"])
    assert weighted.data.dtype == np.float32, "RELION does not read float16"
    assert np.array_equal(weighted.data, read_mrc(project["root"] / "mic_a_DW.mrc").data)
    motion = read_star(written / "motion/mic_a.star")
    general = motion["general"].row(0, named=True)
    assert (general["rlnImageSizeX"], general["rlnImageSizeY"], general["rlnImageSizeZ"]) == (WIDTH, HEIGHT, FRAMES)
    assert general["rlnMicrographMovieName"] == "movies/mic_a.mrcs"
    assert general["rlnMicrographGainName"] == "gain.mrc"
    assert general["rlnMicrographBinning"] == 2
    assert general["rlnMicrographOriginalPixelSize"] == 1.5
    assert general["rlnMicrographDoseRate"] == 1.2
    assert general["rlnMotionModelVersion"] == 1
    items = project["micrographs"].items
    assert motion["global_shift"]["rlnMicrographFrameNumber"].to_list() == [1, 2, 3, 4, 5]
    assert motion["global_shift"]["rlnMicrographShiftX"].to_list() == items["shift_x"][0].to_list()
    assert motion["local_motion_model"]["rlnMotionModelCoeff"].to_list() == items["motion_model"][0].to_list()
    other = read_star(written / "motion/mic_b.star")
    assert "local_motion_model" not in other
    assert other["general"]["rlnMotionModelVersion"][0] == 0
    assert other["general"]["rlnMicrographStartFrame"][0] == 2
    assert other["global_shift"]["rlnMicrographFrameNumber"].to_list() == [2, 3, 4, 5]


def test_the_motion_file_is_built_as_relions_own(written, test_data):
    theirs = read_star(test_data / "motioncor-star" / "T20S_14sep05c_00024sq_00003hl_00002es_motion.star")
    ours = read_star(written / "motion/mic_a.star")
    assert list(ours) == list(theirs)
    assert set(theirs["general"].columns) <= set(ours["general"].columns)
    for block in ("global_shift", "local_motion_model"):
        assert ours[block].schema == theirs[block].schema


def test_ctfs(written):
    row = read_star(written / "micrographs_ctf.star")["micrographs"].row(1, named=True)
    assert row["rlnMicrographName"] == "micrographs/mic_b.mrc"
    assert (row["rlnDefocusU"], row["rlnDefocusV"], row["rlnDefocusAngle"], row["rlnCtfAstigmatism"]) == (15000, 14500, -20, 500)
    assert (row["rlnCtfMaxResolution"], row["rlnCtfFigureOfMerit"]) == (7, 0.2)
    assert row["rlnAccumMotionTotal"] == 4.5


def test_ctfs_alone_have_no_micrographs(project, tmp_path):
    with pytest.raises(Failure, match="written with their micrographs"):
        export_relion(project["ctfs"], "ctfs", tmp_path, related={})


def test_coordinates(written):
    listed = read_star(written / "autopick.star")["coordinate_files"]
    assert listed.rows()[1] == ("micrographs/mic_b.mrc", "autopick/micrographs/mic_b_autopick.star")
    rows = read_star(written / listed["rlnMicrographCoordinates"][0])[""]
    assert rows["rlnCoordinateX"].to_list() == [30.0, 25.0]
    assert rows["rlnAutopickFigureOfMerit"].to_list() == [0.5, -999.0]
    assert rows["cryoloomParticleId"].to_list() == [1 << 20, (1 << 20) + 1]


def test_disabled_rows_stay_home(project, tmp_path):
    movies = project["movies"].disable({2: "broken"})
    export_relion(movies, "movies", tmp_path, related={})
    assert read_star(tmp_path / "movies.star")["movies"]["rlnMicrographMovieName"].to_list() == ["movies/mic_a.mrcs"]


def particle_set(root, contrast="bright"):
    for number in (1, 2):
        (root / f"s{number}").mkdir(exist_ok=True)
        write_stack(root / f"s{number}" / "p.mrcs", RNG.normal(size=(3, 8, 8)), 3.0, mode=12 if number == 2 else 2)
    items = pl.DataFrame(
        {
            "id": [1048577, 1048578, 2097153],
            "micrograph_id": [1, 1, 2],
            "micrograph_name": ["mic_a", "mic_a", "mic_b"],
            "stack_path": ["s1/p.mrcs", "s1/p.mrcs", "s2/p.mrcs"],
            "stack_index": [0, 2, 1],
            "optics_group": [1, 1, 2],
            "x": [1.0, 2.0, 3.0],
            "y": [4.0, 5.0, 6.0],
            "rot": [10.0, 20.0, 30.0],
            "tilt": [40.0, 50.0, 60.0],
            "psi": [70.0, 80.0, 90.0],
            "origin_x": [-1.5, 0.25, 1 / 3],
            "origin_y": [1.0, 2.0, 3.0],
            "half_set": [1, 2, None],
            "class_id": [1, 1, 2],
            "defocus_u": [1e4, 2e4, 3e4],
            "defocus_v": [1e4, 2e4, 3e4],
            "defocus_angle": [0.0, 1.0, 2.0],
            "phase_shift": [0.0, 90.0, 0.0],
            "rlnGroupNumber": [5, 5, 6],
            "score": pl.Series([None, None, None], dtype=pl.Float64),
            "enabled": [True, True, True],
            "fail_reason": ["", "", ""],
        }
    )
    groups = [
        {**OPTICS, "optics_group": n, "optics_group_name": f"g{n}", "pixel_size": 3.0, "box_size": 8, "contrast": contrast,
         "phase_flipped": n == 2, "ctf_premultiplied": False, "beam_tilt_x": 0.5}
        for n in (1, 2)
    ]  # fmt: skip
    return Particles(items, root, optics=groups)


def true_poses(root, preset):
    """Return simulated particles at their true poses, every other one in the second half."""
    simulate_particles(root / "sim", preset, 1, threads=1, progress=lambda *_: None)
    table = read_particles_star(root / "sim/truth/particles.star")
    items = with_identities(table.items).drop("image_file", "micrograph_file")
    items = items.with_columns(stack_path=pl.lit("sim/particles.mrcs"), half_set=1 + pl.col("stack_index") % 2)
    return Particles(items, root, optics=[{**group, "contrast": "bright"} for group in table.optics])


def test_particles_return_as_they_left(tmp_path, project):
    particles = particle_set(tmp_path)
    (path,) = export_relion(particles, "particles", tmp_path / "out", related={"movies": project["movies"]})
    blocks = starfile.read(path)
    assert blocks["particles"]["rlnImageName"].tolist() == [
        "000001@particles/p_1.mrcs",
        "000003@particles/p_1.mrcs",
        "000002@particles/p_2.mrcs",
    ]
    assert blocks["particles"]["rlnMicrographName"].tolist() == ["micrographs/mic_a.mrc"] * 2 + ["micrographs/mic_b.mrc"]
    assert blocks["particles"]["rlnRandomSubset"].tolist() == [1, 2, 0]
    assert "rlnAutopickFigureOfMerit" not in blocks["particles"], "a column of nothing is no column"
    assert blocks["optics"]["rlnCtfDataArePhaseFlipped"].tolist() == [0, 1]
    assert blocks["optics"]["rlnBeamTiltX"].tolist() == [0.5, 0.5]
    assert blocks["optics"]["rlnImageSize"].tolist() == [8, 8]
    assert blocks["optics"]["rlnMicrographOriginalPixelSize"].tolist() == [1.5, 3.0]
    table = read_particles_star(path)
    back = with_identities(table.items)
    same = ["id", "micrograph_id", "micrograph_name", "stack_index", "optics_group", "x", "y", "rot", "tilt", "psi", "origin_x", "origin_y",
            "class_id", "defocus_u", "defocus_angle", "phase_shift", "rlnGroupNumber"]  # fmt: skip
    assert back.select(same).equals(particles.items.select(same))
    images = read_mrc(tmp_path / "out/particles/p_2.mrcs").data
    assert images.dtype == np.float32
    assert np.array_equal(images, read_mrc(tmp_path / "s2/p.mrcs").data)
    with pytest.raises(Failure, match="dark"):
        export_relion(particle_set(tmp_path, "dark"), "particles", tmp_path / "out", related={})


def test_maps_masks_classes_and_curves(tmp_path):
    cube = RNG.normal(size=(8, 8, 8))
    for name in ("v", "h1", "h2"):
        write_mrc(tmp_path / f"{name}.mrc", cube, 1.0, volume=True)
    row = {"id": [1], "volume_path": ["v.mrc"], "half_map1_path": ["h1.mrc"], "half_map2_path": ["h2.mrc"], "box_size": [8]}
    volume = Volume(pl.DataFrame(row), tmp_path, meta={"pixel_size": 2.0})
    out = tmp_path / "out"
    files = export_relion(volume, "volume", out, related={})
    assert [path.name for path in files] == ["volume.mrc", "volume_half1_unfil.mrc", "volume_half2_unfil.mrc"]
    assert read_mrc(files[0]).pixel_size == 2.0, "RELION takes a map's pixel size from its header"
    mask = Mask(pl.DataFrame({"id": [1], "mask_path": ["v.mrc"], "box_size": [8]}), tmp_path, meta={"pixel_size": 1.0})
    assert export_relion(mask, "anything", out, related={}) == [out / "mask.mrc"]
    write_stack(tmp_path / "c.mrcs", cube, 3.0)
    rows = {"id": [1, 2], "class_id": [2, 1], "stack_path": ["c.mrcs"] * 2, "stack_index": [5, 4], "count": [30, 10]}
    classes = Classes2D(pl.DataFrame(rows), tmp_path, meta={"pixel_size": 3.0})
    export_relion(classes, "classes", out, related={})
    assert np.allclose(read_mrc(out / "run_classes.mrcs").data, cube[[4, 5]])
    model = read_star(out / "run_model.star")
    assert model["model_classes"].rows() == [("000001@run_classes.mrcs", 0.25), ("000002@run_classes.mrcs", 0.75)]
    rows = {"id": [1, 2], "class_id": [1, 2], "volume_path": ["v.mrc", "h1.mrc"], "count": [1, 3]}
    maps = export_relion(Classes3D(pl.DataFrame(rows), tmp_path, meta={"pixel_size": 1.0}), "classes", out, related={})
    assert [path.name for path in maps] == ["run_model.star", "run_class001.mrc", "run_class002.mrc"]
    fsc = FSC(pl.DataFrame({"id": [0, 1], "shell": [0, 1], "frequency": [0.0, 0.1], "fsc": [1.0, 0.5]}), tmp_path, meta={"resolution": 9.5})
    export_relion(fsc, "fsc", out, related={})
    curve = read_star(out / "postprocess.star")
    assert curve["general"]["rlnFinalResolution"][0] == 9.5
    assert curve["fsc"]["rlnAngstromResolution"].to_list() == [999.0, 10.0]


def test_missing_images_are_named(project, tmp_path):
    items = project["movies"].items.with_columns(movie_path=pl.lit("gone.mrc"))
    with pytest.raises(Failure, match=r"gone\.mrc: there is no such file"):
        export_relion(Movies(items, project["root"], optics=project["movies"].optics), "movies", tmp_path, related={})


class TestRelion:
    pytestmark = relion

    @pytest.mark.parametrize("name", ["movies.star", "corrected_micrographs.star", "micrographs_ctf.star"])
    def test_tables_are_parsed(self, written, name):
        call(written, "relion_star_handler", "--i", name, "--o", "again.star")
        ours, again = read_star(written / name), read_star(written / "again.star")
        assert list(again) == list(ours)
        for block in ours:
            assert set(ours[block].columns) <= set(again[block].columns)

    def test_movies_are_aligned(self, written):
        call(written, "relion_run_motioncorr", "--i", "movies.star", "--o", "mc/", "--use_own", "--j", "1", "--gainref", "gain.mrc",
             "--dose_per_frame", "1.2", "--patch_x", "1", "--patch_y", "1")  # fmt: skip
        assert read_star(written / "mc/corrected_micrographs.star")["micrographs"].height == 2
        assert read_mrc(written / "mc/movies/mic_a.mrc").data.shape == (HEIGHT, WIDTH)

    def test_particles_are_cut_where_the_coordinates_say(self, written):
        call(written, "relion_preprocess", "--i", "micrographs_ctf.star", "--coord_dir", "autopick/", "--coord_suffix", "_autopick.star",
             "--part_star", "cut/particles.star", "--part_dir", "cut/", "--extract", "--extract_size", "16")  # fmt: skip
        rows = read_star(written / "cut/particles.star")["particles"]
        assert rows["cryoloomParticleId"].to_list() == [1 << 20, (1 << 20) + 1, 2 << 20]
        assert rows["rlnDefocusU"].to_list() == [12000.0, 12000.0, 15000.0]
        index, stack = rows["rlnImageName"][0].split("@")
        image = read_mrc(written / stack).data[int(index) - 1]
        whole = read_mrc(written / "micrographs/mic_a.mrc").data
        assert np.corrcoef(image.ravel(), whole[20 - 8 : 20 + 8, 30 - 8 : 30 + 8].ravel())[0, 1] > 0.999

    def test_maps_are_read(self, tmp_path):
        signal = 50 * gaussian_filter(RNG.normal(size=(32, 32, 32)), 3)
        for name in ("v", "h1", "h2"):
            write_mrc(tmp_path / f"{name}.mrc", signal + RNG.normal(size=signal.shape), 1.0, volume=True, mode=12)
        row = {"id": [1], "volume_path": ["v.mrc"], "half_map1_path": ["h1.mrc"], "half_map2_path": ["h2.mrc"], "box_size": [32]}
        export_relion(Volume(pl.DataFrame(row), tmp_path, meta={"pixel_size": 2.0}), "volume", tmp_path / "out", related={})
        stats = call(tmp_path / "out", "relion_image_handler", "--i", "volume.mrc", "--stats")
        assert "(x,y,z,n)= 32 x 32 x 32 x 1" in " ".join(stats.split())
        z, y, x = np.indices((32, 32, 32)) - 16
        write_mrc(tmp_path / "m.mrc", np.clip((13 - np.sqrt(x * x + y * y + z * z)) / 3, 0, 1), 1.0, volume=True)
        mask = Mask(pl.DataFrame({"id": [1], "mask_path": ["m.mrc"], "box_size": [32]}), tmp_path, meta={"pixel_size": 2.0})
        export_relion(mask, "mask", tmp_path / "out", related={})
        (tmp_path / "out/post").mkdir()
        call(tmp_path / "out", "relion_postprocess", "--i", "volume_half1_unfil.mrc", "--o", "post/post", "--mask", "mask.mrc")
        assert read_star(tmp_path / "out/post/post.star")["fsc"]["rlnFourierShellCorrelationCorrected"][1:3].min() > 0.8

    @pytest.mark.parametrize("dialect", ["relion", "relion-3.0"])
    def test_a_half_set_is_reconstructed_to_the_truth(self, tmp_path, dialect):
        """Poses, origins, CTF, halves and stacks mean to RELION what they mean to us."""
        preset = ParticlePreset(box=48, pixel_size=5.0, particles=300, snr=5.0, shift_sigma=10.0, per_micrograph=50)
        particles = true_poses(tmp_path, preset)
        format_named(dialect).writers["particles"](particles, "particles", tmp_path / "out", related={})
        call(
            tmp_path / "out", "relion_reconstruct", "--i", "particles.star", "--o", "half1.mrc", "--ctf", "--subset", "1", "--maxres", "12"
        )
        found, truth = (np.fft.rfftn(read_mrc(path).data) for path in (tmp_path / "out/half1.mrc", tmp_path / "sim/truth/volume.mrc"))
        k = np.sqrt(sum(axis**2 for axis in np.meshgrid(*[np.fft.fftfreq(48)] * 2, np.fft.rfftfreq(48), indexing="ij")))
        for low, high in ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3)):
            ring = (k > low) & (k < high)
            product = np.vdot(found[ring], truth[ring]).real / np.linalg.norm(found[ring]) / np.linalg.norm(truth[ring])
            assert product > 0.95, (low, high, product)

    def test_halves_agree_as_far_as_ours_of_the_same_poses(self, tmp_path):
        preset = ParticlePreset(box=48, pixel_size=3.0, particles=600, snr=0.02, shift_sigma=6.0, per_micrograph=50)
        particles = true_poses(tmp_path, preset)
        export_relion(particles, "particles", tmp_path / "out", related={})
        theirs = []
        for half in (1, 2):
            call(tmp_path / "out", "relion_reconstruct", "--i", "particles.star", "--o", "half.mrc", "--ctf", "--subset", half)
            theirs.append(read_mrc(tmp_path / "out/half.mrc").data.copy())
        loaded = alignable(particles, 130.0)
        rows, every, plane = loaded.rows, np.arange(600), loaded.images.plane
        rotations = euler_to_matrix(*(rows[name].to_numpy() for name in ("rot", "tilt", "psi"))).astype(np.float32)
        points = Points(every, rotations, rows.select("origin_x", "origin_y").to_numpy() / 3.0, np.ones(600), np.zeros((600, 3)))
        half = rows["half_set"].to_numpy().astype(np.int64) - 1
        sums = accumulate(loaded.images, every, points, plane, loaded.images.total_power(), half)
        ours = [divided(one, plane.last, 48, 48) for one in sums]
        for mask in (spherical_mask(48, 24, 3), spherical_mask(48, 20, 4)):
            shells = [crossing_shell(fourier_shell_correlation(*(one * mask for one in pair)), 0.143) for pair in (ours, theirs)]
            assert 8 < shells[0] < 23 and abs(shells[0] - shells[1]) <= 1, shells
