"""Steps whose Scipion form says in several fields, or elsewhere, what ours says in one."""

from collections.abc import Callable, Mapping

from cryoloom.importers.scipion.convert import Conversion, Step, joined
from cryoloom.importers.scipion.tables import PARAMETERS


def finish(step: Step, whole: Conversion) -> None:
    """Complete the parameters and inputs of a step whose protocol is known."""
    assert step.protocol
    for special in (BY_PROTOCOL.get(step.protocol.id), BY_CLASS.get(step.kind)):
        if special:
            special(step, whole)


def _movies(step: Step, whole: Conversion) -> None:
    folder, pattern = step.record.get("filesPath"), step.record.get("filesPattern")
    step.used |= {"filesPath", "filesPattern"} & step.record.keys()
    if pattern:
        step.parameters["folder"] = str(folder or "")
    if pattern or folder:
        step.parameters["pattern"] = [str(pattern or folder)]
    if step.parameters.get("pixel_size_mode") == "scanner":
        step.parameters.pop("pixel_size", None)
    elif step.record.get("samplingRateMode") == 1:
        scanned, magnification = step.number("scannedPixelSize"), step.number("magnification")
        if scanned and magnification:
            step.parameters["pixel_size"] = scanned * 1e4 / magnification
            step.used.add("samplingRateMode")


def _path(step: Step, whole: Conversion) -> None:
    names = {"starFile"} if step.record.get("starFile") and step.has("contrast") else {"filesPath", "filesPattern"}
    step.used |= names & step.record.keys()
    path = step.record["starFile"] if names == {"starFile"} else joined(step.record.get("filesPath"), step.record.get("filesPattern"))
    if path:
        step.parameters["path"] = path


def _coordinates(step: Step, whole: Conversion) -> None:
    _movies(step, whole)
    step.parameters["path"] = step.parameters.pop("pattern", None)
    if not step.parameters["path"]:
        del step.parameters["path"]
    box, pixel_size = step.number("boxSize"), whole.pixel_size(step)
    if box and box > 0 and pixel_size and step.has("diameter"):
        step.parameters["diameter"] = box * pixel_size


def _gain(step: Step, whole: Conversion) -> None:
    """Turn the gain where it is read: at the import of the movies."""
    source = next((each for each in whole.above(step) if each.protocol and each.protocol.id == "import.movies"), None)
    for name, ours in (("gainRot", "gain_rotation"), ("gainFlip", "gain_flip")):
        if source and name in step.record:
            try:
                source.parameters[ours] = PARAMETERS[name][1](step.record[name])
                step.used.add(name)
            except (ValueError, TypeError):
                source.needs[ours] = f"was {step.record[name]!r} ({name} of {step.id}), which means nothing here"


def _band(step: Step, whole: Conversion) -> None:
    """Take resolutions in Å, which older forms give as cycles a pixel."""
    pixel_size = whole.pixel_size(step)
    for name, ours in (("lowRes", "low_res"), ("highRes", "high_res")):
        value = step.number(name)
        if value and value >= 1:
            step.parameters[ours] = value
        elif value and pixel_size:
            step.parameters[ours] = round(pixel_size * (step.number("ctfDownFactor") or 1.0) / value, 3)
        elif value:
            step.needs[ours] = f"is {value:g} cycles a pixel, of a pixel size that the file does not tell"


def _gaussian(step: Step, whole: Conversion) -> None:
    box, pixel_size = step.number("boxSize"), whole.pixel_size(step)
    if box and pixel_size:
        step.parameters["diameter"] = box * pixel_size


def _extract(step: Step, whole: Conversion) -> None:
    """Read whether images are normalised; the micrographs are those that were picked on, unless others are named."""
    if step.record.get("doNormalize") is False:
        step.parameters["normalisation"] = "none"
    if "doNormalize" in step.record:
        step.used.add("doNormalize")
    _picked_on(step, whole)


def _picked_on(step: Step, whole: Conversion) -> None:
    """Find the micrographs that were picked on, unless others are named."""
    if "micrographs" in step.inputs and step.record.get("micsSource", 1):
        return
    if "micsSource" in step.record:
        step.used.add("micsSource")
    coordinates = step.pointers.get("inputCoordinates", [])
    source = whole.steps.get(coordinates[0].run) if coordinates else None
    for each in whole.above(source) if source else ():
        if found := each.pointers.get("inputMicrographs") or each.pointers.get("inputMics"):
            whole.connect(step, "micrographs", found[:1])
            return


