"""Every column of every set: its unit, meaning, and names in RELION, Xmipp and cryoSPARC. The only place that knows them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column; empty strings where a program has no name for it."""

    name: str
    unit: str
    meaning: str
    relion: str = ""
    xmipp: str = ""
    cryosparc: str = ""


COLUMNS: tuple[Column, ...] = (
    Column("id", "", "identity, kept from coordinate to last map", "cryoloomParticleId", "itemId"),
    Column("original_id", "", "id before sets of other numbering were joined"),
    Column("enabled", "", "whether later steps use the row", "", "enabled"),
    Column("fail_reason", "", "why a row is disabled"),
    Column("reason", "", "why it is judged as it is: a class kept or left out, a first map good or bad"),
    Column("micrograph_id", "", "id of the micrograph", "", "micrographId"),
    Column("optics_group", "", "acquisition the row belongs to", "rlnOpticsGroup", "", "ctf/exp_group_id"),
    Column("optics_group_name", "", "name of the acquisition", "rlnOpticsGroupName"),
    Column("voltage", "kV", "acceleration voltage", "rlnVoltage", "ctfVoltage", "ctf/accel_kv"),
    Column("cs", "mm", "spherical aberration", "rlnSphericalAberration", "ctfSphericalAberration", "ctf/cs_mm"),
    Column("amplitude_contrast", "", "fraction of amplitude contrast", "rlnAmplitudeContrast", "ctfQ0", "ctf/amp_contrast"),
    Column("movie_name", "", "name of the movie, which joins it to all that is made from it", "", "micrographName"),
    Column("micrograph_name", "", "name of the movie or micrograph an item comes from", "", "micrographName"),
    Column("frames", "", "frames of a movie"),
    Column("width", "px", "columns of an image"),
    Column("height", "px", "rows of an image"),
    Column("header_pixel_size", "Å/px", "pixel size as the file's header says, 0 if it does not"),
    Column("blake3", "", "BLAKE3 of the file as imported"),
    Column("movie_quick", "", "BLAKE3 of the movie file's size and of pieces of it, as imported; of all of it where it is small"),
    Column("movie_blake3", "", "BLAKE3 of the whole movie file, as its motion was corrected"),
    Column("pixel_size", "Å/px", "of the set's own images", "", "ctfSamplingRate", "blob/psize_A"),
    Column("offset_x", "Å", "place of the first pixel in the micrograph as recorded, before its borders were cropped"),
    Column("offset_y", "Å", "place of the first row in the micrograph as recorded"),
    Column("box_size", "px", "side of a particle box or a map"),
    Column("dose_per_frame", "e/Å²", "exposure of one frame", "rlnMicrographDoseRate"),
    Column("pre_exposure", "e/Å²", "exposure before the first frame", "rlnMicrographPreExposure"),
    Column("eer_grouping", "", "hardware frames of EER that make one frame", "rlnEERGrouping"),
    Column("eer_upsampling", "", "frames of EER are read in pixels so many times smaller than the sensor's", "rlnEERUpsampling"),
    Column("contrast", "", "bright or dark protein", "", "", "blob/sign"),
    Column("phase_flipped", "", "whether phases are flipped already", "rlnCtfDataArePhaseFlipped"),
    Column("ctf_premultiplied", "", "whether images are multiplied by their CTF already", "rlnCtfDataAreCtfPremultiplied"),
    Column("movie_path", "", "movie file", "rlnMicrographMovieName", "micrographMovie", "movie_blob/path"),
    Column("micrograph_path", "", "aligned sum, unweighted", "rlnMicrographName", "micrograph", "micrograph_blob/path"),
    Column("weighted_path", "", "aligned sum, dose-weighted"),
    Column("stack_path", "", "file of a particle's or class average's image", "", "", "blob/path"),
    Column("stack_index", "", "number of the image in its file, from 0", "", "", "blob/idx"),
    Column("volume_path", "", "map", "rlnReferenceImage"),
    Column("unfiltered_path", "", "unfiltered map of both halves together"),
    Column("half_map1_path", "", "unfiltered map of the first half", "rlnUnfilteredMapHalf1"),
    Column("half_map2_path", "", "unfiltered map of the second half", "rlnUnfilteredMapHalf2"),
    Column("reference_path", "", "what images were compared with last: the mean of both halves' references"),
    Column("verdict", "", "of a first map: good, undecided or bad"),
    Column("rank", "", "place among the candidates, the best 1"),
    Column("correlation", "", "of averages and projections of a map, every shell alike"),
    Column("ball_correlation", "", "what the same map, averaged over all rotations, reaches"),
    Column("line_agreement", "", "of averages along the common lines of their poses: 0 is chance, 1 all that their noise lets be"),
    Column("outline", "", "correlation of a map, at a third of the particle, with that which the averages make at its poses"),
    Column("coverage", "", "part of a map's transform that the averages' directions measure"),
    Column("particle_gain", "", "mean log-likelihood that particles gain by a map over noise"),
    Column("best_resolution", "Å", "to which the two agree, FSC 0.5"),
    Column("worst_path", "", "projection, average and difference of the averages that a map explains worst"),
    Column("mask_path", "", "soft mask in [0, 1]", "rlnMaskName"),
    Column("count", "", "members of a class", "", "classCount"),
    Column("grey_scale", "", "grey scale of an image's micrograph, to the mean of the set"),
    Column("distribution", "", "part of the images in a class", "rlnClassDistribution"),
    Column("accuracy_rotations", "°", "error of one axis of rotation at odds of a hundred to one: 3.03 standard errors", "rlnAccuracyRotations"),
    Column("accuracy_translations", "Å", "error of a shift along one axis at odds of a hundred to one", "rlnAccuracyTranslationsAngst"),
    Column("estimated_resolution", "Å", "agreement of halves that were classified together: no gold standard", "rlnEstimatedResolution"),
    Column("completeness", "", "part of a map's coefficients that images and not the filter decide", "rlnOverallFourierCompleteness"),
    Column("symmetry_correlation", "", "correlation at 20 Å of a map and the mean of its copies turned by a point group"),
    Column("map_correlation", "", "correlation of a map, laid on a reference, with it"),
    Column("mirrored", "", "whether a map was replaced by its other hand"),
    Column("other_hand", "", "map_correlation of the hand that was not taken"),
    Column("turned", "°", "angle by which a map was turned to lie on a reference"),
    Column("move_rot", "°", "how a map was turned: ZYZ angles of the matrix that carries its places to the reference's"),
    Column("move_tilt", "°", "as move_rot"),
    Column("move_psi", "°", "as move_rot"),
    Column("move_x", "Å", "how far a map was moved after it was turned"),
    Column("move_y", "Å", "as move_x"),
    Column("move_z", "Å", "as move_x"),
    Column("shift_x", "px", "shift of each frame, unbinned movie px, RELION's sign", "rlnMicrographShiftX"),
    Column("shift_y", "px", "shift of each frame, unbinned movie px, RELION's sign", "rlnMicrographShiftY"),
    Column("motion_model", "", "36 coefficients of RELION's local motion model, x then y", "rlnMotionModelCoeff"),
    Column("motion_field", "px", "local displacement: coefficients of 1, x, y, x², xy, y² (places -0.5 to 0.5), (x, y) each, frame after frame"),
    Column("first_frame", "", "first frame used, from 1", "rlnMicrographStartFrame"),
    Column("defocus_u", "Å", "largest defocus, underfocus positive", "rlnDefocusU", "ctfDefocusU", "ctf/df1_A"),
    Column("defocus_v", "Å", "smallest defocus", "rlnDefocusV", "ctfDefocusV", "ctf/df2_A"),
    Column("defocus_angle", "°", "azimuth of defocus_u, +x towards +y", "rlnDefocusAngle", "ctfDefocusAngle", "ctf/df_angle_rad"),
    Column("phase_shift", "°", "phase plate shift", "rlnPhaseShift", "ctfVPPphaseshift", "ctf/phase_shift_rad"),
    Column("ctf_resolution", "Å", "resolution to which the fit explains the Thon rings", "rlnCtfMaxResolution", "", "ctf_stats/ctf_fit_to_A"),
    Column("ctf_score", "", "correlation of spectrum and model", "rlnCtfFigureOfMerit", "ctfCritFitting", "ctf_stats/cross_corr"),
    Column("astigmatism", "Å", "defocus_u - defocus_v", "rlnCtfAstigmatism"),
    Column("defocus_error", "Å", "standard error of the mean defocus"),
    Column("ctf_aliasing", "Å", "beyond it the spectrum's pixels are too coarse for the rings, 0 if nowhere"),
    Column("ctf_rings", "", "Thon rings between the coarse end of the band and the end of the fit"),
    Column("ctf_gain", "", "log-likelihood gained over a spectrum without rings"),
    Column("ctf_drift", "Å", "motion left in the image, from rings that fade along one direction; 0 if none is seen"),
    Column("ctf_iceness", "", "power between 4.0 and 3.6 Å over that between 4.4 and 4.0 Å: crystalline ice", "", "ctfCritIceness"),
    Column("ctf_first_zero", "Å", "first zero of the CTF, mean over azimuth", "", "ctfCritFirstZero"),
    Column("ctf_first_zero_ratio", "", "largest over smallest radius of the first zero", "", "ctfCritfirstZeroRatio"),
    Column("ctf_crest_ratio", "", "deviation of the enhanced spectrum along the crest after the first zero over that along the zeros around it", "",
           "ctfCritFirstMinFirstZeroRatio"),
    Column("ctf_margin", "", "height of that crest over the zeros on either side, in deviations along them", "", "ctfCritCtfMargin"),
    Column("ctf_corr13", "", "correlation of enhanced spectrum and CTF² from the first to the third zero", "", "ctfCritCorr13"),
    Column("ctf_envelope_resolution", "Å", "where the envelope has fallen to a tenth", "", "ctfCritMaxFreq"),
    Column("ctf_astigmatism_resolution", "Å", "where the waves of U and V first cancel", "", "ctfCritNonAstigmaticValidty"),
    Column("ctf_corr90", "", "correlation of the enhanced spectrum with itself at 90°, from the first to the third zero along lines of equal phase", "",
           "ctfCritPsdCorr90"),
    Column("ctf_damping", "", "power of the envelope at the end of the band over that at its beginning", "", "ctfCritDamping"),
    Column("ctf_b_factor", "Å²", "fall of the envelope's power as exp(-B s²/2)"),
    Column("ctf_misfit", "", "variance that the model leaves over that of the noise"),
    Column("ctf_psd_sum", "", "sum of the enhanced spectrum's profile, scaled to 0 to 1", "", "ctfCritPsdInt"),
    Column("ctf_psd_spread", "", "deviation over mean of the powers of tiles", "", "ctfCritPsdStdQ"),
    Column("ctf_psd_component", "", "deviation of tiles along their principal component", "", "ctfCritPsdPCA1"),
    Column("ctf_psd_runs", "", "z-score of too few changes of its sign from tile to tile: a tilted specimen", "", "ctfCritPsdPCARuns"),
    Column("ctf_normality", "", "symmetric Kullback-Leibler distance of the image's histogram from a normal one", "", "ctfCritNormality"),
    Column("ctf_disagreement", "Å", "largest difference in the first zero from the earlier or other CTF", "", "ctfCritDisagree"),
    Column("ctf_sampling", "Å/px", "that the fitted spectrum was kept to"),
    Column("prior_kept", "", "whether the earlier CTF stayed, being better than the new one"),
    Column("enhanced_path", "", "enhanced power spectrum", "", "psdEnhanced"),
    Column("ctf_band", "1/Å", "abscissa of power, background and envelope"),
    Column("ctf_power", "", "mean power over circles"),
    Column("ctf_background", "", "power between the rings"),
    Column("ctf_envelope", "", "power that rings add at their crests"),
    Column("defocus_difference", "Å", "largest difference of the mean defoci of two estimates"),
    Column("agreement_resolution", "Å", "where two transfer functions are 90° apart, at their worst azimuth"),
    Column("psd_path", "", "power spectrum with the fitted model in one quarter", "rlnCtfImage", "psd"),
    Column("shell", "", "Fourier shell: its frequency times the side of the box"),
    Column("frequency", "1/Å", "spatial frequency of a Fourier shell"),
    Column("fsc", "", "Fourier shell correlation of the half maps"),
    Column("ctf_frequency", "1/Å", "abscissa of the curves of the fit"),
    Column("ctf_rotational", "", "circular mean of the spectrum, rings at full height"),
    Column("ctf_equiphase", "", "mean of the spectrum along lines of equal phase, rings at full height"),
    Column("ctf_fit", "", "CTF² at the mean defocus"),
    Column("ctf_quality", "", "local correlation of ctf_equiphase and ctf_fit"),
    Column("motion_total", "Å", "accumulated motion", "rlnAccumMotionTotal"),
    Column("motion_early", "Å", "motion in the first 4 e/Å²", "rlnAccumMotionEarly"),
    Column("motion_late", "Å", "motion after the first 4 e/Å²", "rlnAccumMotionLate"),
    Column("flow_mean_x", "px", "mean size, over places, of the change of displacement from frame to frame", "", "opticalMeanX"),
    Column("flow_mean_y", "px", "mean size, over places, of the change of displacement from frame to frame", "", "opticalMeanY"),
    Column("flow_std_x", "px", "standard deviation over places of the change of displacement from frame to frame", "", "opticalStdX"),
    Column("flow_std_y", "px", "standard deviation over places of the change of displacement from frame to frame", "", "opticalStdY"),
    Column("flow_path", "", "displacements, px of the movie, at even places of all frames: all of x, then all of y"),
    Column("odd_path", "", "aligned sum of the odd frames, counted from 1"),
    Column("even_path", "", "aligned sum of the even frames"),
    Column("motion_sure", "", "frames correlate above their noise, and by a motion that is claimed"),
    Column("motion_refused", "", "moved back by the motion found, frames have less in common than as recorded: none is claimed"),
    Column("crop_x", "px", "first column of the movie that is in the micrograph"),
    Column("crop_y", "px", "first row of the movie that is in the micrograph"),
    Column("motion_difference", "Å", "distance (RMS) of the displacements of two alignments, over frames and places"),
    Column("global_difference", "Å", "distance (RMS) of the paths of whole frames of two alignments"),
    Column("local_difference", "Å", "distance (RMS) of the local displacements of two alignments"),
    Column("dimmed_resolution", "Å", "where errors as large as motion_difference would halve the amplitude"),
    Column("sums_resolution", "Å", "resolution to which two sums of a movie agree"),
    Column("signal_ratio", "", "log of the power over noise of the first of two sums over that of the second"),
    Column("alignment", "", "which of two compared alignments a micrograph is of, 1 or 2"),
    Column("agree", "", "whether two alignments of a movie agree"),
    Column("replaced_pixels", "px", "outliers of the micrograph that were replaced"),
    Column("clamped_pixels", "px", "pixels outside of the logarithm's range"),
    Column("x", "px", "particle centre, array order", "rlnCoordinateX", "xcoor"),
    Column("y", "px", "particle centre", "rlnCoordinateY", "ycoor"),
    Column("score", "", "how sure the method is", "rlnAutopickFigureOfMerit", "cost", "pick_stats/ncc_score"),
    Column("votes", "", "pickers that found the position"),
    Column("found_by", "", "numbers of those pickers, in the order of the sets"),
    Column("deep_score", "", "probability of a particle by the looks of the position alone", "", "zScoreDeepLearning1"),
    Column("deep_spread", "", "standard deviation of the logits of the networks that looked at it"),
    Column("good_region_score", "", "1 - mean mask of what is neither ice nor particle, under the particle", "", "goodRegionScore"),
    Column("mask_distance", "Å", "distance to what is masked"),
    Column("covered", "", "part of a micrograph that is masked"),
    Column("mask_unreliable", "", "whether nearly all of a micrograph is masked, so that its mask is not believed"),
    Column("cover_path", "", "mask of a micrograph: probability of being neither ice nor particle, per cent"),
    Column("thumbnail_path", "", "micrograph in miniature, particles bright"),
    Column("found_diameter", "Å", "of the particle, as the picker sees it", ""),
    Column("rot", "°", "first Euler angle", "rlnAngleRot", "angleRot"),
    Column("tilt", "°", "second Euler angle", "rlnAngleTilt", "angleTilt"),
    Column("psi", "°", "third Euler angle, in-plane", "rlnAnglePsi", "anglePsi"),
    Column("origin_x", "Å", "added to the image to centre the particle", "rlnOriginXAngst", "shiftX"),
    Column("origin_y", "Å", "added to the image to centre the particle", "rlnOriginYAngst", "shiftY"),
    Column("flip", "", "whether the image is mirrored along x before anything else; in 2D only", "", "flip"),
    Column("picking_state", "", "how far the picks of the micrograph were looked at", "", "pickingMicrographState"),
    Column("class_id", "", "class, from 1", "rlnClassNumber", "ref"),
    Column("pose_covariance", "", "covariance of a pose: lower triangle over turns about the image's axes (radians) and shifts (Å)"),
    Column("cost", "", "correlation of an image with the reference, over the noise; Xmipp's cost"),
    Column("weight", "", "how much a particle counts in a reconstruction", "", "weight"),
    Column("magnification", "", "size of a particle in its image, to that of the reference", "", "continuousScaleX"),
    Column("change_angle", "°", "turn of a pose in the last iteration"),
    Column("change_shift", "Å", "change of a shift in the last iteration"),
    Column("half_set", "", "independent half, 1 or 2", "rlnRandomSubset", "", "alignments3D/split"),
    Column("background_mean", "", "mean of a particle's background before it was normalised, bright as the particle is"),
    Column("background_sigma", "", "standard deviation of a particle's background before it was normalised"),
    Column("score_by_variance", "", "variance of the micrograph, scaled to 0 to 1, around a particle", "", "scoreByVariance"),
    Column("score_by_gini", "", "how unevenly the variance is spread over a particle's micrograph: 0 evenly, 1 in one place", "", "scoreByGiniCoeff"),
    Column("junk_score", "", "probability of being no particle, by two or more classifications"),
    Column("good_votes", "", "classifications that by themselves call the particle good"),
    Column("class_ids", "", "its class in each of the classifications compared"),
    Column("class_junk", "", "share of junk among the other members of its class, in each of them"),
    Column("quality", "", "of a class: 0 to 1, the product of its scores"),
    Column("quality_resolution", "", "score of a class: how far its halves agree, beside most"),
    Column("quality_size", "", "score of a class: its members"),
    Column("quality_signal", "", "score of a class: signal of one member over noise, by the halves, beside most"),
    Column("quality_centre", "", "score of a class: how near the middle its mass is centred"),
    Column("quality_compact", "", "score of a class: its radius of gyration, beside most; pairs, heaps and noise are wide"),
    Column("quality_reach", "", "score of a class: its mass within the particle's circle"),
    Column("quality_contrast", "", "score of a class: neither fainter nor stronger than most"),
    Column("quality_match", "", "score of a class: what its members have in common"),
    Column("junk", "", "of a class: share of junk among its particles, by all classifications"),
    Column("agreed", "", "of a class: its particles that a consensus keeps"),
    Column("max_probability", "", "largest weight of one pose", "rlnMaxValueProbDistribution"),
    Column("cryosparc_uid", "", "cryoSPARC's own identity of a particle", "", "", "uid"),
    Column("match", "", "how much of its class average a particle shows, the average taken without it: 1 all, 0 nothing"),
    Column("similarity", "", "to the class average: correlation, or correntropy"),
    Column("junk_z", "", "robust deviations from the members of its class in how much of their average it shows, and leaves", "", "zScore"),
    Column("component_z", "", "robust deviations from the members of its class along the principal axes of what they leave of their average"),
    Column("core", "", "of a particle: whether it is in the core of its class; of a class: members in the core"),
    Column("stable_core", "", "whether a particle is in the core of its class, and was with a companion in those of earlier levels"),
    Column("stable", "", "members in the stable core of a class"),
    Column("kept", "", "part of a class that is in its core or stable core", "", "modelFraction"),
    Column("class_path", "", "classes of a particle from the first level of a hierarchy to the last; 0 for none"),
    Column("level", "", "level of a hierarchy of classes, from 1"),
    Column("parent", "", "class of the level before that most members of a class come from; 0 for none"),
    Column("parent_share", "", "part of the members that come from it"),
    Column("log_likelihood", "", "contribution to the log-likelihood", "rlnLogLikeliContribution"),
)  # fmt: skip

