"""Workflows of our own with the traits of those that Scipion and its plugins publish: their classes, names of parameters and slips of the pen.

Each is as small as its traits allow. None is a copy: values, labels and most parameters are others.
"""

import json
from typing import Any

Step = dict[str, Any]


def step(kind: str, number: int | str, **parameters: Any) -> Step:
    """Return an object as Scipion exports it; `number` is its id."""
    head = {"object.className": kind, "object.id": number if isinstance(number, str) else str(number), "object.label": f"{kind} {number}"}
    return {**head, "object.comment": "", "_useQueue": False, "_prerequisites": "", "_queueParams": None, "runMode": 0, **parameters}


def movies(number: int, **parameters: Any) -> Step:
    """Return an import of movies."""
    usual = {"importFrom": 0, "filesPath": "/d", "filesPattern": "*.tiff", "voltage": 200.0, "sphericalAberration": 1.4, "samplingRateMode": 0,
             "amplitudeContrast": 0.1, "magnification": 50000, "samplingRate": 0.9, "dosePerFrame": 1.2, "gainFile": None}  # fmt: skip
    return step("ProtImportMovies", number, **usual | parameters)


def _relion_map(number: int, kind: str, particles: str, reference: str, **more: Any) -> Step:
    usual = {"isClassify": kind != "ProtRelionRefine3D", "copyAlignment": False, "alignmentAsPriors": False, "maskDiameterA": 190,
             "solventFscMask": False, "continueMsg": "True", "haveDataBeenPhaseFlipped": None, "doImageAlignment": True, "relaxSymm": "",
             "limitResolEStep": -1.0, "initialLowPassFilterA": 50.0, "scratchDir": None, "gpusToUse": ""}  # fmt: skip
    return step(kind, number, inputParticles=particles, referenceVolume=reference, **usual | more)


