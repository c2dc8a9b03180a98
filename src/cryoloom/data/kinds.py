"""The kinds of sets a protocol takes and gives.

Optics groups carry ``optics_group``, ``optics_group_name``, ``pixel_size`` (Å/px of the set's own images), ``voltage`` (kV), ``cs`` (mm),
``amplitude_contrast``; movies and micrographs also ``dose_per_frame`` (None: unknown) and ``pre_exposure`` (e/Å²), micrographs with cropped borders
and what was picked on them ``offset_x`` and ``offset_y`` (Å, of their first pixel in the micrograph as recorded); particles also
``box_size``, ``contrast`` ("bright" or "dark"; micrographs without it are dark), ``phase_flipped`` and ``ctf_premultiplied``. Groups
imported from RELION keep its further columns (``rlnBeamTiltX`` ...) under its names, and so do rows.
"""

from cryoloom.tables import Dataset


class Movies(
    Dataset,
    kind="movies",
    required=("movie_name", "movie_path", "frames", "width", "height", "optics_group", "enabled", "fail_reason"),
):
    """Movies as recorded; ``movie_name`` joins them to everything made from them.

    Meta: ``gain_path``, a float32 image of the movies' shape and orientation that frames are multiplied by, 0 at dead pixels;
    ``dark_path``, an image of the same kind that is taken off frames first; ``defects_path``, one that is 1 at bad pixels; each with the BLAKE3
    of its content (``gain_blake3`` ...). ``gain_orientation`` says how the reference was turned.
    """


class Micrographs(
    Dataset,
    kind="micrographs",
    required=("micrograph_name", "micrograph_path", "width", "height", "optics_group", "enabled", "fail_reason"),
    diagnostic=("psd_path", "cover_path", "thumbnail_path"),
):
    """Aligned micrographs, protein dark; ``id`` is the movie's.

    ``micrograph_path`` is the unweighted sum, for CTF estimation; ``weighted_path`` (null without dose) the dose-weighted one, for
    picking and extraction. Where the motion is known: ``shift_x``, ``shift_y`` (lists, px of the unbinned movie, RELION's sign),
    ``first_frame`` (from 1) and ``motion_model`` (36 coefficients of RELION's model, or null).
    """


class CTFs(
    Dataset,
    kind="ctfs",
    required=("micrograph_id", "defocus_u", "defocus_v", "defocus_angle", "phase_shift"),
    diagnostic=("psd_path", "enhanced_path"),
):
    """One transfer function a micrograph; ``id`` is the micrograph's."""


class Coordinates(Dataset, kind="coordinates", required=("micrograph_id", "micrograph_name", "x", "y", "score", "optics_group")):
    """Particle centres in px of the micrographs they were picked on; meta: ``diameter`` (Å)."""


class PickingModel(Dataset, kind="picking_model", required=("model_path",)):
    """What a picker has learned, one row; meta: ``diameter`` (Å), ``box_size`` (px) and ``pixel_size`` of the micrographs it was learned on."""


class Particles(Dataset, kind="particles", required=("micrograph_id", "stack_path", "stack_index", "optics_group")):
    """Boxed particles: image ``stack_index`` (from 0) of ``stack_path``; ``id`` is the coordinate's.

    They carry the columns of their CTF, and of their pose once known.
    """


class Classes2D(Dataset, kind="classes2d", required=("class_id", "stack_path", "stack_index", "count")):
    """Class averages; members carry ``class_id`` in the particle set beside it."""


class Classes3D(Dataset, kind="classes3d", required=("class_id", "volume_path", "count")):
    """Class maps."""


class Volume(Dataset, kind="volume", required=("volume_path", "box_size")):
    """One map, or several.

    ``half_map1_path``, ``half_map2_path`` and ``unfiltered_path``, of both halves together, where present, are unfiltered and of the same box.
    """


class Mask(Dataset, kind="mask", required=("mask_path", "box_size")):
    """A soft mask in [0, 1]."""


class FSC(Dataset, kind="fsc", required=("shell", "frequency", "fsc")):
    """Fourier shell correlations: one row a shell (``id`` = ``shell``), ``frequency`` in 1/Å, one column a curve.

    Meta: ``resolution`` (Å).
    """


class ResolutionCurve(Dataset, kind="resolution_curve", required=("subset_size", "resolution")):
    """Resolution against the number of particles, one row a number.

    Meta: ``verdict``, and of the line through it ``intercept``, ``slope`` (1/Å²) and their ``covariance``.
    """


class Orientations(Dataset, kind="orientations", required=("rot", "tilt", "views")):
    """Views counted in cells of equal area, one row a cell, its middle at ``rot``, ``tilt``; meta: the figures of the distribution."""


class Checks(Dataset, kind="checks", required=("check", "verdict", "message")):
    """What was checked of a map, one row a check; ``verdict`` is good, advice or warning, ``value`` the number it rests on."""
