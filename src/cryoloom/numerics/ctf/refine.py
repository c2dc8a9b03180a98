"""Refinement of a CTF against the cells of a spectrum: Levenberg-Marquardt with analytic derivatives.

The power of a cell, over its smooth background, is ``β(s, θ) + α(s) sin² χ`` with smooth splines β (background, with a two-fold
variation in azimuth) and α ≥ 0 (signal). Both are linear: they are solved for and projected out of the derivatives at every step
(variable projection; Kaufman, BIT 15:49, 1975), so that neither the background nor the decay of the signal pulls on the rings.
Cells count by the inverse of their variance, which is that of a power: in proportion to its square.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from cryoloom.numerics.ctf.rings import Astigmatic, Cells, Optics, astigmatism_loss, spline_basis
from cryoloom.numerics.ctf.spectrum import Array

KNOT = 0.045
"""1/Å between the knots of α: it follows an envelope and the ring of ice, and in a narrow band leaves the Thon rings alone."""

SETTLED = 3e-4
"""Radians: a step that moves no phase by more is the last."""

SEEN_DRIFT = 4.6
"""How far the square of a fading must exceed its mean square by noise alone to be drift: noise does in one of a hundred micrographs."""

FARTHEST = 1.0
"""Radians: the most that a step moves a phase."""


@dataclass(frozen=True)
class Refined:
    """A refined CTF.

    Attributes
    ----------
    ctf
        The parameters.
    error
        Standard errors of ``(mean, a, b, plate)``, in Å and radians; zero for a plate that was not refined.
    gain
        Log-likelihood gained over a background without rings.
    signal, level
        α and the circular mean of β at every ring of the cells: the power that rings add at their crests and that between them, in
        units of the cells' background.
    drift
        Å: motion left in the image, from rings that are weaker along one direction; 0 if none is seen.
    misfit
        Variance that is left of the cells, over what the scatter of their pixels tells: 1 for a model that says all.
    """

    ctf: Astigmatic
    error: Array
    gain: float
    signal: Array
    level: Array
    drift: float
    misfit: float


def refine_ctf(
    cells: Cells,
    optics: Optics,
    starts: Sequence[Astigmatic],
    *,
    background: int,
    tolerance: float = 0.0,
    with_plate: bool = False,
    with_astigmatism: bool = True,
    with_defocus: bool = True,
) -> Refined:
    """Climb from every start with even weights, and from the best optimum again with the weights of the model found.

    Parameters
    ----------
    background
        How many radial splines make β.
    tolerance
        Expected astigmatism in Å, a soft restraint; zero or negative for none.
    with_plate, with_astigmatism, with_defocus
        Refine the phase shift, the astigmatism, the mean defocus; otherwise each start keeps its own.
    """
    problem = _Problem(cells, optics, background)
    unit = cells.noise * cells.correlated
    restraint = _Restraint(tolerance, unit)
    free = np.flatnonzero([with_defocus, with_astigmatism, with_astigmatism, with_plate])
    climbed = [_climb(problem, start.vector(), restraint, free, 15) for start in starts]
    vector = min(climbed, key=lambda at: problem.at(at).cost + restraint.cost(at))
    problem.weigh(problem.expected(vector))
    problem.blur(vector)
    vector = _climb(problem, vector, restraint, free, 40)
    state = problem.at(vector)
    error = np.zeros(4)
    normal = state.derivative.T @ state.derivative + np.diag(restraint.stiffness(vector))
    error[free] = np.sqrt(np.diag(np.linalg.pinv(normal[np.ix_(free, free)])) * unit)
    return Refined(
        ctf=Astigmatic(*(float(value) for value in vector)),
        error=error,
        gain=0.5 * (float(problem.data @ problem.data) - state.cost) / unit,
        signal=problem.ring_envelope @ state.signal,
        level=problem.level(vector, state),
        drift=problem.drift(vector, state, unit),
        misfit=state.cost / (unit * max(len(problem.data) - problem.fixed.shape[1], 1)),
    )


@dataclass(frozen=True)
class _Restraint:
    """The cost of astigmatism, `unit` being the cost of one unit of log-likelihood; see `astigmatism_loss`."""

    tolerance: float
    unit: float

    def cost(self, vector: Array) -> float:
        return 2 * self.unit * float(astigmatism_loss(2 * np.hypot(vector[1], vector[2]), self.tolerance))

    def stiffness(self, vector: Array) -> Array:
        """Return the diagonal of a quadratic cost with the same slope at `vector`."""
        if self.tolerance <= 0:
            return np.zeros(4)
        return np.array([0.0, 1.0, 1.0, 0.0]) * 12 * self.unit / (self.tolerance**2 + 4 * (vector[1] ** 2 + vector[2] ** 2))


def _climb(problem: "_Problem", vector: Array, restraint: _Restraint, free: NDArray[np.intp], iterations: int) -> Array:
    """Climb to the nearest optimum: the search has looked everywhere, and a step that moves a phase far leads to where it found less."""
    damping = 1e-3
    state = problem.at(vector)
    for _ in range(iterations):
        stiff = restraint.stiffness(vector)
        normal = (state.derivative.T @ state.derivative)[np.ix_(free, free)] + np.diag(stiff[free])
        downhill = (state.derivative.T @ state.residual - stiff * vector)[free]
        move = np.zeros(4)
        move[free] = np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-30), downhill)
        move /= max(1.0, float(np.abs(problem.steepest * move).max()) / FARTHEST)
        trial = problem.at(vector + move)
        gained = state.cost + restraint.cost(vector) - trial.cost - restraint.cost(vector + move)
        if gained >= 0:
            vector, state = vector + move, trial
            damping = max(damping / 5, 1e-9)
        else:
            damping *= 6
        if np.abs(problem.steepest * move).max() < SETTLED:
            break
    return vector


@dataclass(frozen=True)
class _State:
    residual: Array
    derivative: Array
    signal: Array
    cost: float


class _Problem:
    """The least-squares problem of one spectrum: what does not change with the CTF, and its linearisation at one CTF."""

    def __init__(self, cells: Cells, optics: Optics, background: int) -> None:
        low, high = cells.rings[0], cells.rings[-1]
        double = 2 * cells.azimuth
        squared = cells.radius**2
        slope = optics.phase_per_defocus(squared)
        self.cells = cells
        self.optics = optics
        self.slopes = np.stack([slope, slope * np.cos(double), slope * np.sin(double), np.ones_like(slope)], axis=1)
        self.steepest = np.abs(self.slopes).max(axis=0)
        self.offset = optics.phase_in_focus(squared)
        self.contrast = np.ones_like(slope)
        radial = spline_basis(cells.radius, low, high, background)
        folded = spline_basis(cells.radius, low, high, 3, degree=2)
        self.ring_radial = spline_basis(cells.rings, low, high, background)
        self.fixed = np.concatenate([radial, folded * np.cos(double)[:, None], folded * np.sin(double)[:, None]], axis=1)
        signals = 2 + max(2, round((high - low) / KNOT))
        self.envelope = spline_basis(cells.radius, low, high, signals, degree=2)
        self.ring_envelope = spline_basis(cells.rings, low, high, signals, degree=2)
        self.weigh(np.ones_like(slope))

    def weigh(self, power: Array) -> None:
        """Set the weights for cells whose expected power, over the background, is `power`."""
        self.weight = np.sqrt(self.cells.pixels) / power
        self.basis = np.linalg.qr(self.fixed * self.weight[:, None])[0]
        self.data = self._project(self.cells.excess * self.weight)

    def blur(self, vector: Array) -> None:
        """Let the taper of the tiles wash out and displace the rings as it does at the CTF `vector`.

        A taper multiplies the spectrum's own transform, where rings of period p lie at the lag 1/p, by its autocorrelation r. Since
        rings grow narrower and weaker outwards, it also moves them: their phase 2χ by ``-r''/r (2χ)''/2 - r'/r (ln α)'`` an axis.
        """
        cells, taper = self.cells, self.cells.taper
        if taper is None:
            return
        decay = self._decay(vector)
        self.contrast, shift = np.ones_like(cells.radius), np.zeros_like(cells.radius)
        for part, length in ((np.abs(np.cos(cells.azimuth)), taper.width), (np.abs(np.sin(cells.azimuth)), taper.height)):
            density = 2 * self.optics.wavelength * vector[0] / length
            lag = np.minimum(np.abs(density) * cells.radius * part, 0.8)
            value, slope, curvature = taper.autocorrelation(lag)
            self.contrast *= value
            shift -= (density / (4 * np.pi * length) * curvature + np.sign(density) * decay * part / (2 * np.pi * length) * slope) / value
        self.offset = self.optics.phase_in_focus(cells.radius**2) + 0.5 * shift

    def _decay(self, vector: Array) -> Array:
        """Return the derivative of the logarithm of the rings' power by frequency, in Å."""
        rings = self.cells.rings
        power = self.ring_envelope @ self.at(vector).signal * self.cells.background
        slope = np.gradient(np.log(np.maximum(power, 1e-3 * power.max())), rings)
        return np.interp(self.cells.radius, rings, slope)

    def at(self, vector: Array) -> _State:
        """Solve for β and α; return the residual and its derivative by the four parameters, both without what β and α explain."""
        rise, slope = self._rings(vector)
        rings = self._project(self.envelope * (rise * self.weight)[:, None])
        gram = rings.T @ rings
        lower = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(gram)))
        signal = nnls(lower.T, solve_triangular(lower, rings.T @ self.data, lower=True))[0]
        residual = self.data - rings @ signal
        columns = self._project(self.slopes * (self.envelope @ signal * slope * self.weight)[:, None])
        unit = solve_triangular(lower, rings.T, lower=True)
        return _State(residual, columns - unit.T @ (unit @ columns), signal, float(residual @ residual))

    def expected(self, vector: Array) -> Array:
        """Return the fitted power of every cell over the background, at least a fifth."""
        return np.maximum(1 + self.cells.excess - self.at(vector).residual / self.weight, 0.2)

    def level(self, vector: Array, state: _State) -> Array:
        """Return the circular mean of β at every ring, in units of the cells' background."""
        rest = self.cells.excess - self.envelope @ state.signal * self._rings(vector)[0]
        beta = np.linalg.lstsq(self.fixed * self.weight[:, None], rest * self.weight, rcond=None)[0]
        return 1 + self.ring_radial @ beta[: self.ring_radial.shape[1]]

    def drift(self, vector: Array, state: _State, unit: float) -> float:
        """Return in Å the motion during the exposure that made rings fade along one direction, 0 where noise alone may do it.

        An even motion d multiplies the power by ``sinc²(π d·s)``, about ``1 - (π d s)² / 6 · (1 + cos 2(θ - φ))``: the second term is fitted.
        """
        rings = self.envelope @ state.signal * self._rings(vector)[0] * self.cells.radius**2 * self.weight
        double = 2 * self.cells.azimuth
        known = np.concatenate([self._project(self.envelope * (self._rings(vector)[0] * self.weight)[:, None]), state.derivative], axis=1)
        columns = self._project(np.stack([rings * np.cos(double), rings * np.sin(double)], axis=1))
        columns = columns - known @ np.linalg.lstsq(known, columns, rcond=None)[0]
        normal = columns.T @ columns + 1e-30 * np.eye(2)
        fade = np.linalg.solve(normal, columns.T @ state.residual)
        noise = float(np.trace(np.linalg.inv(normal))) * unit
        seen = float(fade @ fade)
        return float(np.sqrt(6 / np.pi**2 * np.sqrt(seen - noise))) if seen > SEEN_DRIFT * noise else 0.0

    def _rings(self, vector: Array) -> tuple[Array, Array]:
        """Return ``sin² χ`` as the taper leaves it, and its derivative by χ."""
        phase = self.slopes @ vector + self.offset
        reduced = (2 * (phase - np.pi * np.rint(phase / np.pi))).astype(np.float32)
        return 0.5 - 0.5 * self.contrast * np.cos(reduced), self.contrast * np.sin(reduced)

    def _project(self, columns: Array) -> Array:
        return columns - self.basis @ (self.basis.T @ columns)
