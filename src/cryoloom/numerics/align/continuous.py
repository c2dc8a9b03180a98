"""What beside its pose an image may be fitted in: its grey scale, magnification and defocus, by Levenberg and Marquardt's method.

The residual is ``X - a · CTF(k) · P(m · A) · exp(2πi k·d / box)`` in the half plane, its cost ``Σ |·|² / E|N|²``, as in `levenberg`. The five parameters
are ``a - 1``, ``m - 1``, and the changes in Å of the mean defocus and of the astigmatism's two components along ``cos 2θ`` and ``sin 2θ``, in which the
phase of the CTF is linear: no angle is undefined where there is no astigmatism. The curvature is Gauss and Newton's. To first order the
derivatives are at right angles to those of the pose, so that the two are found in turn.
"""

import math

import numpy as np
from numba import njit

from cryoloom.numerics.align.levenberg import EASE, ENOUGH_GAIN, PARAMETERS, START_DAMPING, STIFFEN, damped_step, phase_table
from cryoloom.numerics.reconstruct.kernels import gather

GREY, MAGNIFICATION, DEFOCUS = 0, 1, 2
STEPS = 12
STARTS = 5
"""Defoci within the bounds that are tried before the best is improved: at high resolution the cost has several minima."""
FROZEN = 1e12
"""Precision that keeps a parameter where it is."""
NUDGE = 1e-3
"""Change of the magnification over which a projection's slope is taken."""


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", forceinline=True)
def cost_of(values, ctf, follows, phase, path, double, projection, slope, image, inverse, gradient, curvature):
    """Return the cost of `values` ``(5,)`` and write its derivatives; where `follows`, the CTF is the sine of `phase` and the defocus' part `path`."""
    a = 1.0 + values[GREY]
    cost = 0.0
    for i in range(PARAMETERS):
        gradient[i] = 0.0
        for j in range(PARAMETERS):
            curvature[i, j] = 0.0
    slopes_re, slopes_im = np.empty(PARAMETERS), np.empty(PARAMETERS)
    for p in range(len(image)):
        c, tilt = np.float64(ctf[p]), 0.0
        if follows:
            chi = phase[p] + path[p] * (values[2] + values[3] * double[p, 0] + values[4] * double[p, 1])
            c, tilt = math.sin(chi), math.cos(chi) * path[p]
        pr = projection[p, 0] + values[MAGNIFICATION] * slope[p, 0]
        pi = projection[p, 1] + values[MAGNIFICATION] * slope[p, 1]
        re, im = image[p].real - a * c * pr, image[p].imag - a * c * pi
        w = inverse[p]
        cost += w * (re * re + im * im)
        slopes_re[0], slopes_im[0] = c * pr, c * pi
        slopes_re[1], slopes_im[1] = a * c * slope[p, 0], a * c * slope[p, 1]
        slopes_re[2], slopes_im[2] = a * tilt * pr, a * tilt * pi
        slopes_re[3], slopes_im[3] = slopes_re[2] * double[p, 0], slopes_im[2] * double[p, 0]
        slopes_re[4], slopes_im[4] = slopes_re[2] * double[p, 1], slopes_im[2] * double[p, 1]
        for i in range(PARAMETERS):
            gradient[i] -= 2.0 * w * (re * slopes_re[i] + im * slopes_im[i])
            for j in range(i + 1):
                curvature[i, j] += 2.0 * w * (slopes_re[i] * slopes_re[j] + slopes_im[i] * slopes_im[j])
    for i in range(PARAMETERS):
        for j in range(i):
            curvature[j, i] = curvature[i, j]
    return cost


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def held(cost, values, precisions, gradient, curvature):
    """Add the priors, Gaussian about no change, to a cost and its derivatives; return the cost."""
    for i in range(PARAMETERS):
        cost += 0.5 * precisions[i] * values[i] ** 2
        gradient[i] += precisions[i] * values[i]
        curvature[i, i] += precisions[i]
    return cost


