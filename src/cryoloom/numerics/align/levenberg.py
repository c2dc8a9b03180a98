"""Levenberg-Marquardt on the five parameters of a pose, with analytic derivatives of the interpolated reference.

The cost of a pose is minus the log-likelihood, constants dropped: ``Σ |X - M|² / E|N|²`` over the half plane, with ``M = CTF · P(A) ·
exp(2πi k·d / box)``. In the terms each image is prepared to, ``Y = CTF · X / E|N|²`` (`data`) and ``W = CTF² / E|N|²`` (`weight`), it is
``Σ W|P|² - 2 Re(Y* P exp(2πi k·d / box))``. A step ``(ω, δ)`` of the rotation ω (radians about the image axes x, y, z) and the shift δ (px)
turns ``A`` into ``exp(-[ω]×) A`` and ``d`` into ``d + δ``. The curvature is Gauss and Newton's and equals the Fisher information.
"""

import math

import numpy as np
from numba import njit

from cryoloom.numerics.align.priors import with_prior
from cryoloom.numerics.reconstruct.kernels import PAD

PARAMETERS = 5
START_DAMPING, EASE, STIFFEN = 0.03, 0.2, 8.0
ENOUGH_GAIN = 0.01
"""A step that gains less than this in log-likelihood ends the search."""
LONGEST_TURN = 0.15
"""Radians; a longer step would leave the region in which the reference is nearly linear."""


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def phase_table(reach, angle):
    """Return (cos, sin) of ``m · angle`` for m = -reach … reach, float32, by repeated multiplication."""
    table = np.empty((2 * reach + 1, 2), np.float32)
    cosine, sine, re, im = math.cos(angle), math.sin(angle), 1.0, 0.0
    for m in range(reach + 1):
        table[reach + m, 0], table[reach + m, 1] = re, im
        table[reach - m, 0], table[reach - m, 1] = re, -im
        re, im = re * cosine - im * sine, re * sine + im * cosine
    return table


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", forceinline=True)
def evaluate(grid, kx, ky, count, box, data, weight, rotation, shift, gradient, curvature):
    """Return the cost of a pose over the first `count` coefficients and write its `gradient` ``(5,)`` and `curvature` ``(5, 5)``."""
    centre = np.float32(grid.shape[0] // 2)
    reach = int(math.hypot(kx[count - 1], ky[count - 1]) + 1.5)
    turn = 2.0 * math.pi / box
    across, along = phase_table(reach, turn * shift[0]), phase_table(reach, turn * shift[1])
    a00, a01, a02 = np.float32(rotation[0, 0]), np.float32(rotation[0, 1]), np.float32(rotation[0, 2])
    a10, a11, a12 = np.float32(rotation[1, 0]), np.float32(rotation[1, 1]), np.float32(rotation[1, 2])
    a20, a21, a22 = np.float32(rotation[2, 0]), np.float32(rotation[2, 1]), np.float32(rotation[2, 2])
    pad, one = np.float32(PAD), np.float32(1.0)
    cost = 0.0
    g0 = g1 = g2 = g3 = g4 = 0.0
    h00 = h01 = h02 = h03 = h04 = h11 = h13 = h14 = h12 = h22 = h23 = h24 = h33 = h34 = h44 = 0.0
    for p in range(count):
        u, v = kx[p], ky[p]
        x, y, z = pad * (a00 * u + a10 * v), pad * (a01 * u + a11 * v), pad * (a02 * u + a12 * v)
        sign = one
        if x < 0:
            x, y, z, sign = -x, -y, -z, -one
        y += centre
        z += centre
        i, j, k = int(x), int(y), int(z)
        fx, fy, fz = x - i, y - j, z - k
        gx, gy, gz = one - fx, one - fy, one - fz
        c000r, c000i = grid[k, j, i, 0], grid[k, j, i, 1]
        c001r, c001i = grid[k, j, i + 1, 0], grid[k, j, i + 1, 1]
        c010r, c010i = grid[k, j + 1, i, 0], grid[k, j + 1, i, 1]
        c011r, c011i = grid[k, j + 1, i + 1, 0], grid[k, j + 1, i + 1, 1]
        c100r, c100i = grid[k + 1, j, i, 0], grid[k + 1, j, i, 1]
        c101r, c101i = grid[k + 1, j, i + 1, 0], grid[k + 1, j, i + 1, 1]
        c110r, c110i = grid[k + 1, j + 1, i, 0], grid[k + 1, j + 1, i, 1]
        c111r, c111i = grid[k + 1, j + 1, i + 1, 0], grid[k + 1, j + 1, i + 1, 1]
        # Along x, then y, then z; the differences are the derivatives.
        x00r, x00i, x01r, x01i = gx * c000r + fx * c001r, gx * c000i + fx * c001i, gx * c010r + fx * c011r, gx * c010i + fx * c011i
        x10r, x10i, x11r, x11i = gx * c100r + fx * c101r, gx * c100i + fx * c101i, gx * c110r + fx * c111r, gx * c110i + fx * c111i
        y0r, y0i, y1r, y1i = gy * x00r + fy * x01r, gy * x00i + fy * x01i, gy * x10r + fy * x11r, gy * x10i + fy * x11i
        pr, pi = gz * y0r + fz * y1r, sign * (gz * y0i + fz * y1i)
        # Conjugation at the negated place: the derivative's real part changes sign, its imaginary part does not.
        dzr, dzi = sign * (y1r - y0r), y1i - y0i
        dyr, dyi = sign * (gz * (x01r - x00r) + fz * (x11r - x10r)), gz * (x01i - x00i) + fz * (x11i - x10i)
        dxr = sign * (gz * (gy * (c001r - c000r) + fy * (c011r - c010r)) + fz * (gy * (c101r - c100r) + fy * (c111r - c110r)))
        dxi = gz * (gy * (c001i - c000i) + fy * (c011i - c010i)) + fz * (gy * (c101i - c100i) + fy * (c111i - c110i))
        # The gradient in the image's axes: out of plane (n), and turned about the beam (t).
        nr, ni = pad * (a20 * dxr + a21 * dyr + a22 * dzr), pad * (a20 * dxi + a21 * dyi + a22 * dzi)
        vr, vi = a10 * dxr + a11 * dyr + a12 * dzr, a10 * dxi + a11 * dyi + a12 * dzi
        ur, ui = a00 * dxr + a01 * dyr + a02 * dzr, a00 * dxi + a01 * dyi + a02 * dzi
        tr, ti = pad * (u * vr - v * ur), pad * (u * vi - v * ui)
        # Data with the shift taken out, and what the model leaves of it.
        m, q = int(u) + reach, int(v) + reach
        er = across[m, 0] * along[q, 0] - across[m, 1] * along[q, 1]
        ei = across[m, 0] * along[q, 1] + across[m, 1] * along[q, 0]
        yr = data[p].real * er + data[p].imag * ei
        yi = data[p].imag * er - data[p].real * ei
        w = weight[p]
        rr, ri = yr - w * pr, yi - w * pi
        cost -= pr * (yr + rr) + pi * (yi + ri)
        gn, gt, gs = nr * rr + ni * ri, tr * rr + ti * ri, pr * ri - pi * rr
        g0 -= v * gn
        g1 += u * gn
        g2 -= gt
        g3 -= u * gs
        g4 -= v * gs
        nn, nt, tt, pp = w * (nr * nr + ni * ni), w * (nr * tr + ni * ti), w * (tr * tr + ti * ti), w * (pr * pr + pi * pi)
        pn, pt = w * (pr * ni - pi * nr), w * (pr * ti - pi * tr)
        uu, uv, vv = u * u, u * v, v * v
        h00 += vv * nn
        h01 -= uv * nn
        h11 += uu * nn
        h02 += v * nt
        h12 -= u * nt
        h22 += tt
        h03 += uv * pn
        h04 += vv * pn
        h13 -= uu * pn
        h14 -= uv * pn
        h23 += u * pt
        h24 += v * pt
        h33 += uu * pp
        h34 += uv * pp
        h44 += vv * pp
    gradient[0], gradient[1], gradient[2], gradient[3], gradient[4] = 2 * g0, 2 * g1, 2 * g2, 2 * turn * g3, 2 * turn * g4
    t1, t2 = 2.0 * turn, 2.0 * turn * turn
    curvature[0, 0], curvature[0, 1], curvature[0, 2], curvature[0, 3], curvature[0, 4] = 2 * h00, 2 * h01, 2 * h02, t1 * h03, t1 * h04
    curvature[1, 1], curvature[1, 2], curvature[1, 3], curvature[1, 4] = 2 * h11, 2 * h12, t1 * h13, t1 * h14
    curvature[2, 2], curvature[2, 3], curvature[2, 4] = 2 * h22, t1 * h23, t1 * h24
    curvature[3, 3], curvature[3, 4], curvature[4, 4] = t2 * h33, t2 * h34, t2 * h44
    for row in range(PARAMETERS):
        for column in range(row):
            curvature[row, column] = curvature[column, row]
    return cost


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def damped_step(curvature, gradient, damping, step):
    """Write ``-(H + damping · diag H)⁻¹ g`` into `step` by Cholesky's factorisation; return whether H was positive definite."""
    n = PARAMETERS
    factor = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = curvature[i, j] * (1.0 + damping) if i == j else curvature[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                if not total > 1e-30:
                    return False
                factor[i, i] = math.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    for i in range(n):
        total = -gradient[i]
        for k in range(i):
            total -= factor[i, k] * step[k]
        step[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        total = step[i]
        for k in range(i + 1, n):
            total -= factor[k, i] * step[k]
        step[i] = total / factor[i, i]
    return True


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def turned(rotation, step, out):
    """Write ``exp(-[ω]×) · rotation`` for ω = `step[:3]` into `out`."""
    x, y, z = -step[0], -step[1], -step[2]
    squared = x * x + y * y + z * z
    angle = math.sqrt(squared)
    first = math.sin(angle) / angle if angle > 1e-8 else 1.0
    second = (1.0 - math.cos(angle)) / squared if angle > 1e-4 else 0.5
    for c in range(3):
        a, b, d = rotation[0, c], rotation[1, c], rotation[2, c]
        dot = x * a + y * b + z * d
        out[0, c] = a + first * (y * d - z * b) + second * (x * dot - squared * a)
        out[1, c] = b + first * (z * a - x * d) + second * (y * dot - squared * b)
        out[2, c] = d + first * (x * b - y * a) + second * (z * dot - squared * d)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def refine_pose(grid, kx, ky, count, box, data, weight, prior, mates, steps, rotation, shift, curvature):
    """Improve `rotation` ``(3, 3)`` and `shift` ``(2,)`` in place by at most `steps` evaluations beyond the first.

    `prior` and `mates`, see `PosePrior`, are part of the cost and of the `curvature`. Returns the cost.
    """
    gradient, trial_gradient, step = np.empty(PARAMETERS), np.empty(PARAMETERS), np.empty(PARAMETERS)
    trial_curvature = np.empty((PARAMETERS, PARAMETERS))
    trial_rotation, trial_shift = np.empty((3, 3)), np.empty(2)
    cost = evaluate(grid, kx, ky, count, box, data, weight, rotation, shift, gradient, curvature)
    cost = with_prior(cost, rotation, shift, prior, mates, gradient, curvature)
    damping = START_DAMPING
    for _ in range(steps):
        if not damped_step(curvature, gradient, damping, step):
            break
        longest = max(abs(step[0]), abs(step[1]), abs(step[2]))
        if longest > LONGEST_TURN:
            for i in range(PARAMETERS):
                step[i] *= LONGEST_TURN / longest
        turned(rotation, step, trial_rotation)
        trial_shift[0], trial_shift[1] = shift[0] + step[3], shift[1] + step[4]
        trial = evaluate(grid, kx, ky, count, box, data, weight, trial_rotation, trial_shift, trial_gradient, trial_curvature)
        trial = with_prior(trial, trial_rotation, trial_shift, prior, mates, trial_gradient, trial_curvature)
        gain = cost - trial
        if gain > 0:
            # Element by element: numba compiles slice assignments ten times as long.
            for i in range(3):
                for j in range(3):
                    rotation[i, j] = trial_rotation[i, j]
            shift[0], shift[1] = trial_shift[0], trial_shift[1]
            for i in range(PARAMETERS):
                gradient[i] = trial_gradient[i]
                for j in range(PARAMETERS):
                    curvature[i, j] = trial_curvature[i, j]
            cost = trial
            damping *= EASE
        else:
            damping *= STIFFEN
        if abs(gain) < ENOUGH_GAIN:
            break
    return cost


@njit(nogil=True, cache=True, error_model="numpy")
def refine_candidates(grid, kx, ky, count, box, data, weight, prior, mates, steps, rotations, shifts, costs, curvatures, found):
    """Refine the first `found` ``(B,)`` candidates of prepared images ``(B, K)`` over `count` coefficients, all arrays in place.

    `rotations` are ``(B, C, 3, 3)``, `shifts` ``(B, C, 2)``, `costs` ``(B, C)`` and `curvatures` ``(B, C, 5, 5)``; `prior` has a row an image.
    """
    for b in range(len(data)):
        for c in range(found[b]):
            costs[b, c] = refine_pose(
                grid, kx, ky, count, box, data[b], weight[b], prior[b], mates, steps, rotations[b, c], shifts[b, c], curvatures[b, c]
            )