def relion_tutorial() -> str:
    """Return movies to local resolution with RELION, classes and maps chosen by hand; a comment before the list, and forward pointers."""
    weighted, boxes = "88.outputMicrographsDoseWeighted", {"downsampleType": 0, "ctfRelations": "196.outputCTF", "doNormalize": True,
        "stddevWhiteDust": -1.0, "stddevBlackDust": -1.0, "backDiameter": 200, "doRescale": True, "saveFloat16": True}  # fmt: skip
    classes = {"maskDiameterA": 190, "numberOfClasses": 20, "regularisationParamT": 2.0, "useGradientAlg": True, "numberOfIterations": 20}
    mask = {
        "initialLowPassFilterA": 15.0,
        "threshold": 0.005,
        "doCompare": False,
        "operation": 0,
        "extend": 3,
        "edge": 6,
        "doInvert": False,
    }
    sharp = {"relionInput": True, "bodyNum": 1, "calibratedPixelSize": 0.0, "mtf": "/m.star", "origPixelSize": 0.9, "doAutoBfactor": True,
             "bfactorLowRes": 10.0, "bfactorHighRes": 0.0, "bfactor": -350.0, "skipFscWeighting": False, "lowRes": 5.0}  # fmt: skip
    shared = "Runs/000856_ProtRelionClassify3D/classes3D_state.sqlite,"
    flow = [
        movies(2),
        step("ProtMotionCorr", 88, inputMovies="2.outputMovies", useAlignToSum=True, alignFrame0=1, alignFrameN=24, binFactor=1.0,
             doApplyDoseFilter=True, patchX=5, patchY=5, group=1, gainRot=1, gainFlip=2, defectFile="/d/defects.txt", defectMap=None,
             eerGroup=32, eerSampling=0, EERtext=None, gpuList="0 1", numberOfThreads=3),
        step("CistemProtCTFFind", 196, inputMicrographs=weighted, windowSize=512, lowRes=30.0, highRes=5.0, minDefocus=5000.0,
             maxDefocus=50000.0, stepDefocus=500.0, slowSearch=False, fixAstig=False, astigmatism=100.0, findPhaseShift=False,
             minPhaseShift=0.0, maxPhaseShift=180.0, stepPhaseShift=10.0),
        step("ProtRelionAutopickLoG", 260, inputMicrographs=weighted, boxSize=100, minDiameter=150, maxDiameter=180, threshold=0.0),
        step("ProtRelionExtractParticles", 310, inputCoordinates="260.outputCoordinates", boxSize=256, rescaledSize=64, **boxes),
        step("ProtRelionClassify2D", 380, inputParticles="310.outputParticles", **classes),
        step("ProtUserSubSet", 462, inputObject="380.", other="359", sqliteFile="Runs/000380_X/classes2D_state.sqlite,",
             outputClassName="SetOfAverages,Representatives"),
        step("ProtRelion2Autopick", 518, inputMicrographs=weighted, ctfRelations="196.outputCTF", symmetryGroup="c1",
             inputReferences="462.outputRepresentatives", pickingThreshold=0.05),
        step("ProtRelionSelectClasses2D", 728, inputProtocol="380.", minThreshold=0.35, minParts=-1, minCls=-1),
        step("ProtRelionInitialModel", 798, inputParticles="728.outputParticles", maskDiameterA=190, numberOfIter=100, numberOfClasses=1,
             doFlattenSolvent=True, symmetryGroup="D2", runInC1=True),
        _relion_map(856, "ProtRelionClassify3D", "798.outputParticles", "798.outputVolumeSymmetrized", symmetryGroup="c1", numberOfClasses=4),
        step("ProtExtractCoords", 1004, inputParticles="1046.outputParticles", inputMicrographs=weighted, applyShifts=True),
        step("ProtUserSubSet", 1046, inputObject="856.", other="948", sqliteFile=shared, outputClassName="SetOfParticles"),
        step("ProtUserSubSet", 1081, inputObject="856.", other="948", sqliteFile=shared, outputClassName="SetOfVolumes,Representatives"),
        step("ProtRelionExtractParticles", 1164, inputCoordinates="1004.outputCoordinates", boxSize=360, rescaledSize=256, **boxes),
        step("ProtRelionResizeVolume", 1234, inputVolumes="1081.outputRepresentatives", doResize=True, resizeSize=256),
        _relion_map(1288, "ProtRelionRefine3D", "1164.outputParticles", "1234.outputVol.4", symmetryGroup="D2"),
        step("ProtRelionCreateMask3D", 1368, inputVolume="1288.outputVolume", **mask),
        step("ProtRelionPostprocess", 1409, protRefine="1288.", solventMask="1368.outputMask", **sharp),
        step("ProtRelionCtfRefinement", 1497, inputParticles="1288.outputParticles", inputPostprocess="1409.", fitDefocus=0),
        _relion_map(1680, "ProtRelionRefine3D", "1497.outputParticles", "1288.outputVolume", referenceMask="1368.outputMask",
                    symmetryGroup="D2"),
        step("ProtRelionAssignOpticsGroup", 1781, inputSet="88.outputMovies", mtfFile="/m.star", gainRot=0, inputStar=None),
        step("ProtRelionBayesianPolishing", 2015, inputMovies="1781.outputMovies", inputParticles="1680.outputParticles",
             inputPostprocess="1409.", operation=1),
        step("ProtRelionLocalRes", 2268, protRefine="1680.", solventMask="1368.outputMask", Msg=None, locResSamp=25),
    ]  # fmt: skip
    return "From movies to a map.\nTwo lines, 100 %% ours\n" + json.dumps(flow, indent=4) + "\n"


