"""Steps whose Scipion form says in several fields, or elsewhere, what ours says in one."""

import math
from collections.abc import Callable, Mapping

from cryoloom.importers.scipion.convert import Conversion, Step, joined
from cryoloom.importers.scipion.pointers import Pointer
from cryoloom.importers.scipion.tables import CRYOSPARC_3D, PARAMETERS, is_on


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
    table = next((name for name in ("starFile", "csFile", "mdFile") if step.record.get(name)), "") if step.has("contrast") else ""
    step.used |= ({table} if table else {"filesPath", "filesPattern"}) & step.record.keys()
    path = step.record[table] if table else joined(step.record.get("filesPath"), step.record.get("filesPattern"))
    if path and str(path).endswith((".sqlite", ".emx", ".lst", ".par")):
        step.needs["path"] = f"was {path}, a table of another program; export it as STAR"
    elif path:
        step.parameters["path"] = path


def _coordinates(step: Step, whole: Conversion) -> None:
    _movies(step, whole)
    step.parameters["path"] = step.parameters.pop("pattern", None)
    if not step.parameters["path"]:
        del step.parameters["path"]
    box, pixel_size = step.number("boxSize"), whole.pixel_size(step)
    if box and box > 0 and pixel_size and step.has("diameter"):
        step.parameters["diameter"] = box * pixel_size


DETECTOR = (
    ("gainRot", "gain_rotation"),
    ("gainFlip", "gain_flip"),
    ("defectFile", "defects"),
    ("defectMap", "defects"),
    ("eerGroup", "eer_grouping"),
    ("eerSampling", "eer_upsampling"),
)
"""Parameters of alignments that are told at the import of the movies here."""


def _detector(step: Step, whole: Conversion) -> None:
    """Turn the gain, and say what else is of the detector, where movies are read: at their import."""
    source = next((each for each in whole.above(step) if each.protocol and each.protocol.id == "import.movies"), None)
    for name, ours in DETECTOR:
        if source and step.record.get(name) not in (None, ""):
            try:
                source.parameters[ours] = PARAMETERS[name][1](step.record[name])
                step.used.add(name)
            except (ValueError, TypeError):
                source.needs[ours] = f"was {step.record[name]!r} ({name} of {step.id}), which means nothing here"


def _frames_summed(step: Step, whole: Conversion) -> None:
    """Take the frames that RELION's own alignment sums, for it reads no others."""
    for name, ours in (("sumFrame0", "first_frame"), ("sumFrameN", "last_frame")):
        number = step.number(name)
        if number is not None:
            step.parameters[ours] = int(number)


def _frames_from_zero(step: Step, whole: Conversion) -> None:
    """Refuse to guess what frames an old alignment left out, for its forms counted them in more than one way."""
    for name, ours in (
        ("alignFrame0", "first_frame"),
        ("alignFrameN", "last_frame"),
        ("sumFrame0", "sum_range"),
        ("sumFrameN", "sum_range"),
    ):
        if number := step.number(name):
            step.needs[ours] = f"was {number:g} ({name}), counted in the way of an old form"


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
    if not is_on(step.record.get("fixAstig", True)):
        step.parameters["astigmatism"] = 0.0
    step.used |= {"fixAstig"} & step.record.keys()
    largest = step.number("maxPhaseShift")
    if largest and largest < 2 * math.pi:  # older forms ask for radians
        for ours in ("min_phase_shift", "max_phase_shift", "phase_shift_step"):
            if ours in step.parameters:
                step.parameters[ours] = min(180.0, round(math.degrees(step.parameters[ours]), 1))


UNSCREENED = 1e6
"""Å: more than any defocus, astigmatism or resolution, for screening that is off."""


def _screening(step: Step, whole: Conversion) -> None:
    """Read the limits that are in use, and find the micrographs, which Scipion's sets of CTFs bring with them."""
    on = {name: is_on(step.record.get(name, True)) for name in ("useDefocus", "useAstigmatism", "useResolution")}
    share = is_on(step.record.get("useAstigmatismPercentage"))
    step.used |= {*on, "useAstigmatismPercentage"} & step.record.keys()
    for name, ours in (("minDefocus", "min_defocus"), ("maxDefocus", "max_defocus"), ("resolution", "max_resolution")):
        value = step.number(name)
        if not on["useResolution" if name == "resolution" else "useDefocus"]:
            step.parameters[ours] = 0.0 if ours == "min_defocus" else UNSCREENED
        elif value is not None:
            step.parameters[ours] = value
    absolute, relative = step.number("astigmatism"), step.number("astigmatismPer")
    if share and on["useAstigmatism"]:
        step.needs["max_astigmatism"] = f"was screened twice: {absolute:g} Å and {relative:g} of the defocus; choose one"
    elif share and relative:
        step.parameters["max_astigmatism"] = relative
    elif not on["useAstigmatism"]:
        step.parameters["max_astigmatism"] = UNSCREENED
    elif absolute:
        step.parameters["max_astigmatism"] = absolute
    _where_missing("inputCTF")(step, whole)


