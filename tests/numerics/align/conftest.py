"""Image sets of the blob phantom, prepared for alignment."""

import numpy as np
import pytest

from cryoloom.numerics.align.images import Defocus, ImageSet
from cryoloom.numerics.align.optics import Optics


@pytest.fixture(scope="session")
def image_set():
    def make(stack, pixel_size, mask, *, optics=None, group=None, **settings):
        count, box = len(stack.images), stack.images.shape[-1]
        zeros = np.zeros(count)
        return ImageSet.of(
            iter([stack.images]), count, box, pixel_size, mask, optics=optics or (Optics(300.0, 2.7, 0.1),),
            group=np.zeros(count, np.int64) if group is None else group,
            defocus=Defocus(stack.defocus, stack.defocus, zeros, zeros), **settings,
        )  # fmt: skip

    return make