def streaming() -> str:
    """Return a facility's template: filled fields, two CTFs compared twice, triggers, scalars bound to outputs, a box left to the picker."""
    limits = {"useDefocus": True, "minDefocus": 4000.0, "maxDefocus": 30000.0, "useAstigmatism": False, "astigmatism": 1000.0,
              "useResolution": True, "resolution": "~Resolution|4.5|4|resolution~", "calculateConsensus": True, "minConsResol": 7.0}  # fmt: skip
    boxes = {"downsampleType": 1, "downFactor": 1.0, "boxSize": -1, "normType": 2, "backRadius": -1, "ctfRelations": "330.outputCTF"}
    flow = [
        movies(2, filesPath="~Movie's folder|%(SCIPION_TESTS)s/Movies|2|moviesPath~", gainFile="%(SCIPION_TESTS)s/gain.mrc",
               voltage="~Voltage|300|3|voltage~", dataStreaming="~Live|true|0|live~", timeout="43200"),
        step("XmippProtMovieGain", 64, frameStep=5, movieStep=250, inputMovies="2.outputMovies"),
        step("ProtMotionCorr", 97, inputMovies="64.outputMovies", doApplyDoseFilter=False, patchX=5, binFactor="~Bin|1.0|4|bin~"),
        step("XmippProtMovieMaxShift", 159, inputMovies="97.outputMovies", maxMovieShift=15.0),
        step("ProtGctf", 192, inputMicrographs="159.outputMicrographs", ctfDownFactor=1.0, windowSize=512, astigmatism=100.0, doEPA=False,
             doPhShEst=False, phaseShiftL=0.0, phaseShiftH=180.0, phaseShiftS=10.0, phaseShiftT=0, bfactor=150),
        step("CistemProtCTFFind", 256, inputMicrographs="159.outputMicrographs", AutoDownsampling=False, windowSize=512),
        step("XmippProtCTFMicrographs", 270, inputMicrographs="159.outputMicrographs", ctfRelations="256.outputCTF", doInitialCTF=True,
             lowRes=0.05, highRes=0.35, minDefocus=0.25, maxDefocus=4.0, doOptimizeDefocus=False),
        step("XmippProtCTFConsensus", 309, inputCTF="192.outputCTF", inputCTF2="256.outputCTF", useAstigmatismPercentage=True,
             astigmatismPer=0.1, **limits),
        step("XmippProtCTFConsensus", 330, inputCTF="309.outputCTF", inputCTF2="270.outputCTF", averageDefocus=False, useCritXmipp=True,
             **limits | {"useDefocus": False, "useResolution": False}),
        step("XmippProtPreprocessMicrographs", 360, inputMicrographs="330.outputMicrographs", orderComment=None, doRemoveBadPix=True,
             mulStddev=5, doDownsample=True, downFactor=4),
        step("XmippProtTriggerData", 413, inputImages="360.outputMicrographs", outputSize=10, triggerProt="2.", delay=10),
        step("XmippProtParticlePicking", 447, inputMicrographs="413.outputMicrographs", doInteractive=False),
        step("XmippParticlePickingAutomatic", 480, inputMicrographs="360.outputMicrographs", xmippParticlePicking="447."),
        step("SphireProtCRYOLOPicking", 516, inputMicrographs="360.outputMicrographs", conservPickVar=0.3, boxSize=0, inputModelFrom=0),
        step("TopazProtPicking", 520, inputMicrographs="360.outputMicrographs", radius="530.radiusTopaz", threshold=-8.0),
        step("ProtBoxSizeParameters", 530, inputMicrographs="360.outputMicrographs", boxSize="516.boxsize", factorExtractPartBx=1.64),
        step("XmippProtConsensusPicking", 560, inputCoordinates=["480.outputCoordinates", "516.outputCoordinates"], consensus=-1,
             consensusRadius="530.radiusConsensus"),
        step("XmippProtDeepMicrographScreen", 570, inputCoordinates="560.consensusCoordinates", threshold=0.85),
        step("XmippProtExtractParticles", 591, inputCoordinates="560.consensusCoordinates", inputMicrographs="360.outputMicrographs", **boxes),
        step("ProtRelionExtractParticles", 600, inputCoordinates="570.outputCoordinates_Auto_085", boxSize="530.boxSizeExtraction",
             ctfRelations="330.outputCTF", doRescale=False, rescaledSize=128),
        step("XmippProtEliminateEmptyParticles", 683, inputParticles="591.outputParticles", threshold=1.1),
        step("XmippProtScreenParticles", 751, inputParticles="683.outputParticles", autoParRejection=1),
        step("ProtRelionClassify2D", 822, inputParticles="751.outputParticles", maskDiameterA=-1, numberOfClasses=32),
        step("ProtCryo2D", 1616, inputParticles="751.outputParticles", numberOfClasses="~Classes|32|3|classes~", maximunResolution=6,
             class2D_window_outer_A=None, compute_lane="default"),
        step("XmippProtEliminateEmptyClasses", 891, inputClasses="822.outputClasses", threshold=-1.0),
        step("CryoassessProt2D", 927, inputRefs="1616.outputClasses", batchSize=32),
        step("ProtClassesSelector", 930, inputClasses="927.outputClasses", firstNElements=10),
        step("ProtUnionSet", 963, inputType=4, inputSets=["891.outputAverages", "927.outputAverages"], renumber=False),
        step("XmippProtStrGpuCrrSimple", 1007, inputParticles="751.outputParticles", inputRefs="963.outputSet", maxShift=10),
        step("ProtMonitorSummary", 1041, inputProtocols=["2", "64", "159", "330"], astigmatism=1000.0, smtp="smtp.fake"),
    ]  # fmt: skip
    return "This goes to 2D classes.\n" + json.dumps(flow, indent=4)


