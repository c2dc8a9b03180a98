"""Three simulated micrographs with ice, aggregates, threads and droplets, carbon perhaps, and the truth about them."""

import numpy as np
import polars as pl

from cryoloom.data import CTFs, Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import p80

PIXEL, DIAMETER, DOSE = 2.4, 150.0, 30.0
OPTICS = [{"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.0, "amplitude_contrast": 0.1}]


def draw(root):
    """Write the micrographs into a folder; return them, the true centres by micrograph, and the true CTFs. Of the third only the weighted sum shows."""
    rows, truth, ctfs, microscope = [], {}, [], Microscope(300.0, 2.0, 0.1)
    for number, shape in ((1, (700, 700)), (2, (600, 800)), (3, (700, 700))):
        rng = np.random.default_rng(number)
        specimen = draw_specimen(Recipe(*shape, PIXEL, 60, contaminants=3.0, carbon_fraction=0.3), [p80()], microscope, rng)
        image = micrograph(specimen, microscope, DOSE, rng)
        truth[number] = np.array([(particle.x, particle.y) for particle in specimen.particles])
        write_mrc(root / f"m{number}.mrc", image if number < 3 else np.zeros_like(image), PIXEL)
        if number == 3:
            write_mrc(root / "m3_weighted.mrc", image, PIXEL)
        name = {"id": number, "micrograph_name": f"m{number}", "optics_group": 1, "enabled": True, "fail_reason": ""}
        files = {"micrograph_path": f"m{number}.mrc", "weighted_path": "m3_weighted.mrc" if number == 3 else None}
        rows.append({**name, **files, "width": shape[1], "height": shape[0]})
        defocus = {"defocus_u": specimen.defocus.u, "defocus_v": specimen.defocus.v, "defocus_angle": specimen.defocus.angle}
        ctfs.append({**name, "micrograph_id": number, **defocus, "phase_shift": 0.0})
    return Micrographs(pl.DataFrame(rows), root, optics=OPTICS), truth, CTFs(pl.DataFrame(ctfs), root, optics=OPTICS)