def _gaussian(step: Step, whole: Conversion) -> None:
    box, pixel_size = step.number("boxSize"), whole.pixel_size(step)
    if box and pixel_size:
        step.parameters["diameter"] = box * pixel_size


def _micrographs_behind(name: str) -> Callable[[Step, Conversion], None]:
    """Take the micrographs that what a pointer parameter names was made of; Scipion's sets bring them with them."""

    def take(step: Step, whole: Conversion) -> None:
        named = step.pointers.get(name, [])
        source = whole.steps.get(named[0].run) if named else None
        for each in whole.above(source) if source else ():
            if found := each.pointers.get("inputMicrographs") or each.pointers.get("inputMics"):
                whole.connect(step, "micrographs", found[:1])
                return

    return take


def _where_missing(name: str) -> Callable[[Step, Conversion], None]:
    """Do so if no micrographs are named."""
    return lambda step, whole: None if "micrographs" in step.inputs else _micrographs_behind(name)(step, whole)


def _votes(step: Step, whole: Conversion) -> None:
    """Read how many pickers must agree, -1 for all of them."""
    votes = step.number("consensus")
    if votes is not None and step.has("votes"):
        step.parameters["votes"] = int(votes) if votes > 0 else max(1, len(step.pointers.get("inputCoordinates", [])))
        if step.has("by"):
            step.parameters["by"] = "votes"
    _bound(step, "consensusRadius", "radius")


def _topaz(step: Step, whole: Conversion) -> None:
    """Ask for the diameter where Topaz's radius hung on another step."""
    _bound(step, "radius", "diameter")


def _bound(step: Step, theirs: str, ours: str) -> None:
    if theirs in step.pointers:
        step.used.add(theirs)
        step.needs[ours] = f"is bound to {step.record[theirs]} of the old project"


def _extract(step: Step, whole: Conversion) -> None:
    """Find the micrographs: the ones that were picked on, unless others are named."""
    if step.record.get("doNormalize") is False:
        step.parameters["normalisation"] = "none"
    step.used |= {"doNormalize", "downsampleType"} & step.record.keys()
    if "doResize" in step.record:
        _resized(step)
    if "micrographs" in step.inputs and step.record.get("micsSource", 1):
        return
    if "micsSource" in step.record:
        step.used.add("micsSource")
    _micrographs_behind("inputCoordinates")(step, whole)


def _resized(step: Step) -> None:
    """Read the newer form: its box counts px of the micrographs, and what it becomes is a pixel size, a box, or a factor, if it is resized at all."""
    step.used |= {"doResize", "resizeOption", "downFactor", "resizeDim", "resizeSamplingRate"} & step.record.keys()
    step.parameters["box_unit"] = "input-px"
    values = {"factor": "bin", "dimension": "scaled_size", "sampling-rate": "pixel_size"}
    way = step.parameters.pop("resize", "factor")
    way = way if is_on(step.record["doResize"]) else ""
    for other in values.keys() - {way}:
        step.parameters.pop(values[other], None)
    if way:
        step.parameters["resize"] = way


def _resized_map(step: Step, whole: Conversion) -> None:
    """Read two switches, to resize and to change the box: only the value that is chosen counts of the many that a form keeps."""
    relion = step.kind == "ProtRelionResizeVolume"
    scaled, boxed = (is_on(step.record.get(name)) for name in (("doRescale", "doResize") if relion else ("doResize", "doWindow")))
    step.used |= {"doResize", "doWindow", "doRescale"} & step.record.keys()
    way = step.parameters.get("resize", "sampling-rate") if scaled else "none"
    window = {"crop": "crop", "0": "crop"}.get(str(step.record.get("windowOperation", 1)), "box") if boxed else "none"
    values = {"sampling-rate": "pixel_size", "dimension": "scaled_size", "factor": "factor", "pyramid": "level"}
    values |= {"box": "window_size", "crop": "crop_size"}
    for other in values.keys() - {way, window}:
        step.parameters.pop(values[other], None)
    step.parameters |= {"resize": way, "window": window}


