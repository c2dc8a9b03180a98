import { expect, test } from "vitest";
import { defocusAlong, wavelength, zeros } from "./zeros";

const optics = { voltage: 300, cs: 2, amplitudeContrast: 0.1, phaseShift: 0 };

test("electrons of 300 kV have 0.0197 Å", () => {
  expect(wavelength(300)).toBeCloseTo(0.019687, 5);
  expect(wavelength(200)).toBeCloseTo(0.025079, 5);
});

test("the phase at each zero is a multiple of half a turn", () => {
  const found = zeros(15000, optics, 0.2);
  expect(found.length).toBeGreaterThan(5);
  const lambda = wavelength(300);
  found.forEach((frequency, place) => {
    const squared = frequency ** 2;
    const phase = Math.PI * lambda * 15000 * squared - (Math.PI / 2) * 2e7 * lambda ** 3 * squared ** 2 + Math.asin(0.1);
    expect(phase / Math.PI).toBeCloseTo(place + 1, 8);
  });
});

test("a phase plate moves the zeros inwards", () => {
  expect(zeros(15000, { ...optics, phaseShift: 90 }, 0.2)[0]).toBeLessThan(zeros(15000, optics, 0.2)[0] as number);
});

test("defocus is largest along its angle", () => {
  expect(defocusAlong(20000, 18000, 30, 30)).toBe(20000);
  expect(defocusAlong(20000, 18000, 30, 120)).toBeCloseTo(18000, 6);
});