@njit(nogil=True, cache=True, error_model="numpy")
def fit_images(
    grid,
    kx,
    ky,
    box,
    rotations,
    shifts,
    images,
    scales,
    inverse,
    ctf,
    follows,
    phase,
    path,
    double,
    precisions,
    bounds,
    values,
    curvatures,
    told,
):
    """Fit the images ``(B, K)`` of known poses and `scales` ``(B,)``; `values` ``(B, 5)`` are written and stay within `bounds` ``(5,)``.

    `ctf`, `phase` and `path` are ``(B, K)``, `double` the cosine and sine of twice the azimuth ``(K, 2)``; see `cost_of`. Where an image does not follow
    its phase, its CTF stays. To `curvatures` ``(B, 5, 5)`` goes that of the data alone, to `told` ``(B, 3)`` ``Re Σ X* M``, ``Σ |M|²`` and ``Σ |X|²``,
    each over ``E|N|²``, of the model M of grey value one.
    """
    count = len(kx)
    reach = int(math.hypot(kx[count - 1], ky[count - 1]) + 1.5)
    projection, above, below = np.empty((1, count, 2), np.float32), np.empty((1, count, 2), np.float32), np.empty((1, count, 2), np.float32)
    slope = np.zeros((count, 2), np.float32)
    moved = np.empty(count, np.complex64)
    gradient, trial_gradient, step, trial = np.empty(PARAMETERS), np.empty(PARAMETERS), np.empty(PARAMETERS), np.empty(PARAMETERS)
    curvature, trial_curvature = np.empty((PARAMETERS, PARAMETERS)), np.empty((PARAMETERS, PARAMETERS))
    turn = 2.0 * math.pi / box
    scaled = precisions[MAGNIFICATION] < FROZEN
    for b in range(len(images)):
        rotation = rotations[b : b + 1].astype(np.float32)
        gather(grid, kx, ky, rotation, projection)
        projection *= scales[b]
        if scaled:
            gather(grid, kx, ky, rotation * np.float32(1.0 + NUDGE), above)
            gather(grid, kx, ky, rotation * np.float32(1.0 - NUDGE), below)
            for p in range(count):
                slope[p, 0] = (above[0, p, 0] - below[0, p, 0]) * scales[b] / np.float32(2.0 * NUDGE)
                slope[p, 1] = (above[0, p, 1] - below[0, p, 1]) * scales[b] / np.float32(2.0 * NUDGE)
        across, along = phase_table(reach, turn * shifts[b, 0]), phase_table(reach, turn * shifts[b, 1])
        for p in range(count):
            m, q = int(kx[p]) + reach, int(ky[p]) + reach
            er = across[m, 0] * along[q, 0] - across[m, 1] * along[q, 1]
            ei = across[m, 0] * along[q, 1] + across[m, 1] * along[q, 0]
            moved[p] = complex(images[b, p].real * er + images[b, p].imag * ei, images[b, p].imag * er - images[b, p].real * ei)
        data, weight, shown, follow = moved, inverse[b], ctf[b], follows[b]
        starts = STARTS if follow else 1
        current, cost, damping = values[b], np.inf, START_DAMPING
        for n in range(starts + STEPS):
            if n < starts:
                trial[:] = 0.0
                if follow:
                    trial[DEFOCUS] = bounds[DEFOCUS] * (2.0 * n / (STARTS - 1) - 1.0)
            elif damped_step(curvature, gradient, damping, step):
                for i in range(PARAMETERS):
                    trial[i] = min(max(current[i] + step[i], -bounds[i]), bounds[i])
            else:
                break
            tried = cost_of(
                trial, shown, follow, phase[b], path[b], double, projection[0], slope, data, weight, trial_gradient, trial_curvature
            )
            tried = held(tried, trial, precisions, trial_gradient, trial_curvature)
            gain = cost - tried
            if gain > 0:
                cost = tried
                for i in range(PARAMETERS):
                    current[i], gradient[i] = trial[i], trial_gradient[i]
                    for j in range(PARAMETERS):
                        curvature[i, j] = trial_curvature[i, j]
            if n >= starts:
                damping *= EASE if gain > 0 else STIFFEN
                if abs(gain) < 0.1 * ENOUGH_GAIN:
                    break
        for i in range(PARAMETERS):
            for j in range(PARAMETERS):
                curvatures[b, i, j] = curvature[i, j]
            curvatures[b, i, i] -= precisions[i]
        cross = norm = power = 0.0
        for p in range(count):
            c = np.float64(shown[p])
            if follow:
                c = math.sin(phase[b, p] + path[b, p] * (current[2] + current[3] * double[p, 0] + current[4] * double[p, 1]))
            mr = c * (projection[0, p, 0] + current[MAGNIFICATION] * slope[p, 0])
            mi = c * (projection[0, p, 1] + current[MAGNIFICATION] * slope[p, 1])
            cross += weight[p] * (data[p].real * mr + data[p].imag * mi)
            norm += weight[p] * (mr * mr + mi * mi)
            power += weight[p] * (data[p].real ** 2 + data[p].imag ** 2)
        told[b, 0], told[b, 1], told[b, 2] = cross, norm, power