def demonstration() -> str:
    """Return a template whose numbers are fields without quotes and without a name to give them by; no line before the list."""
    text = json.dumps([
        movies(2, filesPath="~Movie's folder|%(SCIPION_HOME)s/betagal|2~", voltage="@~Voltage|300|4~@", samplingRate="@~Sampling rate|3.54|4~@",
               sphericalAberration="@~Spherical aberration|2|4~@", dosePerFrame="@~Dose per frame|0.0|4~@"),
        step("XmippProtMovieGain", 313, movieStep="@~Gain estimation movie step|1|4~@", useExistingGainImage=False, inputMovies="2.outputMovies"),
        step("ProtMotionCorr", 56, gpuMsg="True", GPUIDs="0", useAlignToSum=True, sumFrame0=1, sumFrameN=0, inputMovies="2.outputMovies"),
        step("ProtCTFFind", 118, ctfDownFactor=1.0, useCtffind4=True, astigmatism=100.0, findPhaseShift=True, minPhaseShift=0.0,
             maxPhaseShift=3.15, stepPhaseShift=0.2, resamplePix=True, lowRes=0.05, highRes=0.35, minDefocus=0.25, maxDefocus=4.0,
             windowSize=256, inputMicrographs="56.outputMicrographs"),
        step("ProtMonitorSummary", 164, inputProtocols=["2", "56", "118", "313"]),
        step("SphireProtCRYOLOPicking", 200, boxSize="@~Picking box size|64|4~@", inputMicrographs="56.outputMicrographs"),
        step("ProtRelion2Autopick", 3829, particleDiameter="@~Particle diameter in Å|180|3~@", gpusToUse="", fomLabel=None,
             inputMicrographs="56.outputMicrographs", ctfRelations="118.outputCTF"),
        step("SparxGaussianProtPicking", 285, boxSize=200, lowerThreshold=1.0, higherThreshold=1.2, inputMicrographs="56.outputMicrographs"),
        step("XmippProtExtractParticles", 323, downsampleType=0, downFactor=1.0, boxSize=64, doFlip=True, normType=2, backRadius=-1,
             ctfRelations="118.outputCTF", inputCoordinates="284.outputCoordinates"),
    ], ensure_ascii=False, indent=1)  # fmt: skip
    return text.replace('"@', "").replace('@"', "")


