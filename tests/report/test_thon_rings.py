from types import SimpleNamespace

import numpy as np

from cryoloom.report.thon_rings import _middle


def test_a_spectrum_is_cut_about_its_origin_where_rings_have_ended() -> None:
    row = np.arange(-64, 64)
    picture = SimpleNamespace(data=np.hypot(row[:, None], row), pixel_size=2.0)
    cut = _middle(picture, 0.1)  # 0.1/Å lies 0.1 · 2 · 128 px from the origin
    assert cut.shape == (52, 52) and cut[26, 26] == 0 and cut[26, 0] == 26
    assert _middle(picture, 1.0).shape == picture.data.shape
