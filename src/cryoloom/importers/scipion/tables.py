"""What Scipion's classes, enumerations and units are here. Names not in these tables are found by the aliases that protocols declare.

Enumerations are stored as indexes; the tables are those of pwem 3 and of the plugins of that generation (2019 on). Where an older form used
another unit under the same name, the value tells which it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

CLASSES: Mapping[str, str] = {
    # import
    "ProtImportMovies": "import.movies",
    "ProtImportMicrographs": "import.micrographs",
    "ProtImportParticles": "import.particles",
    "ProtImportAverages": "import.particles",
    "ProtImportVolumes": "import.volume",
    "ProtImportMask": "import.mask",
    "ProtImportCoordinates": "import.coordinates",
    "ProtImportCTF": "import.ctfs",
    "ProtImportPdb": "import.model",
    # movies and micrographs
    "ProtMotionCorr": "motion.correlation",
    "ProtRelionMotioncor": "motion.correlation",
    "XmippProtMovieCorr": "motion.correlation",
    "XmippProtFlexAlign": "motion.correlation",
    "XmippProtOFAlignment": "motion.optical_flow",
    "ProtMovieAlignment": "motion.optical_flow",
    "CistemProtUnblur": "motion.correlation",
    "XmippProtConsensusMovieAlignment": "motion.consensus",
    "CistemProtCTFFind": "ctf.estimate",
    "ProtCTFFind": "ctf.estimate",
    "ProtGctf": "ctf.estimate",
    "XmippProtCTFMicrographs": "ctf.refine",
    "XmippProtCTFConsensus": "ctf.consensus",
    "XmippProtPreprocessMicrographs": "micrographs.preprocess",
    # particles
    "XmippProtParticlePicking": "pick.manual",
    "XmippParticlePickingAutomatic": "pick.learned",
    "SphireProtCRYOLOPicking": "pick.deep",
    "TopazProtPicking": "pick.deep",
    "ProtRelionAutopickLoG": "pick.blob",
    "SparxGaussianProtPicking": "pick.blob",
    "ProtRelion2Autopick": "pick.template",
    "XmippProtScreenDeepConsensus": "pick.consensus",
    "XmippProtConsensusPicking": "pick.consensus",
    "XmippProtDeepMicrographScreen": "pick.clean",
    "XmippProtExtractParticles": "particles.extract",
    "ProtRelionExtractParticles": "particles.extract",
    "ProtRelionBayesianPolishing": "particles.polish",
    # classes and sets
    "ProtCryo2D": "classify2d.em",
    "ProtRelionClassify2D": "classify2d.em",
    "XmippProtCL2D": "classify2d.hierarchical",
    "ProtUserSubSet": "sets.select",
    "ProtRelionSelectClasses2D": "sets.select",
    "ProtSubSet": "sets.subset",
    "ProtUnionSet": "sets.join",
    "ProtSplitSet": "sets.split",
    # maps
    "XmippProtReconstructSignificant": "initial.significant",
    "XmippProtReconstructSwarm": "initial.swarm",
    "ProtRelionInitialModel": "initial.sgd",
    "ProtCryoSparcInitialModel": "initial.sgd",
    "XmippProtCropResizeVolumes": "volumes.resize",
    "ProtRelionResizeVolume": "volumes.resize",
    "XmippProtAlignVolume": "volumes.align",
    "XmippProtFilterVolumes": "volumes.filter",
    "ProtRelionSymmetrizeVolume": "volumes.symmetrize",
    "ProtRelionRefine3D": "refine.auto",
    "ProtCryoSparcRefine3D": "refine.auto",
    "ProtCryoSparc3DHomogeneousRefine": "refine.auto",
    "ProtCryoSparcNonUniformRefine3D": "refine.auto",
    "ProtCryoSparcNewNonUniformRefine3D": "refine.auto",
    "ProtRelionClassify3D": "classify3d.em",
    "XmippProtConsensusClasses3D": "classify3d.consensus",
    "XmippProtDeepAlign": "refine.deep_align",
    "XmippProtCompareAngles": "angles.compare",
    "XmippProtAngCompare": "angles.compare",
    "XmippProtReconstructHighRes": "refine.local",
    "ProtCryoSparcLocalRefine": "refine.local",
    "ProtCryoSparcNewLocalRefine": "refine.local",
    "ProtRelionCtfRefinement": "refine.ctf",
    "XmippProtMonoRes": "validate.local_resolution",
    "ProtRelionLocalRes": "validate.local_resolution",
    "XmippProtLocSharp": "postprocess.local_sharpen",
    "XmippProtValidateOverfitting": "validate.overfitting",
    "ProtRelionCreateMask3D": "postprocess.mask",
    "XmippProtCreateMask3D": "postprocess.mask",
    "ProtRelionPostprocess": "postprocess.sharpen",
    "ChimeraProtRigidFit": "model.fit",
    "PhenixProtRunDockInMap": "model.fit",
    "PhenixProtRunRSRefine": "model.fit",
    "ProtExportEMDB": "deposit.emdb",
    "ProtExportDataBases": "deposit.emdb",
}
"""Class to protocol, also to those that this version may not have: such a node is a placeholder until it has."""

INSTEAD: Mapping[str, tuple[str, str]] = {"ProtSubSet": ("selectIds", "sets.select")}
"""Class to the parameter that, being on, makes it another protocol, and that."""

CRYOSPARC_3D = (
    "ProtCryoSparcInitialModel",
    "ProtCryoSparcRefine3D",
    "ProtCryoSparc3DHomogeneousRefine",
    "ProtCryoSparcNonUniformRefine3D",
    "ProtCryoSparcNewNonUniformRefine3D",
)
"""Classes that tell a symmetry by kind and order, and mask by the box."""

LIKE: Mapping[str, str] = {
    "motion.optical_flow": "motion.correlation",
    "motion.consensus": "motion.correlation",
    "ctf.refine": "ctf.estimate",
    "pick.manual": "pick.blob",
    "pick.learned": "pick.blob",
    "pick.deep": "pick.blob",
    "pick.template": "pick.blob",
    "initial.significant": "initial.sgd",
    "refine.local": "refine.auto",
    "postprocess.local_sharpen": "postprocess.sharpen",
    "sets.subset": "sets.select",
}
"""Protocol to the one that may replace it where it is missing."""

OFFERS: Mapping[str, str] = {
    "CryoassessProt2D": "sets.select",
    "CryoassessProtMics": "sets.select",
    "XmippProtTiltAnalysis": "sets.select",
    "XmippProtMovieMaxShift": "sets.select",
    "ProtClassesSelector": "sets.select",
    "XmippProtEliminateEmptyClasses": "sets.select",
    "XmippProtEliminateEmptyParticles": "sets.select",
    "XmippProtScreenParticles": "sets.select",
    "ProtGautomatch": "pick.blob",
    "EmanProtBoxing": "pick.blob",
    "EmanProtAutopick": "pick.blob",
    "CistemProtFindParticles": "pick.blob",
    "DogPickerProtPicking": "pick.blob",
    "XmippProtCenterParticles": "particles.extract",
    "ProtExtractCoords": "particles.extract",
    "XmippProtCL2DAlign": "classify2d.em",
    "SpiderProtClassifyDiday": "classify2d.em",
    "SpiderProtClassifyWard": "classify2d.em",
    "CistemProtRefine2D": "classify2d.em",
    "XmippProtProjMatch": "refine.auto",
    "ProtCryoSparc3DClassification": "classify3d.em",
    "ProtCryoSparcNew3DClassification": "classify3d.em",
    "ProtCryoSparcSharppening": "postprocess.sharpen",
    "XmippProtCreateMask2D": "postprocess.mask",
}
"""Classes without a counterpart, and the protocol that may do instead."""

Converter = Callable[[Any], Any]
SKIP = object()
"""The value says nothing here: our default holds."""


def _unless(*nothing: Any) -> Converter:
    return lambda value: SKIP if value in (None, "", *nothing) else value


def _enumeration(*words: Any) -> Converter:
    def word(index: Any) -> Any:
        number = int(index)
        if not 0 <= number < len(words):
            raise ValueError(f"choice {number} of {len(words)}")
        return words[number]

    return word


def _yes_no(value: Any) -> Any:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return words.get(str(value).strip().lower(), value)


def is_on(value: Any) -> bool:
    """Return whether a parameter is on; templates write that in several ways."""
    return _yes_no(value) is True


def _choice(yes: Any, no: Any) -> Converter:
    return lambda value: yes if _yes_no(value) is True else no


def _angstrom_of_defocus(value: Any) -> float:
    number = float(value)
    return number * 1e4 if abs(number) < 100 else number  # older forms ask for µm


def _symmetry(value: Any) -> str:
    return str(value).strip().upper()


def _listed(value: Any) -> list[str]:
    return [each.strip() for each in str(value).split(",") if each.strip()]


def _patches(value: Any) -> int:
    return max(1, int(value))


PARAMETERS: Mapping[str, tuple[str, Converter]] = {
    "samplingRateMode": ("pixel_size_mode", _enumeration("image", "scanner")),
    "gainRot": ("", _enumeration(0, 90, 180, 270)),
    "gainFlip": ("", _enumeration("none", "upside-down", "left-right")),
    "defectFile": ("defects", str),
    "defectMap": ("", str),
    "eerGroup": ("", int),
    "eerSampling": ("", _enumeration(1, 2)),
    "patchX": ("patches", _patches),
    "doApplyDoseFilter": ("dose_weighting", _choice("yes", "no")),
    "doDW": ("dose_weighting", _choice("yes", "no")),
    "maxShift": ("max_shift", _unless(0, -1)),
    "maximumShift": ("max_shift", _unless(-1)),
    "minDefocus": ("min_defocus", _angstrom_of_defocus),
    "maxDefocus": ("max_defocus", _angstrom_of_defocus),
    "stepDefocus": ("defocus_step", _unless(0)),
    "minPhaseShift": ("min_phase_shift", float),
    "maxPhaseShift": ("max_phase_shift", float),
    "stepPhaseShift": ("phase_shift_step", float),
    "averageDefocus": ("defocus_from", _choice("average", "first")),
    "doPhShEst": ("find_phase_shift", _yes_no),
    "phaseShiftL": ("min_phase_shift", float),
    "phaseShiftH": ("max_phase_shift", float),
    "phaseShiftS": ("phase_shift_step", float),
    "groupFrames": ("group_size", int),
    "maxDiameter": ("diameter", _unless(-1, 0)),
    "boxSize": ("box_size", _unless(-1, 0)),
    "areParticlesWhite": ("bright", _yes_no),
    "normType": ("normalisation", _enumeration("image", "background", "ramp")),
    "backRadius": ("background_radius", _unless(-1, 0)),
    "boxSizeForced": ("forced_size", _unless(-1, 0)),
    "resizeOption": ("resize", _enumeration("sampling-rate", "dimension", "factor", "pyramid")),
    "resizeDim": ("scaled_size", _unless(-1, 0)),
    "patchSize": ("patch_size", _unless(-1, 0)),
    "symmetryGroup": ("symmetry", _symmetry),
    "maskDiameterA": ("mask_diameter", _unless(-1, 0)),
    "initialLowPassFilterA": ("initial_lowpass", _unless(-1, 0)),
    "limitResolEStep": ("max_resolution", _unless(-1, 0)),
    "abinit_K": ("classes", int),
    "abinit_max_res": ("resolution", float),
    "abinit_minisize_init": ("first_batch", _unless(0)),
    "abinit_minisize": ("last_batch", _unless(0)),
    "abinit_nonneg": ("positive", _yes_no),
    "refine_res_init": ("initial_lowpass", _unless(0)),
    "operation": ("operation", _enumeration("and", "or", "and-not", "or-not")),
    "bfactor": ("b_factor", _unless(0)),
    "bfactorHighRes": ("fit_high", _unless(-1, 0)),
    "mtf": ("mtf_file", _unless()),
    "origPixelSize": ("detector_pixel_size", _unless(-1, 0)),
    "calibratedPixelSize": ("calibrated_pixel_size", _unless(-1, 0)),
    "skipFscWeighting": ("weight_by_fsc", _choice(False, True)),
    "dosePerFrame": ("dose_per_frame", _unless(0)),
    "voltage": ("voltage", float),
    "magnification": ("magnification", _unless(0)),
    "comparisonMethod": ("comparison", _enumeration("correlation", "correntropy")),
    "clusteringMethod": ("clustering", _enumeration("classical", "robust")),
    "range": ("ids", _listed),
    "copyAlignment": ("poses", _choice("given", SKIP)),
    "alignmentAsPriors": ("poses", _choice("prior", SKIP)),
}
"""Parameter to ours and how its value is converted; it counts for protocols that have ours. The others keep their value."""

LEFT: Mapping[str, frozenset[str]] = {
    "ProtRelionAutopickLoG": frozenset({"threshold", "boxSize"}),
    "SparxGaussianProtPicking": frozenset({"boxSize", "lowerThreshold", "threshold"}),
    "TopazProtPicking": frozenset({"threshold", "boxSize"}),
    "SphireProtCRYOLOPicking": frozenset({"boxSize"}),
    "XmippProtConsensusPicking": frozenset({"consensus", "consensusRadius", "mode"}),
    "ProtRelionCreateMask3D": frozenset({"initialLowPassFilterA"}),
    "XmippProtCreateMask3D": frozenset({"geo", "doSymmetrize", "doMorphological", "removeSmall"}),
    "ProtRelionExtractParticles": frozenset({"boxSize", "rescaledSize"}),
    "ProtImportMovies": frozenset({"filesPath", "filesPattern"}),
    "ProtImportMicrographs": frozenset({"filesPath", "filesPattern"}),
    "ProtImportParticles": frozenset({"filesPath", "starFile"}),
    "ProtImportAverages": frozenset({"filesPath"}),
    "ProtImportVolumes": frozenset({"filesPath"}),
    "ProtImportCoordinates": frozenset({"filesPath", "filesPattern"}),
    "ProtRelionMotioncor": frozenset({"sumFrame0", "sumFrameN"}),
    "ProtMovieAlignment": frozenset({"alignFrame0", "alignFrameN", "sumFrame0", "sumFrameN"}),
    "CistemProtCTFFind": frozenset({"lowRes", "highRes"}),
    "ProtGctf": frozenset({"lowRes", "highRes"}),
    "XmippProtCTFMicrographs": frozenset({"lowRes", "highRes"}),
    "XmippProtCTFConsensus": frozenset({"minDefocus", "maxDefocus", "astigmatism", "resolution"}),
    "ProtCTFFind": frozenset({"lowRes", "highRes"}),
    "ProtRelionClassify2D": frozenset({"numberOfIterations"}),
    "ProtRelionPostprocess": frozenset({"lowRes"}),
    **dict.fromkeys(CRYOSPARC_3D, frozenset({"symmetryGroup"})),
}
"""Parameters that the alias of a like name must not take: they mean something else, or `special` converts several of them together."""

INPUTS: Mapping[str, str] = {
    "inputMovies": "movies",
    "inputMicrographs": "micrographs",
    "inputMics": "micrographs",
    "ctfRelations": "ctfs",
    "inputCTF": "ctfs",
    "inputCoordinates": "coordinates",
    "inputParticles": "particles",
    "inputClasses": "particles",
    "inputSet": "averages",
    "inputObject": "items",
    "inputFullSet": "items",
    "inputSets": "items",
    "referenceVolume": "reference",
    "refVolume": "reference",
    "inputVolume": "volume",
    "inputVolumes": "volume",
    "referenceMask": "mask",
    "solventMask": "mask",
    "inputMask": "mask",
    "refMask": "mask",
    "inputVolume2": "other",
    "protRefine": "volume",
}
"""Pointer parameter to our input; it counts for protocols that have it."""

MANAGEMENT = frozenset(
    {
        "_useQueue",
        "_queueParams",
        "runName",
        "runMode",
        "hostName",
        "numberOfThreads",
        "numberOfMpi",
        "useGpu",
        "gpuList",
        "doGPU",
        "doGpu",
        "GPUCore",
        "GPUIDs",
        "gpusToUse",
        "gpuMsg",
    }
    | {"useQueue", "queueParams", "forceSchedule", "streamingWarning", "streamingSleepOnWait", "streamingBatchSize", "compute_lane"}
    | {"useParallelDisk", "pooledParticles", "allParticlesRam", "scratchDir", "combineItersDisc", "compute_use_ssd", "cacheParticlesSSD"}
    | {"acquisitionWizard", "_prerequisites"}
)
"""Parameters about where and how a run is carried out: they do not change its result, and are kept without a counterpart."""