def microscope() -> str:
    """Return a template with the slips that published ones have: a comma too few, a comma too many, one name for two fields."""
    text = json.dumps([
        movies(95, filesPath="~Movie's folder|%(HOME)s|2|moviesPath~", filesPattern="~files pattern|*.tif|2|moviesPath~", fileTimeout="30",
               magnification="~Magnification|50000|3|mag~", doseInitial="~Dose|0.0|4|dose~",
               dosePerFrame="~Dose|1.0|4|dose~"),
        step("smartscopeConnection", 60, inputMovies="95.outputMovies", sessionName="~Session|''|0|sessionName~", refreshTime=240),
        step("ProtMotionCorr", 159, inputMovies="60.MoviesSS", alignFrame0=1, alignFrameN=60, gpuList="0, 1", gainRot=1, gainFlip=1),
        step("CistemProtCTFFind", 3, inputMicrographs="159.outputMicrographs", _queueParams='["default", {}]', runMode="3"),
        step("XmippProtCTFConsensus", 3841, inputCTF="3.outputCTF", useAstigmatism=True, astigmatism="~astigmatism|0.1|4|astigmatism~",
             useAstigmatismPercentage=False, astigmatismPer=0.1, useDefocus=True, minDefocus="~min|4000.0|4|min~", useResolution=False),
        step("ProtSubSet", 286, inputFullSet="60.MoviesSS", chooseAtRandom=False, nElements=2, selectIds=True, range="1-150", setOperation=0),
        step("XmippProtExtractParticles", 925, inputCoordinates="713.outputCoordinates", inputMicrographs="159.outputMicrographs", boxSize=300,
             doResize=True, resizeOption=1, downFactor=1.0, resizeDim=100, resizeSamplingRate=1.0, boxSizeForced=-1, downsampleType=0),
        step("XmippProtExtractParticles", 926, inputCoordinates="713.outputCoordinates", inputMicrographs="159.outputMicrographs", boxSize=300,
             doResize=True, resizeOption=0, downFactor=1.0, resizeDim=100, resizeSamplingRate=1.8),
        step("SphireProtCRYOLOPicking", 713, inputMicrographs="159.outputMicrographs", boxSize=0),
        step("smartscopeFeedbackFilter", 5233, inputProtocol="60.", inputGrids="60.Grids", micsPassFilter="3841.outputMicrographs"),
        step("provideCalculations", 20520, CTFCalculated="3.outputCTF", movieSmartscope="60.MoviesSS"),
    ], indent=1)  # fmt: skip
    return text.replace('|dose~",', '|dose~"').replace('"refreshTime": 240', '"refreshTime": 240,')


def old_exports() -> str:
    """Return a list as the first releases wrote: marked pointers, bare ids, no queue, other programs, numbers as texts."""
    flow = [
        step("ProtImportMicrographs", 2, filesPath="/d/*.mrc", filesPattern="", emxFile=None, samplingRate=1.2, magnification=None),
        step("XmippProtPreprocessMicrographs", 43, doDownsample=True, downFactor=5.0, inputMicrographs="2.__attribute__outputMicrographs"),
        step("ProtCTFFind", 80, lowRes=0.14, highRes=0.46, minDefocus=0.5, maxDefocus=4.0, inputMicrographs="43.outputMicrographs"),
        step("XmippProtParticlePicking", 121, memory=2.0, inputMicrographs="43.outputMicrographs"),
        step("XmippParticlePickingAutomatic", 122, micsToPick=0, memory=2.0, xmippParticlePicking="121"),
        step("EmanProtBoxing", 534, inputMicrographs="43.outputMicrographs"),
        step("SparxGaussianProtPicking", 356, boxSize=110, lowerThreshold=1.0, inputMicrographs="43.outputMicrographs"),
        step("XmippProtExtractParticles", 178, downsampleType=0, downFactor=2.0, boxSize=110, doSort=False, rejectionMethod=0, normType=2,
             ctfRelations="80.outputCTF", inputCoordinates="356.outputCoordinates2"),
        step("ProtImportVolumes", 223, filesPath="/d/v.vol", filesPattern=None, samplingRate=6.2),
        step("XmippProtProjMatch", 423, innerRadius="0", outerRadius="55", angSamplingRateDeg="3 2 1 0.5", maxChangeOffset="2x1000 5",
             symmetry="i1", inputParticles="178.outputParticles", input3DReferences="223.outputVolume"),
        step("SpiderProtFilter", 2070, filterType=3, filterRadius=0.12),
        step("SpiderProtCAPCA", 2267, inputParticles="2070.__attribute__outputParticles", maskImage="2233.__attribute__outputMask"),
        step("SpiderProtClassifyWard", 2346, numberOfFactors=10, pcaFile="2267.__attribute__imcFile"),
    ]  # fmt: skip
    return json.dumps([{name: value for name, value in each.items() if not name.startswith("_")} for each in flow], indent=4)


