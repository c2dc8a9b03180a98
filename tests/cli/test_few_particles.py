"""One movie does not make a map: the chain says so in the words of who gave movies and a diameter, and keeps what it has done."""

import json


def test_process_with_too_few_particles(tmp_path, refused, cryoloom, finished):
    data, project = tmp_path / "data", tmp_path / "project"
    assert (
        cryoloom("simulate", data, "--preset", "tiny", "--seed", 3, "--set", "movies=1", "--set", "frames=4", "--threads", 1).returncode
        == 0
    )
    taken = json.loads((data / "acquisition.json").read_text())
    words = ["process", data / "movies" / "*", "-o", project, "--gain", data / taken["gain"], "--threads", 1]
    for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame", "diameter"):
        words += [f"--{name.replace('_', '-')}", taken[name]]
    done = refused(1, "particles-few", ["particles were picked (r004.coordinates)", "at least 50", "Give more movies", "diameter"], *words)
    assert "pick.blob" in done.stderr
    assert [row["state"] for row in finished("status", project)] == ["finished"] * 4
    again = refused(1, "particles-few", ["at least 50"], *words)
    assert again.stderr.count("(done before)") == 4
    nothing = finished("run", project, "pick.blob", "--input-micrographs", "micrographs", "--diameter", 2, "--name", "nothing")
    assert nothing["summary"]["particles"] == 0 and "is the diameter of 2 Å right?" in nothing["warnings"][0]
    says = ["input coordinates is r005.coordinates, which holds no coordinates"]
    cut = ("particles.extract", "--input-micrographs", "micrographs", "--input-coordinates", "nothing", "--box-size", 32)
    refused(2, "empty-input", says, "run", project, *cut)