def _relion_extract(step: Step, whole: Conversion) -> None:
    """Read the box, in px of the micrographs, and what it is scaled to."""
    if "boxSize" in step.pointers:
        step.used.add("boxSize")
        step.needs["box_size"] = f"is bound to {step.record['boxSize']} of the old project"
        return
    box, scaled = step.number("boxSize"), step.number("rescaledSize")
    if not box or box <= 0:
        return
    rescale = is_on(step.record.get("doRescale")) and scaled
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


def _cryosparc_3d(step: Step, whole: Conversion) -> None:
    """Read the symmetry, told by kind and order, and the mask."""
    kind = step.record.get("symmetryGroup")
    step.used |= {"symmetryGroup", "symmetryOrder"} & step.record.keys()
    number = step.number("symmetryGroup")
    if number in (0, 1):
        step.parameters["symmetry"] = f"{'CD'[int(number)]}{int(step.number('symmetryOrder') or 1)}"
    elif number in (2, 3):
        step.parameters["symmetry"] = "TO"[int(number) - 2]
    elif isinstance(kind, str) and kind:
        step.parameters["symmetry"] = kind.strip().upper()
    elif kind is not None:
        step.needs["symmetry"] = f"was choice {kind} of cryoSPARC's: an icosahedral setting, whose axes are to be chosen"
    _mask_of_box(0.95)(step, whole)


def _cryosparc_2d(step: Step, whole: Conversion) -> None:
    """Read the outer window; left empty, cryoSPARC takes the whole box."""
    outer = step.number("class2D_window_outer_A")
    if outer and outer > 0:
        step.parameters["mask_diameter"] = outer
    _mask_of_box(0.95)(step, whole)


def _sharpen(step: Step, whole: Conversion) -> None:
    if is_on(step.record.get("doAutoBfactor", True)):
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


def _class_ranker(step: Step, whole: Conversion) -> None:
    """Choose classes by themselves, with the particles in them; RELION's scores are of another kind than ours."""
    step.parameters["mode"] = "auto"
    for run in [each.run for each in step.pointers.get("inputProtocol", [])][:1]:
        whole.connect(step, "items", [Pointer(run, "outputParticles")])
        whole.connect(step, "classes", [Pointer(run, "outputClasses")])


def _subset_by_ids(step: Step, whole: Conversion) -> None:
    """Take the rows that are listed."""
    step.used |= {"selectIds"} & step.record.keys()
    if step.has("mode"):
        step.parameters["mode"] = "ids"


def _user_subset(step: Step, whole: Conversion) -> None:
    """Refuse to guess: the file that held the choice belongs to the old project."""
    found = step.pointers.get("inputObject", [])
    kind = str(step.record.get("outputClassName") or "")
    if found and kind and not found[0].output:  # a run is named, and beside it what of it was chosen from
        whole.connect(step, "items", [Pointer(found[0].run, kind)])
    file = step.record.get("sqliteFile") or "a file"
    step.needs["where|ids|mode"] = f"was chosen by hand in another project ({file})"


BY_PROTOCOL: Mapping[str, Callable[[Step, Conversion], None]] = {
    "import.movies": _movies,
    "import.micrographs": _movies,
    "import.particles": _path,
    "import.volume": _path,
    "import.coordinates": _coordinates,
    "motion.correlation": _detector,
    "motion.optical_flow": _detector,
    "ctf.estimate": _band,
    "ctf.refine": _band,
    "ctf.consensus": _screening,
    "particles.extract": _extract,
    "volumes.resize": _resized_map,
    "pick.learned": _where_missing("xmippParticlePicking"),
    "pick.clean": _where_missing("inputCoordinates"),
}
BY_CLASS: Mapping[str, Callable[[Step, Conversion], None]] = {
    "SparxGaussianProtPicking": _gaussian,
    "ProtRelionExtractParticles": _relion_extract,
    "ProtCryo2D": _cryosparc_2d,
    "ProtRelionClassify2D": _mask_of_box(0.95),
    "ProtRelionInitialModel": _mask_of_box(0.95),
    "ProtRelionRefine3D": _mask_of_box(0.95),
    "ProtRelionClassify3D": _mask_of_box(0.95),
    **dict.fromkeys(CRYOSPARC_3D, _cryosparc_3d),
    "ProtRelionPostprocess": _sharpen,
    "ProtRelionCreateMask3D": _mask,
    "XmippProtConsensusPicking": _votes,
    "TopazProtPicking": _topaz,
    "ProtSubSet": _subset_by_ids,
    "ProtUserSubSet": _user_subset,
    "ProtRelionSelectClasses2D": _class_ranker,
    "ProtRelionMotioncor": _frames_summed,
    "ProtMovieAlignment": _frames_from_zero,
}