def models() -> str:
    """Return particles of a STAR file and of other programs' tables, models, and steps of dynamics that nothing here does."""
    tables = {"emxFile": None, "mdFile": None, "sqliteFile": None, "lstFile": None, "csFile": None, "filesPattern": None}
    flow = [
        step("ProtImportPdb", 129, inputPdbData=0, pdbId="~PDB id||0|pdb~", pdbFile=None),
        step("FlexProtGenesis", 392, topoProt="204.", constantK="10000", inputTOP=None, modeList="7-12"),
        step("ProtGenerateTopology", 204, forcefield=2, inputPDB="3394.output"),
        step("ChimeraProtRigidFit", 3394, inputVolumes=None, pdbFileToBeRefined="129.outputPdb", inputVolume="3347.outputVolume"),
        step("XmippProtReconstructFourier", 3347, symmetryGroup="c1", inputParticles="4106.outputParticles"),
        step("ProtImportParticles", 4106, importFrom=3, filesPath=None, starFile="~Particles .star file|/d/p.star|0|particles~",
             samplingRate="~Sampling rate|1.0|4|samplingRate~", **tables),
        step("ProtImportParticles", 4107, importFrom=4, filesPath="/d/p.sqlite", starFile=None, samplingRate=4.0, **tables),
    ]  # fmt: skip
    return "Models\n" + json.dumps(flow)


def packages() -> str:
    """Return the same steps by other packages: RELION's alignment, Unblur, and maps of cryoSPARC."""
    flow = [
        movies(2),
        step("ProtRelionCompressMovies", 3, inputMovies="2.outputMovies", compression=2),
        step("ProtRelionMotioncor", 4, inputMovies="3.outputMovies", sumFrame0=2, sumFrameN=20, doDW=True, bfactor=150, patchX=3, patchY=3,
             groupFrames=2, gainRot=0, gainFlip=0, defectFile=None),
        step("CistemProtUnblur", 5, inputMovies="2.outputMovies", alignFrame0=1, alignFrameN=0, doApplyDoseFilter=True),
        step("ProtImportParticles", 20, filesPath="/d/p.star"),
        step("ProtCryoSparcInitialModel", 21, inputParticles="20.outputParticles", abinit_K=2, abinit_max_res=10.0, symmetryGroup=0,
             symmetryOrder=1, abinit_minisize_init=90, abinit_minisize=300, abinit_nonneg=True),
        step("ProtCryoSparc3DHomogeneousRefine", 22, inputParticles="20.outputParticles", referenceVolume="21.outputVolumes.2", refMask=None,
             symmetryGroup=1, symmetryOrder=2, refine_res_init=30),
        step("ProtCryoSparcNewNonUniformRefine3D", 23, inputParticles="20.outputParticles", referenceVolume="22.outputVolume",
             refMask="24.outputMask", symmetryGroup=5, symmetryOrder=1),
        step("ProtRelionCreateMask3D", 24, inputVolume="22.outputVolume", doCompare=True, inputVolume2="21.outputVolume", operation=2, extend=3),
        step("ProtCryoSparcLocalRefine", 25, inputParticles="23.outputParticles", referenceVolume="23.outputVolume"),
    ]  # fmt: skip
    return json.dumps(flow, indent=4)


def odd_values() -> str:
    """Return what hand-made files hold: ids as numbers, lists and objects as values, ids that other texts look like."""
    flow = [
        {"object.className": "ProtImportMovies", "object.id": 1, "filesPath": "/d", "filesPattern": "*.mrc", "samplingRate": "1.5"},
        {"object.className": "ProtMotionCorr", "object.id": 2, "inputMovies": "1.outputMovies", "_queueParams": ["default", {"a": 1}],
         "gpuList": "1", "numberOfThreads": "1", "hostName": "1", "extra": {"deep": [1, {"er": None}]}, "none": [], "text": "é \" \\ ~"},
        {"object.className": "Anything", "object.id": 7, "runName": "1", "threshold": "1.5", "_prerequisites": "1, 2", "inputThing": None,
         "forceSchedule": True, "inputSets": ["1.outputMovies", "2.outputMicrographs.3"], "big": 1e300, "nested": {"object.id": "1"}},
    ]  # fmt: skip
    return json.dumps(flow, indent=4)


FLOWS = {
    "relion.json.template": relion_tutorial,
    "streaming.json.template": streaming,
    "demo.json.template": demonstration,
    "microscope.json.template": microscope,
    "old.json": old_exports,
    "models.json.template": models,
    "packages.json": packages,
    "odd.json": odd_values,
}
