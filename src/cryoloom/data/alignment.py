"""What every protocol that compares images with averages or maps asks for, declared once."""

from typing import Annotated, Literal

from cryoloom.spec import Param
from cryoloom.units import Angstrom

MaskDiameter = Annotated[Angstrom, Param(
    "Mask diameter", gt=0, wizard="mask-circle", aliases=("maskDiameterA", "particle_diameter"),
    help="Soft circle on the images: the particle's largest diameter plus a tenth. Too small cuts the particle, too large adds noise.",
)]  # fmt: skip
TransferFunction = Annotated[Literal["full", "from-first-peak", "none"], Param(
    "Transfer function", "full", advanced=True,
    help="from-first-peak takes it as 1 up to its first peak: for negative stain, or where low frequencies are not as the CTF says. none takes it as "
    "1: only for images corrected for it already.",
)]  # fmt: skip
RelaxSymmetry = Annotated[str, Param(
    "Relax symmetry", "", advanced=True, aliases=("relaxSymm", "relax_sym"),
    help="Group that the particle nearly has, such as C4, while a lower one is imposed: every mate of an image's pose is tried as well, so that what "
    "breaks the symmetry can be found. The reference must show some of it, or mates stay equal. Empty for none.",
)]  # fmt: skip
GreyScales = Annotated[bool, Param(
    "Grey scales of micrographs", True, advanced=True, aliases=("do_scale",),
    help="Find how much fainter or stronger the particles of each micrograph are than their noise says (thicker ice, another exposure). Off, all count "
    "alike.",
)]  # fmt: skip
ZeroMask = Annotated[bool, Param(
    "Zeros outside the mask", True, advanced=True, aliases=("maskZero", "do_zero_mask"),
    help="Off, noise like the background's takes the place of what the circle cuts off, so that its edge is no feature: for masks that cut near the "
    "particle, and for classes that sort by the edge.",
)]  # fmt: skip
ShiftRange = Annotated[Angstrom | None, Param(
    "Largest shift", None, gt=0, advanced=True,
    help="How far from the box's centre particles are sought at first; empty for a tenth of the box or so. For badly centred picks; time grows with its "
    "square.",
)]  # fmt: skip
Regularisation = Annotated[float, Param(
    "Regularisation T", 1.0, gt=0, le=20, advanced=True, aliases=("regularisationParamT", "tau_fudge"),
    help="Weight of the images over what the agreement of their halves says: more than 1 keeps more detail in the references, and more noise.",
)]  # fmt: skip
