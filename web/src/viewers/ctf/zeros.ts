/** Where a transfer function is zero. */

export interface Optics {
  /** kV */
  voltage: number;
  /** mm */
  cs: number;
  amplitudeContrast: number;
  /** Degrees. */
  phaseShift: number;
}

/** Of an electron, Å. */
export const wavelength = (kilovolts: number): number => 12.2643 / Math.sqrt(1000 * kilovolts * (1 + 0.978466e-3 * kilovolts));

/** Frequencies (1/Å, rising) up to `most` where the transfer function of a defocus (Å) is zero. */
export function zeros(defocus: number, { voltage, cs, amplitudeContrast, phaseShift }: Optics, most: number): number[] {
  const lambda = wavelength(voltage);
  const linear = Math.PI * lambda * defocus;
  const square = (Math.PI / 2) * cs * 1e7 * lambda ** 3;
  const start = (phaseShift * Math.PI) / 180 + Math.asin(amplitudeContrast);
  const found: number[] = [];
  for (let order = Math.floor(start / Math.PI) + 1; ; order++) {
    const under = linear ** 2 - 4 * square * (order * Math.PI - start);
    if (under < 0) return found; // beyond it the phase falls again
    const squared = square === 0 ? (order * Math.PI - start) / linear : (linear - Math.sqrt(under)) / (2 * square);
    if (!(squared > 0) || Math.sqrt(squared) > most) return found;
    found.push(Math.sqrt(squared));
  }
}

/** Defocus along an azimuth, degrees from +x towards +y. */
export const defocusAlong = (u: number, v: number, angle: number, azimuth: number): number =>
  (u + v) / 2 + ((u - v) / 2) * Math.cos((2 * (azimuth - angle) * Math.PI) / 180);