def _relion_extract(step: Step, whole: Conversion) -> None:
    """Read the box, in px of the micrographs, and what it is scaled to."""
    if "boxSize" in step.pointers:
        step.used.add("boxSize")
        step.needs["box_size"] = f"is bound to {step.record['boxSize']} of the old project"
        return
    box, scaled = step.number("boxSize"), step.number("rescaledSize")
    if not box or box <= 0:
        return
    rescale = str(step.record.get("doRescale")).lower() in ("true", "1") and scaled
    step.used.add("doRescale")
    step.parameters["box_size"] = int(scaled if rescale and scaled else box)
    if rescale and scaled:
        step.parameters["bin"] = box / scaled
    background = step.number("backDiameter")
    if background and background > 0:
        step.parameters["background_radius"] = int(background / 2 / step.parameters.get("bin", 1))
    dust = [each for each in (step.number("stddevWhiteDust"), step.number("stddevBlackDust")) if each and each > 0]
    step.parameters["remove_dust"] = bool(dust)
    if dust:
        step.parameters["dust_threshold"] = min(dust)


def _mask_of_box(share: float) -> Callable[[Step, Conversion], None]:
    """Fill in the mask that a program lays on the images by itself: a circle of this share of the box."""

    def fill(step: Step, whole: Conversion) -> None:
        extent = whole.extent(step)
        if "mask_diameter" not in step.parameters and extent:
            step.parameters["mask_diameter"] = round(share * extent, 1)

    return fill


def _cryosparc_2d(step: Step, whole: Conversion) -> None:
    """Read the outer window; left empty, cryoSPARC takes the whole box."""
    outer = step.number("class2D_window_outer_A")
    if outer and outer > 0:
        step.parameters["mask_diameter"] = outer
    _mask_of_box(0.95)(step, whole)


def _sharpen(step: Step, whole: Conversion) -> None:
    if str(step.record.get("doAutoBfactor", True)).lower() in ("true", "1"):
        step.parameters.pop("b_factor", None)
    else:
        low = step.number("lowRes")
        if low and low > 0:
            step.parameters["lowpass"] = low
    step.used |= {"doAutoBfactor"} & step.record.keys()


def _mask(step: Step, whole: Conversion) -> None:
    low = step.number("initialLowPassFilterA")
    if low and low > 0:
        step.parameters["lowpass"] = low


def _user_subset(step: Step, whole: Conversion) -> None:
    """Refuse to guess: the file that held the choice belongs to the old project."""
    file = step.record.get("sqliteFile") or "a file"
    step.needs["where|ids|mode"] = f"was chosen by hand in another project ({file})"


BY_PROTOCOL: Mapping[str, Callable[[Step, Conversion], None]] = {
    "import.movies": _movies,
    "import.micrographs": _movies,
    "import.particles": _path,
    "import.volume": _path,
    "import.coordinates": _coordinates,
    "motion.correlation": _gain,
    "motion.optical_flow": _gain,
    "ctf.estimate": _band,
    "ctf.refine": _band,
    "particles.extract": _extract,
    "pick.clean": _picked_on,
}
BY_CLASS: Mapping[str, Callable[[Step, Conversion], None]] = {
    "SparxGaussianProtPicking": _gaussian,
    "ProtRelionExtractParticles": _relion_extract,
    "ProtCryo2D": _cryosparc_2d,
    "ProtRelionClassify2D": _mask_of_box(0.95),
    "ProtRelionInitialModel": _mask_of_box(0.95),
    "ProtRelionRefine3D": _mask_of_box(0.95),
    "ProtRelionClassify3D": _mask_of_box(0.95),
    "ProtCryoSparcInitialModel": _mask_of_box(0.95),
    "ProtCryoSparcRefine3D": _mask_of_box(0.95),
    "ProtRelionPostprocess": _sharpen,
    "ProtRelionCreateMask3D": _mask,
    "ProtUserSubSet": _user_subset,
}
