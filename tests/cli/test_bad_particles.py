"""Bad particle tables and stacks, too few particles, sets with nothing in them."""

import numpy as np
import pytest

from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import write_stack

LABELS = ("rlnImageName", "rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnOpticsGroup")
OPTICS = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnImagePixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
_rlnImageSize #7
1 og1 3.0 300 2.7 0.1 {box}
"""


@pytest.fixture
def particles(tmp_path):
    """Return a writer of a STAR table of 20 particles and their stack."""

    def write(*, box=32, rows=20, without=(), spoil=None, edit=lambda text: text):
        images = np.random.default_rng(1).normal(size=(20, box, box)).astype(np.float32)
        if spoil is not None:
            images[spoil, 3, 4] = np.nan
        write_stack(tmp_path / "stack.mrcs", images, 3.0)
        labels = [label for label in LABELS if label not in without]
        lines = [f"_{label} #{number}" for number, label in enumerate(labels, 1)]
        for row in range(rows):
            values = dict(zip(LABELS, (f"{row + 1}@stack.mrcs", "mic.mrc", "15000", "14800", "30", "1"), strict=True))
            lines.append(" ".join(values[label] for label in labels))
        path = tmp_path / "particles.star"
        path.write_text(edit(OPTICS.format(box=box) + "\ndata_particles\n\nloop_\n" + "\n".join(lines) + "\n"))
        return path

    return write


@pytest.fixture
def importing_particles(project):
    return lambda path, *more: ("run", project, "import.particles", "--threads", 1, "--path", path, "--name", "particles", *more)


@pytest.mark.parametrize(
    ("made", "code", "says"),
    [
        ({"without": ("rlnImageName",)}, "star-no-particles", ["no table with rlnImageName", "data_optics, data_particles"]),
        ({"without": ("rlnDefocusV",)}, "star-column", ["has rlnDefocusU, rlnDefocusAngle but no rlnDefocusV", "Add"]),
        ({"edit": lambda text: text[:-20]}, "star-ragged", ["row 20 of data_particles", "for 6 labels"]),
        ({"edit": lambda text: text.replace("15000", "deep", 1)}, "star-number", ["rlnDefocusU of row 1 is 'deep'", "must be a number"]),
        ({"rows": 0}, "star-no-particles", ["has no rows"]),
        ({"edit": lambda text: "Dear reader\n"}, "star-invalid", ["not a STAR file"]),
        ({"edit": lambda text: text.replace("0.1 32", "0.1 48")}, "particle-box", ["box of 48 px, stacks of [32] px"]),
    ],
    ids=["no-image", "half-a-defocus", "cut", "a-word", "empty", "a-letter", "other-box"],
)
def test_a_table_that_cannot_be_used(particles, importing_particles, refused, made, code, says):
    path = particles(**made)
    refused(1, code, ["r001 (import.particles)", str(path), *says], *importing_particles(path))


def test_images_that_cannot_be_used(tmp_path, particles, importing_particles, refused):
    path = particles()
    (tmp_path / "stack.mrcs").write_bytes((tmp_path / "stack.mrcs").read_bytes()[:5000])
    refused(1, "all-failed", ["stack.mrcs: expected 82944 bytes, found 5000", "Copy the file again"], *importing_particles(path))
    (tmp_path / "stack.mrcs").unlink()
    refused(1, "all-failed", ["stack.mrcs: not found", "--folder"], *importing_particles(path))
    write_mrc(tmp_path / "stack.mrcs", np.ones((20, 32, 40), np.float32), 3.0)
    refused(1, "all-failed", ["images of 40 × 32 px, not square"], *importing_particles(path))


def test_values_that_contradict_the_table(tmp_path, particles, importing_particles, refused):
    path = particles()
    says = ["says 3 Å/px", "--pixel-size says 4 Å/px", "--ignore-header-pixel-size"]
    refused(1, "pixel-size", says, *importing_particles(path, "--pixel-size", 4))
    refused(
        2, "bad-parameter", [f"folder {tmp_path / 'no'}: there is no such folder"], *importing_particles(path, "--folder", tmp_path / "no")
    )
    refused(2, "bad-parameter", [f"path {tmp_path} is a folder"], *importing_particles(tmp_path))
    refused(2, "bad-parameter", ["pixel_size is needed"], *importing_particles(tmp_path / "stack.mrcs"))


def test_one_bad_image_is_disabled_and_few_particles_are_no_classes(particles, importing_particles, project, refused, finished):
    """The box is odd, the table leaves the one optics group unsaid: both can be used."""
    done = finished(*importing_particles(particles(box=33, spoil=7, without=("rlnOpticsGroup",))))
    assert done["outputs"]["particles"]["count"] == 20 and done["summary"]["particles"] == 19
    assert "1 of 20 particles" in done["warnings"][0] and "image 8 of stack.mrcs holds NaN" in done["warnings"][0]
    classify = ("run", project, "classify2d.em", "--input-particles", "particles", "--mask-diameter", 60)
    says = ["classes is 100", "of 19 particles that leaves fewer than 5 a class", "1 would do"]
    refused(2, "bad-parameter", says, *classify, "--classes", 100)
    refused(2, "bad-parameter", ["classes is '0', but must be at least 1"], *classify, "--classes", 0)
    first = ("run", project, "initial.sgd", "--input-particles", "particles", "--mask-diameter", 60)
    refused(1, "particles-few", ["19 enabled particles", "at least 50"], *first)
    nothing = finished("select", project, "particles", "--where", "id < 0", "--name", "nothing")
    assert nothing["outputs"] == {} and "Nothing was selected from 20 rows" in nothing["warnings"][0]
    refused(2, "no-output", ["has no output", "Nothing was selected"], *[*classify[:4], "nothing", *classify[5:]], "--classes", 2)
    assert finished("show", project, "particles")["state"] == "finished"
