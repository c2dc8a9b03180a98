"""Displacements read again from what was written of aligned movies."""

import numpy as np
import torch

from cryoloom.formats.motion_fields import displacements
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.motion.field import Field
from cryoloom.report.motion import field_arrows


def test_a_field_is_the_same_from_its_file_its_quadratic_and_at_any_number_of_places(tmp_path):
    local = torch.zeros(3, 6, 2, dtype=torch.float64)
    local[1:, 1:3] = torch.tensor([[1.5, -0.5], [0.25, 2.0]], dtype=torch.float64)
    field = Field(torch.tensor([[0.0, 0.0], [4.0, 1.0], [6.0, -2.0]], dtype=torch.float64), local)
    write_mrc(tmp_path / "flow.mrc", field.grid(25).permute(3, 0, 1, 2).reshape(-1, 25, 25).numpy().astype(np.float32), 1.0, stack=True)
    shifts = -field.motion.numpy()
    row = {"shift_x": shifts[:, 0].tolist(), "shift_y": shifts[:, 1].tolist(), "motion_field": local.flatten().tolist()}
    for side in (25, 9, 4):
        for told in (row, {**row, "flow_path": "flow.mrc"}):
            np.testing.assert_allclose(displacements(told, tmp_path, side), field.grid(side), atol=1e-5)
    panel = field_arrows({"micrograph_name": "a", "local_motion": 1.0}, np.zeros((8, 8)), displacements(row, tmp_path, 9))
    across, down = np.array(panel.dx), np.array(panel.dy)
    assert abs(across.mean()) < 1e-9, "what all places share is told by the path"
    np.testing.assert_allclose([across[4, 8] - across[4, 0], down[8, 4] - down[0, 4]], [1.5 * 8 / 9, 2.0 * 8 / 9], atol=1e-9)