OF_THE_SET = frozenset(
    (
        "optics_group_name", "voltage", "cs", "amplitude_contrast", "dose_per_frame", "pre_exposure", "phase_flipped", "ctf_premultiplied",
        "first_frame", "shift_x", "shift_y", "motion_model", "eer_grouping", "eer_upsampling",
    )
)  # fmt: skip
"""Columns that RELION keeps in tables of their own (optics groups, motion files), not in the rows of particles and micrographs."""

_OWN = {column.name: column for column in COLUMNS}
_FOREIGN = {name: column for column in COLUMNS for name in (column.relion, column.xmipp, column.cryosparc) if name}


def relion_names() -> dict[str, str]:
    """Return our names of the values that RELION's rows of particles, coordinates and micrographs hold, with RELION's labels."""
    values = (column for column in COLUMNS if column.relion and column.name not in OF_THE_SET)
    return {column.name: column.relion for column in values if not column.name.endswith("_path")}


def xmipp_names() -> dict[str, str]:
    """Return our names with Xmipp's labels, where it has one."""
    return {column.name: column.xmipp for column in COLUMNS if column.xmipp}


def column_named(name: str) -> Column | None:
    """Return the column that we, or any of the programs, call `name` (a leading underscore, or Scipion's ``_xmipp_``, is ignored)."""
    plain = name.lstrip("_")
    return _OWN.get(name) or _FOREIGN.get(name) or _OWN.get(plain) or _FOREIGN.get(plain) or _OWN.get(plain.removeprefix("xmipp_"))


def canonical_name(name: str) -> str:
    """Return our name of the column that any of the programs calls `name`; unknown names come back as they are.

    To be asked for names that a set does not have: what is our name of one column may be another program's of another.
    """
    found = _FOREIGN.get(name) or column_named(name)
    return found.name if found else name
